"""Files and bytes in the safetensors format: the header that all of gradcore carry, and its checksum."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from .. import _core
from ..errors import ArgumentError, DTypeError, FileError, FormatError, GradcoreError, MemoryLimitError
from ..validation.arrays import Array
from ..validation.checks import file_path, shown

Tensors = list[tuple[str, Array]]

FORMAT_VERSION = 1
_KEYS = {"format", "format_version", "kind", "network", "metadata", "trainer"}


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
