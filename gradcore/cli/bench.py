"""``gradcore bench``: runs the benchmarks of a source checkout. The package itself does not carry them."""

from __future__ import annotations

import importlib
import sys
from argparse import Namespace
from pathlib import Path

from ..errors import NotFoundError
from ..validation.checks import choice

# What may follow "gradcore bench": the module of bench/ that has main(argv).
MODULES = {
    "kernels": "kernels",
    "training": "training",
    "scaling": "scaling",
    "contention": "contention",
    "regret": "regret",
    "startup": "startup",
    "health": "health",
    "compare": "harness",
    "plot": "plot",
}


def run(arguments: Namespace) -> int:
    """Hand the options to a script of the folder; its exit status."""
    options = list(arguments.options)
    module = "suite"
    if options and not options[0].startswith("-"):
        module = MODULES[choice(options.pop(0), "bench", MODULES)]
    folder = str(_folder())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return int(importlib.import_module(module).main(options))


def _folder() -> Path:
    """The benchmarks beside the package, or in the checkout that is the current folder."""
    roots = (Path(__file__).resolve().parents[2], Path.cwd())
    for root in roots:
        if (root / "bench" / "harness.py").is_file() and (root / "src_c" / "base" / "tables.h").is_file():
            return root / "bench"
    raise NotFoundError(
        "bench: expected the source of gradcore, since an installed package does not carry the benchmarks, "
        f"in {' or '.join(map(str, dict.fromkeys(roots)))}, found none; run the command in a checkout"
    )
