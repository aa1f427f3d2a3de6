"""Names of a package whose modules are imported when they are first asked for (PEP 562).

Importing NumPy takes a tenth of a second, and all of gradcore would double that, mostly for classes that a
program does not use. Modules with many public names therefore list where each of them lives:

    if TYPE_CHECKING:
        from .adam import Adam, AdamW
    else:
        __getattr__, __dir__ = on_demand(__name__, {".adam": ("Adam", "AdamW")})

Type checkers and editors read the imports, the interpreter the table; a test compares the two with `__all__`.
A name that has been found is kept in the module, so that it is looked for once. Two threads may ask for it at
the same time: the interpreter imports a module once, and both get the same object.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

__all__ = ["on_demand"]


def on_demand(
    name: str, modules: Mapping[str, Iterable[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` and `__dir__` of the module `name`.

    Parameters
    ----------
    name : str
        The module's `__name__`.
    modules : dict of str to iterable of str
        By module, relative to the package, the names that are found in it. If `name` is a package, its own
        modules among them are found by their names, too.
    """
    module = sys.modules[name]
    package = str(module.__package__)
    places = {item: (place, item) for place, items in modules.items() for item in items}
    if package == name:
        places.update((place[1:], (place, "")) for place in modules if place[1] != ".")

    def find(wanted: str) -> Any:
        if wanted not in places:
            raise AttributeError(f"module {name!r} has no attribute {wanted!r}")
        place, item = places[wanted]
        found = importlib.import_module(place, package)
        value = getattr(found, item) if item else found
        setattr(module, wanted, value)
        return value

    def listed() -> list[str]:
        return sorted({*vars(module), *places})

    return find, listed
