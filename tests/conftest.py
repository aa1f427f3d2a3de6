"""What all test files share: imports of helpers, the locale, parameters for instruction sets and dtypes."""

import locale
import os
import sys
from pathlib import Path

import pytest

# Helpers are imported as `oracle`, `support` and `vectors`; test files, which have different names, by these.
HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), *sorted({str(path.parent) for path in HERE.glob("*/test_*.py")})]

# As a host would: the tests run under whatever LC_ALL and LANG say, CI's under one with a decimal comma.
try:
    locale.setlocale(locale.LC_ALL, "")
except locale.Error:
    if os.environ.get("LC_ALL", "").startswith("de_DE"):
        raise
if os.environ.get("LC_ALL", "").startswith("de_DE"):
    assert locale.localeconv()["decimal_point"] == ","


def pytest_report_header(config):
    return f"locale: {locale.setlocale(locale.LC_NUMERIC)}"


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="also the tests that take minutes to hours")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--slow"):
        skip = pytest.mark.skip(reason="slow: use --slow")
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(skip)


def pytest_generate_tests(metafunc):
    """`isa` and `dtype` arguments run over what this machine and the engine have."""
    if "isa" in metafunc.fixturenames:
        from gradcore import _core

        metafunc.parametrize("isa", _core.names("isa"))
    if "dtype" in metafunc.fixturenames and "dtype" not in _parametrized(metafunc):
        metafunc.parametrize("dtype", ["float32", "float64"])


def _parametrized(metafunc):
    return {
        name.strip()
        for mark in metafunc.definition.iter_markers("parametrize")
        for name in (mark.args[0].split(",") if isinstance(mark.args[0], str) else mark.args[0])
    }
