"""Sizes, special values, array makers and small networks: shared by the tests and the benchmarks.

Everything is a pure function of its arguments, so a failing case can be repeated by its printed name.
"""

import numpy as np
from oracle.layers import EXAMPLES

DTYPES = ("float32", "float64")

# Around one SIMD register of every instruction set (4, 8, 16 lanes) and one panel (8, 16), around two of
# them, and primes in between.
WIDTHS = (8, 16, 32)
SIZES = tuple(sorted({1, 2, 3, 4, 5, 13, 61, 127} | {w + d for w in WIDTHS for d in (-1, 0, 1)}))
FEW_SIZES = (1, 3, 7, 8, 9, 16, 17, 31, 33, 61)
CHAIN_SIZES = (1, 2, 255, 256, 257, 512, 513)  # around KC

# Benchmarks: (rows, columns) of each kernel family. Every name of a family runs at every size of it.
BENCH_SIZES = {
    "activation": ((64, 128), (128, 512), (512, 1024)),
    "loss": ((64, 10), (512, 10), (512, 1000)),
    "optimizer": ((1, 10_000), (1, 1_000_000), (1, 10_000_000)),  # the last beyond most caches
    "layer": ((64, 128), (512, 1024)),
    "isa": ((64, 128),),
}
LARGEST_MATRIX = (
    1_000_000  # numbers; beyond, products of whole matrices take seconds and bandwidth is nothing
)


def bench_cases(core):
    """(family, name, rows, columns) for each row of the engine's tables."""
    for family, sizes in BENCH_SIZES.items():
        for name in core.names(family):
            for rows, columns in sizes:
                if rows * columns > LARGEST_MATRIX and core.describe(family, name, "kind") == "MATRIX":
                    continue
                yield family, name, rows, columns


def unit(dtype):
    """The unit roundoff."""
    return np.finfo(dtype).eps / 2


def generator(*key):
    """A generator that depends on the key alone (numbers and strings)."""
    return np.random.default_rng([int.from_bytes(str(part).encode(), "little") for part in key])


def normal(shape, dtype, *key):
    return generator("normal", *key).standard_normal(shape).astype(dtype)


def positive(shape, dtype, *key):
    """Same-sign data: rounding errors of a chain no longer cancel."""
    return generator("positive", *key).uniform(0.5, 1.5, shape).astype(dtype)


def special_values(dtype):
    """Zeros, denormals, the smallest and largest numbers, thresholds of exp and tanh, infinities, NaN."""
    info = np.finfo(dtype)
    values = [0.0, info.smallest_subnormal, 3 * info.smallest_subnormal, info.tiny, info.tiny * 1.5,
              info.eps, 1e-10, 1e-5, 1e-3, 0.3, 0.5, 1.0 - info.eps, 1.0, 1.0 + info.eps, 2.0, 3.9, 5.5,
              9.0, 13.0, 17.0, 20.0, 33.0, 87.0, 88.5, 89.0, 103.5, 104.5, 300.0, 709.0, 710.0, 746.0,
              1e10, 1e30, info.max, np.inf]  # fmt: skip
    values = np.array(values, np.float64)
    with np.errstate(over="ignore"):
        both = np.concatenate([values, -values, [np.nan]]).astype(dtype)
    return both


def sweep(dtype, low, high, count):
    """Numbers of both signs, evenly spread in value and in exponent over |x| in [low, high]."""
    half = count // 4
    spread = np.concatenate([np.linspace(low, high, half), np.geomspace(low, high, half)])
    return np.concatenate([spread, -spread]).astype(dtype)


# ---- Array makers: the same values in another memory layout ----


def contiguous(a):
    return np.ascontiguousarray(a)


def row_strided(a):
    """Every second row of a larger array; columns stay contiguous."""
    wide = np.full((2 * a.shape[0], *a.shape[1:]), 7, a.dtype)
    wide[::2] = a
    return wide[::2]


def column_strided(a):
    wide = np.full((*a.shape[:-1], 3 * a.shape[-1]), 7, a.dtype)
    wide[..., ::3] = a
    return wide[..., ::3]


def padded(a):
    """Rows that lie further apart than they are long."""
    wide = np.full((*a.shape[:-1], a.shape[-1] + 5), 7, a.dtype)
    wide[..., : a.shape[-1]] = a
    return wide[..., : a.shape[-1]]


def reversed_rows(a):
    return np.ascontiguousarray(a[::-1])[::-1]


def fortran(a):
    return np.asfortranarray(a)


def off_by_one_element(a):
    """Aligned to the element, to nothing more."""
    store = np.empty(a.size + 1, a.dtype)
    store[1:] = a.reshape(-1)
    return store[1:].reshape(a.shape)


def misaligned(a):
    """One byte off."""
    store = np.empty(a.nbytes + 1, np.uint8)
    view = store[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


def byte_swapped(a):
    return a.astype(a.dtype.newbyteorder())


def read_only(a):
    b = a.copy()
    b.flags.writeable = False
    return b


LAYOUTS = (contiguous, row_strided, column_strided, padded, reversed_rows, fortran, off_by_one_element,
           misaligned, byte_swapped, read_only)  # fmt: skip


# ---- Small networks, as the layer dicts that oracle.Net understands ----


def dense(units, activation="identity", **more):
    return {"kind": "dense", "units": units, "activation": activation, **more}


def activation(name, **more):
    return {"kind": "activation", "activation": name, **more}


def residual(*layers, **options):
    return {"kind": "residual", "layers": list(layers), **options}


def dropout(rate):
    return {"kind": "dropout", "rate": rate}


def standardize():
    return {"kind": "standardize"}


def layer_norm(**options):
    return {"kind": "layer_norm", **options}


def rms_norm(**options):
    return {"kind": "rms_norm", **options}


def alpha_dropout(rate):
    return {"kind": "alpha_dropout", "rate": rate}


def gaussian_noise(std):
    return {"kind": "gaussian_noise", "std": std}


def layer_scale(initial=1e-4):
    return {"kind": "layer_scale", "initial": initial}


def batch_norm(**options):
    return {"kind": "batch_norm", **options}


def glu(gate="sigmoid", **more):
    return {"kind": "glu", "activation": gate, **more}


def maxout(units, pieces, **more):
    return {"kind": "maxout", "units": units, "pieces": pieces, **more}


def prelu(units=0, alpha=0.25):
    """units: 1 for a shared slope; alpha: the initial one."""
    return {"kind": "prelu", "units": units, "alpha": alpha}


BRACKETS = {"end", "head", "end_heads"}  # they close or part a block and are no layers of their own


def example(kind):
    """A layer of a kind, with the options that the oracle has for it."""
    return {"kind": kind, **EXAMPLES.get(kind, {})}


def kinds(layers):
    """The rows of the engine's table that layers need, one after the other."""
    for layer in layers:
        yield layer["kind"]
        yield from (name for name in ("weight_norm", "spectral_norm") if layer.get(name))
        yield from kinds(layer.get("layers", ()))


def flat(layers):
    """The same network as the binding wants it: residual ... end instead of nested lists."""
    specs = []
    for layer in layers:
        if layer["kind"] == "residual":
            specs += [{"kind": "residual"}, *flat(layer["layers"]), {"kind": "end"}]
        else:
            specs.append(layer)
    return specs


def network(gradcore, layers, inputs, **options):
    """The public Network of these layers."""
    return gradcore.Network([_public(gradcore, layer) for layer in layers], inputs=inputs, **options)


def _public(gradcore, layer):
    kind = layer["kind"]
    more = {key: layer[key] for key in ("alpha", "bias", "weight_norm", "spectral_norm") if key in layer}
    if kind == "dense":
        alpha = more.pop("alpha", None)
        activation = layer["activation"] if alpha is None else gradcore.Activation(layer["activation"], alpha)
        return gradcore.Dense(layer["units"], activation, **more)
    if kind == "activation":
        return gradcore.Activation(layer["activation"], **more)
    if kind == "glu":
        return gradcore.GLU(gradcore.Activation(layer["activation"], **more))
    if kind == "maxout":
        return gradcore.Maxout(layer["units"], layer["pieces"], **more)
    if kind == "prelu":
        return gradcore.PReLU(shared=bool(layer["units"]), initial=layer["alpha"])
    if kind == "dropout":
        return gradcore.Dropout(layer["rate"])
    if kind == "standardize":
        return gradcore.Standardize()
    options = {key: value for key, value in layer.items() if key not in ("kind", "layers")}
    if kind == "residual":
        return gradcore.Residual(*[_public(gradcore, inner) for inner in layer["layers"]], **options)
    names = {name.lower(): name for name in gradcore.__all__}
    return getattr(gradcore, names[kind.replace("_", "")])(**options)
