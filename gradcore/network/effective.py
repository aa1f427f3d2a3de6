"""The weights that multiply x, and the stored parameters that make them.

Of a plain layer they are the same numbers. With `weight_norm` a layer multiplies by
``weight * magnitude / |weight|``, column by column; with `spectral_norm` by
``weight / (left @ weight @ right)``. Whatever measures, prunes, scales or bounds "the weight" goes through
here; `src_c/ops/rescale.c` has the same for the rules that follow every update.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..errors import ArgumentError
from ..validation.arrays import Array
from .compiled import Compiled

if TYPE_CHECKING:
    from ..layers.base import Layer
    from ..layers.dense import Dense

Values = Mapping[str, Array]
_ITERATIONS = 15  # as many as the core begins with


def is_rescaled(layer: Layer) -> TypeGuard[Dense]:
    """Does it multiply x by something else than the weight that it stores?"""
    return getattr(layer, "weight_norm", False) or getattr(layer, "spectral_norm", False)


def column_norms(weight: Array) -> NDArray[np.float64]:
    """2-norms of the columns, by the core's sums: NumPy's order may differ from machine to machine."""
    exact = weight.astype(np.float64)
    norms: NDArray[np.float64] = np.sqrt(_product(np.ones((1, len(exact))), exact * exact)[0])
    return norms


def effective_weight(layer: Layer, position: str, values: Values) -> Array:
    """What the layer at a position multiplies x by; `values` are stored parameters by name."""
    weight = values[f"{position}.weight"]
    if not is_rescaled(layer):
        return weight
    if layer.weight_norm:
        scale = _scales(position, values)
    else:
        scale = _ratio(np.ones(1), np.array([_sigma(position, values)]))
    rounded: Array = (weight.astype(np.float64) * scale).astype(weight.dtype)
    return rounded


def split(
    layer: Layer, position: str, values: Values, weight: Array, seed: int, stream: int
) -> dict[str, Array]:
    """Stored parameters by which the layer multiplies x by `weight`, for `Network.set_parameters`.

    With weight normalisation the weight itself is stored, and the norms of its columns. A column of zeros
    has the magnitude 0 and some direction, the one in `values` or a drawn one: from a stored column of zeros
    no gradient leads away.

    Raises
    ------
    ArgumentError
        With spectral normalisation, which fixes the largest singular value.
    """
    name = f"{position}.weight"
    dtype = values[name].dtype
    if not is_rescaled(layer):
        return {name: weight.astype(dtype)}
    if layer.spectral_norm:
        raise ArgumentError(
            f"{name}: expected a layer without spectral_norm to set the weight of, got {layer!r}"
        )
    norms = column_norms(weight.astype(dtype))
    stored = np.where(norms > 0, weight, values[name]).astype(dtype)
    if not column_norms(stored).all():
        stored = np.where(column_norms(stored) > 0, stored, _directions(weight, seed, stream)).astype(dtype)
    return {name: stored, f"{position}.magnitude": norms.astype(dtype)}


def _directions(weight: Array, seed: int, stream: int) -> NDArray[np.float64]:
    """For columns that had none, by the parameter's place in the network; of a length of about 1."""
    rows, cols = weight.shape
    return _core.fill("normal", seed, stream, rows, cols, 0.0, 1.0 / math.sqrt(rows))


def norm_of_gradient(layer: Layer, position: str, gradients: Values, values: Values) -> float:
    """2-norm of the gradient by the weight that multiplies x, as far as the stored parameters can follow it.

    Of a column of length g in direction v that is the derivative by g, along v, and that by v, across it,
    over g / |v|. Of a weight divided by sigma it is sigma times the gradient by what is stored.
    """
    gradient = gradients[f"{position}.weight"].astype(np.float64)
    if not is_rescaled(layer):
        return float(np.linalg.norm(gradient))
    if layer.spectral_norm:
        return float(abs(_sigma(position, values)) * np.linalg.norm(gradient))
    along = gradients[f"{position}.magnitude"].astype(np.float64)
    across = _ratio(column_norms(gradient), np.abs(_scales(position, values)))
    return math.hypot(float(np.linalg.norm(along)), float(np.linalg.norm(across)))


def _scales(position: str, values: Values) -> NDArray[np.float64]:
    """magnitude / |weight|, 0 for a column of zeros."""
    return _ratio(
        values[f"{position}.magnitude"].astype(np.float64), column_norms(values[f"{position}.weight"])
    )


def _sigma(position: str, values: Values) -> float:
    """left @ weight @ right."""
    left, weight, right = (
        values[f"{position}.{name}"].astype(np.float64) for name in ("left", "weight", "right")
    )
    return float(_product(_product(left[None, :], weight), right[:, None])[0, 0])


# ---- of a network ----


def _place(name: str) -> str:
    return name.rpartition(".")[0]


def of_network(model: Compiled, names: Iterable[str], values: Values | None = None) -> dict[str, Array]:
    """What the network multiplies by, for the names of stored matrices."""
    values = model.parameters() if values is None else values
    found = {}
    for name in names:
        plain = not name.endswith(".weight")
        found[name] = (
            values[name] if plain else effective_weight(model.places[_place(name)], _place(name), values)
        )
    return found


def stored_weights(
    model: Compiled, weights: Mapping[str, Array], values: Values | None = None
) -> dict[str, Array]:
    """The parameters to set so that the network multiplies by `weights`; see `split`."""
    values = model.parameters() if values is None else values
    found: dict[str, Array] = {}
    for name, weight in weights.items():
        position = _place(name)
        found |= split(model.places[position], position, values, weight, model.seed, model.index[name])
    return found


def check_free(model: Compiled, names: Iterable[str], what: str) -> None:
    """Refuse weights that `what` cannot set, since their largest singular value is fixed."""
    for name in names:
        layer = model.places[_place(name)]
        if getattr(layer, "spectral_norm", False):
            raise ArgumentError(
                f"net: expected layers without spectral_norm for {what}, which sets the size of weights, "
                f"got layers[{_place(name)}]: {layer!r}"
            )


def masked_parameters(
    model: Compiled, masks: Mapping[str, Array], before: Mapping[str, Array], frozen: Container[str] = ()
) -> dict[str, Array]:
    """The parameters to set for new masks: what is masked becomes 0, what multiplies x elsewhere stays.

    Only with spectral normalisation does the rest change, and only by one factor: what is left has a largest
    singular value of 1 again. A column that masks `before` had emptied gets a direction to train from, unless
    it is `frozen`.
    """
    values = model.parameters()
    found: dict[str, Array] = {}
    for name in dict.fromkeys([*before, *masks]):
        position = _place(name)
        layer = model.places[position]
        mask = masks.get(name, np.ones(values[name].shape, np.bool_))
        if name in before and np.array_equal(mask, before[name]) and not values[name][~mask].any():
            continue  # it holds already
        if name not in masks and name in frozen:
            continue
        if name.endswith(".weight") and getattr(layer, "weight_norm", False):
            found |= _masked_columns(model, name, values, mask)
        elif name in masks:
            found.setdefault(name, values[name])
            if name.endswith(".weight") and is_rescaled(layer):
                found |= iterated(np.where(mask, values[name], 0), values[f"{position}.left"], position)
    for name in found.keys() & masks.keys():  # a magnitude may have a mask of its own beside its weight's
        found[name] = np.where(masks[name], found[name], 0)
    return found


def _masked_columns(model: Compiled, name: str, values: Values, mask: Array) -> dict[str, Array]:
    weight = values[name]
    magnitude = f"{_place(name)}.magnitude"
    norms, kept = column_norms(weight), np.where(mask, weight, 0)
    left = column_norms(kept)
    factor = np.where(left == norms, 1.0, _ratio(left, norms))
    lengths = np.where(left > 0, values[magnitude] * factor, 0)
    empty = (left == 0) & mask.any(axis=0)
    if empty.any():
        kept = np.where(empty & mask, _directions(weight, model.seed, model.index[name]), kept)
    return {name: kept.astype(weight.dtype), magnitude: lengths.astype(weight.dtype)}


def iterated(weight: Array, left: Array, position: str) -> dict[str, Array]:
    """Both vectors of the largest singular value, by power iteration from the left one."""
    exact, u = weight.astype(np.float64), left.astype(np.float64)
    if not _product(u[None, :], exact).any():
        return {f"{position}.left": np.zeros_like(left)}  # the core begins anew
    for _ in range(_ITERATIONS):
        v = _unit(_product(u[None, :], exact)[0])
        u = _unit(_product(exact, v[:, None])[:, 0])
    return {f"{position}.left": u.astype(left.dtype), f"{position}.right": v.astype(left.dtype)}


def _unit(v: NDArray[np.float64]) -> NDArray[np.float64]:
    return v / max(float(np.sqrt(_product(v[None, :], v[:, None])[0, 0])), 1e-12)


def _ratio(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """a / b, 0 where b is."""
    return np.divide(a, b, out=np.zeros(np.broadcast_shapes(a.shape, b.shape)), where=b != 0)


def _product(a: Any, b: Any) -> NDArray[np.float64]:
    product: NDArray[np.float64] = _core.gemm(np.ascontiguousarray(a), np.ascontiguousarray(b), None, None)
    return product
