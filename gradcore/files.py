"""Descriptions of gradcore objects as JSON, and the header that every file of gradcore carries."""

from __future__ import annotations

import importlib
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, fields
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np

from . import _core
from .arrays import Array
from .checks import file_name, file_path, shown
from .clipping.base import Clip, Constraint
from .errors import ArgumentError, DTypeError, FileError, FormatError, GradcoreError, MemoryLimitError
from .initializer import Initializer
from .layers import Layer, Residual
from .loss_base import Loss
from .penalty import Penalty
from .rule import Rule
from .schedules.base import Checked

_T = TypeVar("_T")
Tensors = list[tuple[str, Array]]

FORMAT_VERSION = 1
_KEYS = {"format", "format_version", "kind", "network", "metadata", "trainer"}


# Where the classes are that files may name, and what those are. A module is imported when a file, or an
# object that is saved, has something of it.
_KINDS: dict[str, tuple[type, ...]] = {
    "layers": (Layer,),
    "norms": (Layer,),
    "gates": (Layer,),
    "embedding": (Layer,),
    "heads": (Layer,),
    "optimizers": (Rule,),
    "initializers": (Initializer,),
    "clipping": (Clip, Constraint),
    "losses": (Loss, Penalty),
    "schedules": (Checked,),
}
_SINGLE = {"early_stopping": "callbacks.EarlyStopping", "group": "optimizers.Group"}  # of no such kind


def _found(place: str, own: str) -> type | None:
    """The class of this name in a module, if files may name it."""
    module = importlib.import_module(f".{place}", __package__)
    if f"{place}.{own}" in _SINGLE.values():
        single: type = getattr(module, own)
        return single
    kinds, found = _KINDS.get(place, ()), getattr(module, own) if own in module.__all__ else None
    good = isinstance(found, type) and issubclass(found, kinds) and "abstract" not in found.__dict__
    return found if good else None


@lru_cache
def class_of(name: str) -> type:
    """The class of a name in a file; KeyError if there is none.

    Files of version 0.1 name a class by the module that it was in then: "norms.LayerNorm".
    """
    if "." in name:
        place, _, own = name.partition(".")
        if place in _KINDS or name in _SINGLE.values():
            found = _found(place, own)
            if found is not None:
                return found
        raise KeyError(name)
    for place, own in _candidates(name):
        found = _found(place, own)
        if found is not None and file_name(found) == name:
            return found
    raise KeyError(name)


def _candidates(name: str) -> Iterator[tuple[str, str]]:
    """Modules and classes that a name in a file may mean, by their letters alone."""
    if name in _SINGLE:
        place, _, own = _SINGLE[name].partition(".")
        yield place, own
    letters = name.replace("_", "")
    for place in _KINDS:
        for own in importlib.import_module(f".{place}", __package__).__all__:
            if letters.startswith(own.lower()):
                yield place, own


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


def header(kind: str, **parts: Any) -> dict[str, str]:
    """The metadata of a file: what it is, and its parts as JSON."""
    import json

    return {
        "format": "gradcore",
        "format_version": str(FORMAT_VERSION),
        "kind": kind,
        **{key: json.dumps(part, separators=(",", ":")) for key, part in parts.items()},
    }


def parts(metadata: Mapping[str, str], kinds: tuple[str, ...]) -> dict[str, Any]:
    """The parts of a file's metadata; FormatError if it is not one of `kinds`."""
    import json

    if metadata.get("format") != "gradcore":
        raise FormatError("file: expected one that gradcore saved, got another safetensors file")
    version = metadata.get("format_version", "")
    if not (version.isascii() and version.isdigit() and 1 <= int(version) <= FORMAT_VERSION):
        raise FormatError(f"file: expected format version 1 to {FORMAT_VERSION}, got {version!r}")
    kind = metadata.get("kind")
    if kind not in kinds:
        raise FormatError(f"file: expected a {' or a '.join(kinds)}, got a {kind}")
    skip = ("format", "format_version", "kind")
    try:
        return {key: json.loads(text) for key, text in metadata.items() if key not in skip}
    except (ValueError, RecursionError) as error:
        raise FormatError(f"file: expected JSON in its metadata: {error}") from None


def read(path: object) -> tuple[dict[str, Array], dict[str, str]]:
    """Tensors and metadata of a file, its checksum tested."""
    name = file_path(path)
    with _naming(path):
        return _checked(*_core.load_file(name))


def write(path: object, tensors: Tensors, metadata: Mapping[str, str]) -> None:
    """A file, whole or not at all."""
    name = file_path(path)
    with _naming(path):
        _core.save_file(name, tensors, _sealed(tensors, metadata))


def decode(data: bytes) -> tuple[dict[str, Array], dict[str, str]]:
    """`read` from memory."""
    return _checked(*_core.decode(data))


def encode(tensors: Tensors, metadata: Mapping[str, str]) -> bytes:
    """`write` to memory."""
    return _core.encode(tensors, _sealed(tensors, metadata))


@contextmanager
def _naming(path: object) -> Iterator[None]:
    """The core's messages about a file lack its name."""
    try:
        yield
    except (FileError, FormatError) as error:
        raise type(error)(f"{path}: {error}") from None
    except ArgumentError as error:  # "path: expected a regular file, found a folder"
        raise ArgumentError(f"{error}: {path}") from None


def _checksum(tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> str:
    """CRC-32 of all but itself, in the order of the names: metadata, then names, dtypes, shapes and bytes."""
    import json
    import zlib

    about = [sorted(metadata.items())]
    crc = zlib.crc32(json.dumps(about).encode())
    for name in sorted(tensors):
        array = tensors[name]
        crc = zlib.crc32(f"{name} {array.dtype.name} {array.shape}".encode(), crc)
        crc = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, crc)
    return f"{crc:08x}"


def _sealed(tensors: Tensors, metadata: Mapping[str, str]) -> dict[str, str]:
    return {**metadata, "crc32": _checksum(dict(tensors), metadata)}


def _checked(tensors: dict[str, Array], metadata: dict[str, str]) -> tuple[dict[str, Array], dict[str, str]]:
    """Without the checksum, which files that other programs wrote need not have."""
    rest = {key: text for key, text in metadata.items() if key != "crc32"}
    if "crc32" in metadata and metadata["crc32"] != (found := _checksum(tensors, rest)):
        raise FormatError(f"file: expected the checksum {metadata['crc32']!r}, got {found!r}: it is damaged")
    unknown = metadata.keys() - _KEYS
    if metadata.get("format") == "gradcore" and "crc32" not in metadata and unknown:
        raise FormatError(f"file: expected a checksum beside {', '.join(sorted(unknown))}: it is damaged")
    return tensors, rest


def check_strings(value: object, name: str) -> dict[str, str]:
    """`value` as a dict of strings."""
    if not isinstance(value, Mapping):
        raise DTypeError(f"{name}: expected a dict of strings, got a {type(value).__name__}")
    for key, text in value.items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise DTypeError(f"{name}: expected strings, got {shown(key)}: {text!r}")
    return dict(value)


def tensor(
    tensors: Mapping[str, Array], name: str, shape: tuple[int, ...], dtype: np.dtype[Any] | None = None
) -> Array:
    """The tensor with this name; FormatError unless it has this shape and dtype."""
    value = tensors.get(name)
    if value is None or value.shape != shape or (dtype is not None and value.dtype != dtype):
        got = "none" if value is None else f"{value.dtype} of shape {value.shape}"
        raise FormatError(f"{name}: expected {dtype or 'an array'} of shape {shape}, got {got}")
    return value


@contextmanager
def reading() -> Iterator[None]:
    """While something is built from a file: whatever the file's content makes fail is a FormatError."""
    try:
        yield
    except (FormatError, MemoryLimitError):
        raise
    except MemoryError as error:
        raise MemoryLimitError(f"file: no memory for what it describes: {error}") from error
    except (
        GradcoreError,
        ArithmeticError,
        AttributeError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise FormatError(f"file: its description does not fit its content: {error}") from error


def check_weights(stack: tuple[Layer, ...], inputs: int, tensors: Mapping[str, Array]) -> None:
    """Refuse a description whose weights are not those of the file before it costs memory."""
    width = inputs
    for index, layer in enumerate(stack):
        for name, shape in layer.matrices(width, str(index)):
            tensor(tensors, name, shape)
        width = layer.width_after(width, str(index))
