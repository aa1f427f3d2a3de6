"""Exact arithmetic for the tests: a fused multiply-add in NumPy, chains of it, and distances in ULP.

The engine promises bits, not just accuracy; so the oracle of a product has to round where the engine
rounds. Nothing here calls the machine's own fma.
"""

import numpy as np

KC = 256  # the length of a chain: a constant of the numerics version


def two_sum(a, b):
    """s + e == a + b exactly, s the rounded sum (Knuth)."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def two_product(a, b):
    """p + e == a * b exactly for float64 without overflow or underflow (Dekker)."""
    p = a * b
    ah, al = _split(a)
    bh, bl = _split(b)
    return p, al * bl - (((p - ah * bh) - al * bh) - ah * bl)


def _split(a):
    c = 134217729.0 * a
    high = c - (c - a)
    return high, a - high


def add_to_odd(a, b):
    """a + b in float64, rounded to odd: safe to round again (Boldo and Melquiond)."""
    s, e = two_sum(a, b)
    even = (s.view(np.int64) & 1) == 0
    toward = np.nextafter(s, np.where(e > 0, np.inf, -np.inf))
    return np.where((e != 0) & even, toward, s)


def fma(a, b, c):
    """a * b + c rounded once, elementwise; float32 or float64, finite, away from overflow."""
    a, b, c = np.broadcast_arrays(a, b, c)
    if c.dtype == np.float32:
        wide = add_to_odd(a.astype(np.float64) * b.astype(np.float64), c.astype(np.float64))
        return wide.astype(np.float32)
    product_high, product_low = two_product(a, b)
    high, low = two_sum(c, product_low)
    top, rest = two_sum(product_high, high)
    return top + add_to_odd(rest, low)


def gemm(a, b, bias=None):
    """A (m, k) · B (k, n) + bias by the numerics contract: chains of KC, block sums added in order."""
    m, k = a.shape
    n = b.shape[1]
    total = np.zeros((m, n), a.dtype) if bias is None else np.tile(bias.astype(a.dtype), (m, 1))
    for begin in range(0, k, KC):
        chain = total if begin == 0 else np.zeros((m, n), a.dtype)
        for p in range(begin, min(begin + KC, k)):
            chain = fma(a[:, p : p + 1], b[p : p + 1, :], chain)
        total = chain if begin == 0 else total + chain
    return total


def ulp_error(got, want):
    """|got - want| in units of the last place of `want` in got's dtype; 0 where both are the same
    infinity or both NaN, infinite where only one is. `want` is float64 or wider."""
    got = np.asarray(got)
    want = np.asarray(want)
    with np.errstate(all="ignore"):
        rounded = want.astype(got.dtype)
        spacing = np.spacing(np.abs(rounded)).astype(want.dtype)
        tiny = np.finfo(got.dtype)
        spacing = np.where(np.isfinite(rounded), spacing, tiny.max * tiny.eps)
        error = np.abs(got.astype(want.dtype) - want) / spacing
    same = (np.isnan(got) & np.isnan(want)) | (got == rounded)
    return np.where(same & ~np.isfinite(rounded), 0.0, np.where(np.isnan(error), np.inf, error))


def same_bits(a, b):
    """True where two arrays have one dtype, one shape and the same bytes (-0.0 differs from 0.0)."""
    a = np.ascontiguousarray(a)
    b = np.ascontiguousarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
