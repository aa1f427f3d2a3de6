"""The examples in the docstrings of the package."""

import doctest
import importlib
import pkgutil

import gradcore
import pytest

MODULES = [
    module.name
    for module in pkgutil.walk_packages(gradcore.__path__, "gradcore.")
    if not module.name.endswith("__main__") and ".lib" not in module.name  # the C library is no module
]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
