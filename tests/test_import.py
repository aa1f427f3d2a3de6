"""Importing gradcore is light: no heavy module, few modules beyond NumPy's, no threads, no environment."""

import json

from support import run_python

HEAVY = ("torch", "pandas", "matplotlib", "tqdm", "scipy", "sklearn", "argparse", "multiprocessing",
         "asyncio", "concurrent.futures", "unittest", "http", "email", "xml", "sqlite3")  # fmt: skip

NEW_MODULES = """
import sys, json, {first}
before = set(sys.modules)
import gradcore
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def new_modules(first):
    return json.loads(run_python(NEW_MODULES.format(first=first)).stdout)


def test_import_pulls_no_heavy_module():
    loaded = new_modules("numpy")
    assert not [name for name in loaded if name in HEAVY or name.startswith(tuple(f"{h}." for h in HEAVY))]


def test_import_adds_few_modules_beyond_its_own():
    others = [name for name in new_modules("numpy") if not name.startswith("gradcore")]
    assert len(others) <= 40, others


def test_import_starts_no_thread_and_changes_no_environment():
    run_python("""
import os, numpy
threads = lambda: len(os.listdir('/proc/self/task'))
before = dict(os.environ), threads()
import gradcore
assert (dict(os.environ), threads()) == before
""")


def test_lazy_names_are_listed_and_importable():
    run_python("""
import gradcore
for name in gradcore.__all__:
    assert name in dir(gradcore), name
    assert getattr(gradcore, name) is not None, name
""")


def test_an_unknown_name_is_an_attribute_error():
    run_python("""
import gradcore
try:
    gradcore.no_such_name
except AttributeError as error:
    assert 'no_such_name' in str(error)
else:
    raise SystemExit('no error')
""")


def test_every_error_is_a_gradcore_error_and_a_builtin():
    run_python("""
import builtins, inspect
from gradcore import errors
classes = [c for _, c in inspect.getmembers(errors, inspect.isclass) if c is not errors.GradcoreError]
assert len(classes) >= 8
for c in classes:
    assert issubclass(c, errors.GradcoreError), c
    assert any(b.__module__ == 'builtins' and b not in (Exception, BaseException, object)
               for b in c.__mro__), c
""")
