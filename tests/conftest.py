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
    parser.addoption("--slow", action="store_true", help="also the tests that CI runs by themselves")
    parser.addoption("--long", action="store_true", help="these, and tests that take minutes to hours")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """`-n auto`: as many processes as the engine takes threads, which a container's quota limits."""
    import gradcore

    return min(gradcore.build_info()["threads"], 8)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A file is one process's work, so that what its tests share is made once."""
    from xdist.scheduler import LoadFileScheduling

    return LoadFileScheduling(config, log) if config.option.dist == "load" else None


# `-m quick` collects nothing else: to collect all tests takes longer than the quick ones run.


@pytest.hookimpl(tryfirst=True)
def pytest_ignore_collect(collection_path, config):
    if config.option.markexpr == "quick" and collection_path.name.startswith("test_"):
        return "mark.quick" not in collection_path.read_text() or None
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector, name, obj):
    if collector.config.option.markexpr == "quick" and name.startswith("test_"):
        return None if "quick" in {mark.name for mark in getattr(obj, "pytestmark", ())} else []
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Slow and long tests leave unless asked for. Of a quick test, the first case of each dtype is quick."""
    option = config.option
    out = set() if option.long else {"long"} if option.slow else {"slow", "long"}
    seen, kept, gone = set(), [], []
    for item in items:
        if item.get_closest_marker("quick"):
            case = item.nodeid.partition("[")[0], "float64" in item.name
            if case in seen:
                item.own_markers = [mark for mark in item.own_markers if mark.name != "quick"]
            seen.add(case)
        (gone if out & {mark.name for mark in item.iter_markers()} else kept).append(item)
    if gone:
        config.hook.pytest_deselected(items=gone)
        items[:] = kept


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
