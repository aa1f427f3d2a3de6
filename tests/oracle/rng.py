"""Random numbers: Philox4x32-10 (Salmon et al., 2011), and what is drawn from them."""

from statistics import NormalDist

import numpy as np


def philox(counter, key):
    """Four uint32 words for each counter (..., 4) under key (..., 2), ten rounds."""
    c = np.asarray(counter, np.uint64)
    k = np.asarray(key, np.uint64)
    c0, c1, c2, c3 = (c[..., i] for i in range(4))
    k0, k1 = k[..., 0], k[..., 1]
    low = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        p0 = c0 * np.uint64(0xD2511F53)
        p1 = c2 * np.uint64(0xCD9E8D57)
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & low, (p0 >> 32) ^ c3 ^ k1, p0 & low
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & low, (k1 + np.uint64(0xBB67AE85)) & low
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def words(seed, stream, step, count):
    """The first `count` words of a stream: element e is word e % 4 of block e // 4."""
    block = np.arange((count + 3) // 4, dtype=np.uint64)
    low = np.uint64(0xFFFFFFFF)
    second = ((block >> np.uint64(32)) & np.uint64(0xFFFF)) | np.uint64((step >> 32 & 0xFFFF) << 16)
    fixed = np.ones_like(block)
    counter = np.stack(
        [block & low, second, fixed * np.uint64(step & 0xFFFFFFFF), fixed * np.uint64(stream)], -1
    )
    key = np.array([seed & 0xFFFFFFFF, seed >> 32], np.uint64)
    return philox(counter, key).reshape(-1)[:count]


def uniform(seed, stream, count):
    """Multiples of 2^-53 in [0, 1), two words each, the low one first."""
    pairs = words(seed, stream, 0, 2 * count).astype(np.uint64).reshape(-1, 2)
    return ((pairs[:, 1] << np.uint64(32) | pairs[:, 0]) >> np.uint64(11)) * 2.0**-53


def shuffle(seed, epoch, n):
    """Fisher-Yates from the end, bounded by Lemire's multiplication with rejection."""
    source = iter(words(seed, 0xFFFFFFFF, epoch, 2 * n + 64).tolist())
    order = list(range(n))
    for i in range(n, 1, -1):
        product = next(source) * i
        while product % 2**32 < 2**32 % i:
            product = next(source) * i
        j = product >> 32
        order[i - 1], order[j] = order[j], order[i - 1]
    return order


def dropout_mask(rows, columns, rate, seed, stream, step):
    kept = words(seed, stream, step, rows * columns).reshape(rows, columns) < (1 - rate) * 2.0**32
    return kept / (1 - rate)


def normal_numbers(rows, columns, seed, stream, step):
    """The quantiles of the standard normal distribution at (word + 1/2) / 2^32."""
    uniform = (words(seed, stream, step, rows * columns).astype(np.float64) + 0.5) * 2.0**-32
    return np.array([NormalDist().inv_cdf(u) for u in uniform]).reshape(rows, columns)
