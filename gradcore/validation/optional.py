"""Packages that gradcore can do without, imported where they are needed."""

from __future__ import annotations

import importlib
from types import ModuleType

from ..errors import DependencyError

__all__ = ["optional"]


def optional(module: str, purpose: str) -> ModuleType:
    """A module of another package, or a DependencyError that names the package to install.

    Parameters
    ----------
    module : str
        Its first part is the name of the package, for pip too.
    purpose : str
        For the message: what it is needed for.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        # Of a package that is there but lacks something itself, the reason is shown too.
        why = "" if (error.name or package).partition(".")[0] == package else f" ({error})"
        raise DependencyError(f"{package}: needed {purpose}{why}; pip install {package}") from None
