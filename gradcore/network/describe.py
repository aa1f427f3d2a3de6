"""Descriptions of gradcore objects as JSON, and the objects from them."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import MISSING, fields
from functools import lru_cache
from typing import Any, TypeVar

from ..clipping.base import Clip, Constraint
from ..errors import ArgumentError, FormatError
from ..initializers.base import Initializer
from ..layers.base import Layer
from ..layers.residual import Residual
from ..lazy import by_letters, find
from ..losses.base import Loss
from ..losses.penalty import Penalty
from ..optimizers.interface import AnyOptimizer
from ..schedules.base import Checked
from ..validation.checks import file_name

_T = TypeVar("_T")
_ROOT = "gradcore"


# The packages that offer the classes that files may name, and what those are. A class is imported when a
# file, or an object that is saved, has one.
_KINDS: dict[str, tuple[type, ...]] = {
    "layers": (Layer,),
    "optimizers": (AnyOptimizer,),
    "initializers": (Initializer,),
    "clipping": (Clip, Constraint),
    "losses": (Loss, Penalty),
    "schedules": (Checked,),
}
_GROUP = ("optimizers", "Group")  # of no such kind
_ONCE = dict.fromkeys(("norms", "gates", "embedding", "heads"), "layers")  # modules of version 0.1


def _found(place: str, own: str) -> type | None:
    """The class of this name in a package, if files may name it."""
    try:
        found = find(f"{_ROOT}.{place}", own)
    except KeyError:
        return None
    if not isinstance(found, type) or "abstract" in found.__dict__:
        return None
    return found if issubclass(found, _KINDS[place]) or (place, own) == _GROUP else None


@lru_cache
def class_of(name: str) -> type:
    """The class of a name in a file; KeyError if there is none.

    Files of version 0.1 name a class by the module that it was in then: "norms.LayerNorm".
    """
    if "." in name:
        place, _, own = name.partition(".")
        candidates = [(_ONCE.get(place, place), own)]
    else:
        candidates = [(place, own) for place in _KINDS for own in by_letters(f"{_ROOT}.{place}", name)]
    for place, own in candidates:
        found = _found(place, own) if place in _KINDS else None
        if found is not None and ("." in name or file_name(found) == name):
            return found
    raise KeyError(name)


@lru_cache
def name_of(kind: Hashable) -> str | None:
    """The name in files of a class; None if it has none."""
    if not isinstance(kind, type):
        return None
    name = file_name(kind)
    try:
        return name if class_of(name) is kind else None
    except KeyError:
        return None


def describe(value: object, name: str) -> Any:
    """`value` as JSON data; `name` is where it stands, for the message if it cannot be stored."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [describe(item, f"{name}[{i}]") for i, item in enumerate(value)]
    kind = name_of(type(value))  # type: ignore[arg-type]  # classes are hashable
    if kind is None:
        raise ArgumentError(
            f"{name}: expected a number or a class of gradcore where it is saved, got {value!r}"
        )
    described = {
        field.name: describe(getattr(value, field.name), f"{name}.{field.name}")
        for field in fields(value)  # type: ignore[arg-type]
        if field.init
    }
    return {"type": kind, **described}


def build(description: Any) -> Any:
    """The object that `describe` described; its class checks it anew."""
    if isinstance(description, list):
        return tuple(build(item) for item in description)
    if not isinstance(description, dict):
        return description
    options = dict(description)
    name = options.pop("type")
    kind = class_of(name)
    if name in ("losses.Custom", "custom_loss"):
        raise FormatError("losses.Custom: expected a class that a file can hold, got a function of Python")
    built = {key: build(value) for key, value in options.items()}
    if kind is Residual:
        return Residual(*built.pop("layers"), **built)
    known = {field.name: field for field in fields(kind)}
    missing = [
        key
        for key, field in known.items()
        if field.init and field.default is MISSING and field.default_factory is MISSING and key not in built
    ]
    if missing or built.keys() - known.keys():
        raise FormatError(f"{kind.__name__}: expected the fields {list(known)}, got {list(built)}")
    return kind(**built)


def build_as(description: Any, kind: type[_T], name: str) -> _T:
    """The object that `describe` described, which has to be of a kind."""
    built = build(description)
    if not isinstance(built, kind):
        raise FormatError(f"{name}: expected the description of one, got that of {built!r}")
    return built


def plain(kind: type[_T], values: Any, name: str) -> _T:
    """A dataclass of plain fields from JSON data, each value checked against its field's annotation."""
    known = {field.name: str(field.type) for field in fields(kind)}  # type: ignore[arg-type]
    if not isinstance(values, dict) or not values.keys() <= known.keys():
        raise FormatError(f"{name}: expected some of the fields {list(known)}, got {values!r}")
    for key, value in values.items():
        if not _fits(value, known[key]):
            raise FormatError(f"{name}: expected {key} to be {known[key]}, got {value!r}")
    return kind(**values)


def _fits(value: Any, annotation: str) -> bool:
    """Whether a value from JSON is what an annotation says; counts are at least 0, floats may be NaN."""
    if annotation.endswith(" | None"):
        return value is None or _fits(value, annotation.removesuffix(" | None"))
    if annotation.startswith("list["):
        item = annotation[5:-1].replace("int", "float")  # columns of counts may have NaN
        return isinstance(value, list) and all(_fits(part, item) for part in value)
    if annotation.startswith("dict[str, "):
        parts = value.values() if isinstance(value, dict) else ()
        return isinstance(value, dict) and all(_fits(part, annotation[10:-1]) for part in parts)
    if annotation == "int":
        return type(value) is int and 0 <= value < 2**63
    if annotation == "float":
        return type(value) is float or (type(value) is int and abs(value) < 2**63)
    return {"bool": bool, "str": str}.get(annotation) is type(value)
