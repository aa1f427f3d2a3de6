"""What gradcore raises. Every class is a GradcoreError and the built-in that a user would catch.

Messages name the argument, what it may be and what it was::

    X: expected shape (rows, 784), got (64, 783)
"""

__all__ = [
    "ArgumentError",
    "BusyError",
    "DTypeError",
    "DependencyError",
    "FileError",
    "FormatError",
    "GradcoreError",
    "MemoryLimitError",
    "NonFiniteError",
    "NotFoundError",
    "ShapeError",
    "StateError",
]


class GradcoreError(Exception):
    """Base of everything that gradcore raises on purpose."""


class ArgumentError(GradcoreError, ValueError):
    """An argument has a value that it may not have."""


class ShapeError(GradcoreError, ValueError):
    """Sizes or strides do not fit each other."""


class DTypeError(GradcoreError, TypeError):
    """An argument has the wrong type, or an array the wrong element type."""


class BusyError(GradcoreError, RuntimeError):
    """Another thread is using the object."""


class StateError(GradcoreError, RuntimeError):
    """The call needs another call before it."""


class NonFiniteError(GradcoreError, FloatingPointError):
    """A step met NaN or infinity and the policy is "raise"."""


class MemoryLimitError(GradcoreError, MemoryError):
    """There is not enough memory."""


class FileError(GradcoreError, OSError):
    """The operating system refused to read or write a file."""


class NotFoundError(FileError, FileNotFoundError):
    """There is no such file."""


class FormatError(GradcoreError, ValueError):
    """A file is not what it should be: damaged, truncated, or of another kind."""


class DependencyError(GradcoreError, ImportError):
    """An optional package is missing."""


def __dir__() -> list[str]:
    return __all__
