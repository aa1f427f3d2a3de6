"""Initializers by their names."""

from __future__ import annotations

from ..errors import DTypeError
from ..lazy import find
from ..validation.checks import choice, shown
from .base import Initializer

__all__ = ["get", "names"]

_NAMES: dict[str, str] = {  # of the classes
    "glorot_uniform": "GlorotUniform",
    "glorot_normal": "GlorotNormal",
    "he_uniform": "HeUniform",
    "he_normal": "HeNormal",
    "lecun_uniform": "LecunUniform",
    "lecun_normal": "LecunNormal",
    "orthogonal": "Orthogonal",
    "uniform": "Uniform",
    "normal": "Normal",
    "truncated_normal": "TruncatedNormal",
    "zeros": "Constant",
    "siren": "Siren",
    "variance_scaling": "VarianceScaling",
    "sparse": "Sparse",
    "identity": "Identity",
    "delta_orthogonal": "Orthogonal",
}


def names() -> list[str]:
    """The names that `get` knows."""
    return list(_NAMES)


def get(value: Initializer | str, name: str = "initializer") -> Initializer:
    """An initializer from itself or its name.

    Examples
    --------
    >>> from gradcore import initializers
    >>> initializers.get("he_normal")
    HeNormal()
    """
    if isinstance(value, Initializer):
        return value
    if not isinstance(value, str):
        raise DTypeError(f"{name}: expected an initializer or its name, got {shown(value)}")
    kind: type[Initializer] = find(__package__, _NAMES[choice(value, name, _NAMES)])
    return kind()
