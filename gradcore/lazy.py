"""Names of packages whose modules are imported when they are first asked for (PEP 562).

Importing NumPy takes a tenth of a second, and all of gradcore would double that, mostly for classes that a
program does not use. A public package is therefore a front: it imports nothing, and finds a name when it is
asked for it.

    __getattr__, __dir__ = by_folder(__name__)

offers what the files of the package list in their `__all__`, which is read as text. So a new class is in its
package by being in its file. Type checkers and editors read the stub beside, which a test compares. What
belongs to a higher floor is put in from there: see `add`.

A name that has been found is kept in the module, so that it is looked for once. Two threads may ask for it at
the same time: the interpreter imports a module once, and both get the same object. This is the only file that
imports modules of gradcore by their names; all others have import statements, which tools can follow.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

__all__ = ["add", "all_names", "by_folder", "by_letters", "by_table", "find"]

_LISTED = re.compile(r"^__all__ = \[([^\]]*)\]", re.MULTILINE)
_WORD = re.compile(r"[\"'](\w+)[\"']")
_ADDED: dict[str, list[str]] = {}  # by package: modules of higher floors
_FILES: dict[str, list[str]] = {}  # by package: its modules
_NAMES: dict[str, tuple[str, ...]] = {}  # by module: what it lists

Front = tuple[Callable[[str], Any], Callable[[], list[str]]]


def add(package: str, place: str) -> None:
    """Let the front of a package offer what a module of a higher floor lists, or with ``.*`` behind it all
    that the files of a package list."""
    _ADDED.setdefault(package, []).append(place)


def by_folder(package: str) -> Front:
    """The `__getattr__` and `__dir__` of a package: what its files list, and what was added."""

    def seek(wanted: str) -> Any:
        if wanted == "__all__":
            return _keep(package, wanted, all_names(package))
        if not wanted.startswith("_"):
            if wanted in _files(package):
                return importlib.import_module(f"{package}.{wanted}")
            place = _place(package, wanted)
            if place is not None:
                return _keep(package, wanted, getattr(importlib.import_module(place), wanted))
        raise AttributeError(f"module {package!r} has no attribute {wanted!r}")

    return seek, lambda: _shown(package, all_names(package))


def by_table(module: str, own: Iterable[str], table: Mapping[str, Iterable[str] | None]) -> Front:
    """The `__getattr__` and `__dir__` of a module with a table.

    Parameters
    ----------
    module : str
        Its `__name__`.
    own : iterable of str
        Public names that it has without being asked.
    table : dict of str to iterable of str, or None
        By module, the names that are found in it; with None, all that a package offers; without any, the
        module itself. All of them are found by their last names.
    """
    places = {name: place for place, names in table.items() for name in names or ()}
    modules = {place.rpartition(".")[2]: place for place in table}
    packages = [place for place, names in table.items() if names is None]

    def listed() -> list[str]:
        fronts = [last for last, place in modules.items() if table[place] == ()]
        offered = [name for package in packages for name in all_names(package)]
        return sorted({*own, *places, *fronts, *offered})

    def seek(wanted: str) -> Any:
        if wanted == "__all__":
            return _keep(module, wanted, listed())
        if wanted in modules:
            return _keep(module, wanted, importlib.import_module(modules[wanted]))
        place = places.get(wanted)
        for package in packages if place is None and not wanted.startswith("_") else ():
            place = place or _place(package, wanted)
        if place is None:
            raise AttributeError(f"module {module!r} has no attribute {wanted!r}")
        return _keep(module, wanted, getattr(importlib.import_module(place), wanted))

    return seek, lambda: _shown(module, listed())


def find(package: str, name: str) -> Any:
    """What a package offers under a name; KeyError if it has no such."""
    place = _place(package, name)
    if place is None:
        raise KeyError(name)
    return getattr(importlib.import_module(place), name)


def by_letters(package: str, text: str) -> list[str]:
    """The names that a package offers and with whose letters `text` begins, as "adam_w" does with AdamW's."""
    letters = text.replace("_", "").lower()
    return [name for name in all_names(package) if letters.startswith(name.lower())]


def all_names(package: str) -> list[str]:
    """All names that a package offers, in the order of the alphabet."""
    return sorted({name for place in _places(package) for name in _listed(place)})


def _keep(module: str, name: str, value: Any) -> Any:
    setattr(sys.modules[module], name, value)
    return value


def _shown(module: str, names: Iterable[str]) -> list[str]:
    """What completion shows: nothing but the public names, and what every module has."""
    return sorted({*names, *(name for name in vars(sys.modules[module]) if name.startswith("__"))})


def _place(package: str, name: str) -> str | None:
    """The module that lists a name; those whose own name is like it are looked at first."""
    small = name.lower()
    for place in sorted(_places(package), key=lambda place: not small.startswith(place.rpartition(".")[2])):
        if name in _listed(place):
            return place
    return None


def _places(package: str) -> list[str]:
    """The modules whose names a package offers."""
    places = [f"{package}.{file}" for file in _files(package)]
    for added in _ADDED.get(package, ()):
        other = added.removesuffix(".*")
        places += [added] if other == added else [f"{other}.{file}" for file in _files(other)]
    return places


def _path(name: str) -> str:
    return os.path.join(os.path.dirname(__file__), *name.split(".")[1:])


def _files(package: str) -> list[str]:
    """The modules of a package by their last names."""
    if package not in _FILES:
        try:
            found = [file[:-3] for file in os.listdir(_path(package)) if file.endswith(".py")]
        except OSError:
            found = []
        if not found:  # in an archive, or without sources
            import pkgutil

            found = [info.name for info in pkgutil.iter_modules(importlib.import_module(package).__path__)]
        _FILES[package] = sorted(file for file in found if not file.startswith("_"))
    return _FILES[package]


def _listed(module: str) -> tuple[str, ...]:
    """The names that a module lists."""
    if module not in _NAMES:
        try:
            with open(f"{_path(module)}.py", encoding="utf-8") as file:
                listed = _LISTED.search(file.read())
            _NAMES[module] = tuple(_WORD.findall(listed[1])) if listed else ()
        except OSError:
            _NAMES[module] = tuple(getattr(importlib.import_module(module), "__all__", ()))
    return _NAMES[module]
