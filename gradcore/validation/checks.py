"""Checks of scalar arguments, each with one message: argument, expected, received."""

from __future__ import annotations

import math
import numbers
import operator
import os
import re
from collections.abc import Iterable
from dataclasses import MISSING, fields
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import DTypeLike

from ..errors import ArgumentError, DTypeError


def shown(value: object) -> str:
    """What came, for a message: short, on one line, whatever the object is."""
    kind = type(value)
    if isinstance(value, np.ndarray):
        return f"{value.dtype} array of shape {value.shape}" if value.ndim else f"{value[()]!r} in an array"
    shape = _attribute(value, "shape")
    if isinstance(shape, tuple) and not isinstance(value, np.generic):
        return f"a {kind.__name__} of shape {shape}"
    try:
        text = repr(value)
    except Exception:  # an object of the user's
        return f"a {kind.__name__}"
    text = " ".join(text.split()) if "\n" in text else text
    return text if len(text) <= 400 else f"{text[:200]} ..."


def _attribute(value: object, name: str) -> Any:
    try:
        return getattr(value, name, None)
    except Exception:  # a property of the user's
        return None


def integer(value: object, name: str, low: int = 0, high: int = 2**63 - 1) -> int:
    """`value` as an int within [low, high]; booleans and floats are refused."""
    try:
        if isinstance(value, bool):
            raise TypeError
        result = operator.index(value)  # type: ignore[arg-type]
    except Exception:
        raise DTypeError(f"{name}: expected an integer, got {shown(value)}") from None
    if not low <= result <= high:
        bound = f">= {low}" if high == 2**63 - 1 else f"in [{low}, {high}]"
        raise ArgumentError(f"{name}: expected an integer {bound}, got {result}")
    return result


def number(value: object, name: str) -> float:
    """`value` as a finite float; booleans, strings and arrays are refused."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise DTypeError(f"{name}: expected a number, got {shown(value)}")
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    except Exception:
        raise DTypeError(f"{name}: expected a number, got {shown(value)}") from None
    if not math.isfinite(result):
        raise ArgumentError(f"{name}: expected a finite number, got {result}")
    return result


def flag(value: object, name: str) -> bool:
    """`value` as a bool; only True and False (NumPy's too) are taken."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise DTypeError(f"{name}: expected True or False, got {shown(value)}")


def choice(value: object, name: str, options: Iterable[str]) -> str:
    """`value` if it is one of `options`; the message lists them."""
    valid = list(options)
    if not isinstance(value, str):
        raise DTypeError(f"{name}: expected one of {', '.join(valid)}, got {shown(value)}")
    if value not in valid:
        raise ArgumentError(f"{name}: expected one of {', '.join(valid)}, got {shown(value)}")
    return value


def texts(value: object, name: str) -> tuple[str, ...]:
    """`value`, a list or another collection of texts, as a tuple; a single text is refused."""
    found: list[str] = []
    if not isinstance(value, str | bytes) and isinstance(value, Iterable):
        try:
            for item in value:
                if not isinstance(item, str):
                    raise DTypeError(f"{name}[{len(found)}]: expected a text, got {shown(item)}")
                found.append(str(item))
            return tuple(found)
        except DTypeError:
            raise
        except Exception:  # an object of the user's
            pass
    raise DTypeError(f"{name}: expected a list of texts, got {shown(value)}")


_MONITORS = ("loss", "accuracy", "val_loss", "val_accuracy", "grad_norm")
_HEAD_MONITOR = re.compile(r"[\w-]+\.(loss|accuracy)", re.ASCII)


def history_column(value: object, name: str) -> str:
    """`value` if it is a column of the history to judge an epoch by, of all heads or of one."""
    if isinstance(value, str) and _HEAD_MONITOR.fullmatch(value):
        return value
    return choice(value, name, _MONITORS)


def file_path(path: object) -> bytes:
    """A path as the operating system's bytes."""
    try:
        result = os.fsencode(path)  # type: ignore[arg-type]
    except TypeError:
        raise DTypeError(f"path: expected a string or a path object, got {shown(path)}") from None
    except UnicodeEncodeError as error:
        raise ArgumentError(
            f"path: expected text that the file system can hold, got {path!r}: {error.reason}"
        ) from None
    if not result or b"\0" in result:
        raise ArgumentError(f"path: expected a non-empty path without null characters, got {path!r}")
    return result


def path_name(path: object) -> str:
    """A path, checked, as text that `open` takes and messages show."""
    return os.fsdecode(file_path(path))


def compact_repr(self: Any) -> str:
    """The repr of a dataclass that can be pasted back: required fields by position, others only where
    they differ from their default."""
    parts = []
    for field in fields(self):
        if not field.init:
            continue
        value = getattr(self, field.name)
        if field.default is MISSING:
            parts.append(repr(value))
        elif value != field.default or type(value) is not type(field.default):
            positional = field.metadata.get("positional", False)
            parts.append(repr(value) if positional else f"{field.name}={value!r}")
    return f"{type(self).__name__}({', '.join(parts)})"


def dtype_name(dtype: DTypeLike) -> str:
    """The name float32 or float64 of whatever NumPy takes for one of them."""
    try:
        name = str(np.dtype(dtype)) if dtype is not None else "None"
    except Exception:
        name = shown(dtype)
    return choice(name, "dtype", ("float32", "float64"))


class Abstract:
    """Base of classes that are there to be inherited from.

    Of those with `abstract` in their own body there are no objects.
    """

    file_suffix: ClassVar[str] = ""  # of the names in files, where two kinds have classes of one name

    def __new__(cls, *arguments: object, **options: object) -> Self:
        """An object, unless the class is such a base."""
        if "abstract" in cls.__dict__:
            raise DTypeError(f"{cls.__name__}: expected one of its subclasses, got the base itself")
        return super().__new__(cls)


def file_name(kind: type) -> str:
    """The name by which files know a class, wherever it lives: "layer_norm", "adam", "cosine_loss".

    The core's own where that has the letters of the class, or else its words in lower case.
    """
    own = kind.__name__
    name = getattr(kind, "name", None)
    if not isinstance(name, str) or name.replace("_", "") != own.lower():
        name = kind.__dict__.get("in_files") or _WORD.sub("_", own).lower()
    return f"{name}{getattr(kind, 'file_suffix', '')}"


_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
