"""Importing gradcore is light: what is not used is not imported, no threads start, the environment stays."""

import ast
import importlib
import json
from pathlib import Path

import gradcore
import pytest
from support import run_each, run_python

PACKAGE = Path(gradcore.__file__).parent

# Beside NumPy and what that needs, `import gradcore` loads these and nothing else.
OWN = {
    "__future__", "gradcore", "gradcore._core", "gradcore._core.checks", "gradcore._core.registry",
    "gradcore.alerts", "gradcore.errors", "gradcore.lazy",
}  # fmt: skip
OF_CYTHON = ("_cython_", "cython_runtime")

# What a program that trains does not load before it calls something that needs it.
LATER = set(
    """
    argparse asyncio concurrent.futures csv ctypes.util email gzip hashlib http json matplotlib
    multiprocessing pandas pathlib scipy sklearn sqlite3 string tempfile torch tqdm unittest xml
    gradcore.callbacks gradcore.clipping.gradients gradcore.datasets gradcore.health gradcore.kernels
    gradcore.layers.dropout gradcore.layers.flat gradcore.layers.gates gradcore.layers.norms
    gradcore.losses.classification gradcore.losses.custom gradcore.losses.penalties gradcore.losses.per_head
    gradcore.initializers.structured
    gradcore.layers.residual gradcore.network.curvature gradcore.network.describe
    gradcore.network.files gradcore.network.folding gradcore.network.refreshing gradcore.network.stored
    gradcore.network.summary
    gradcore.network.whole_network_init gradcore.optimizers.matrices gradcore.optimizers.moments
    gradcore.pruning gradcore.schedules.cycles gradcore.schedules.decay gradcore.search gradcore.second_order
    gradcore.training.callbacks gradcore.training.checkpoint gradcore.training.fit_loop
    gradcore.training.masks gradcore.training.reloading gradcore.training.resuming
    """.split()
)

TRAIN = """
from gradcore import Dense, Network, Trainer, optimizers
trainer = Trainer(Network([Dense(3, 'relu'), Dense(1)], inputs=2), 'mse', optimizers.Adam())
trainer.step(numpy.eye(2), [1.0, 2.0])
trainer.net.predict(numpy.eye(2))
"""


def loaded_by(code):
    """The modules that the code loads in a fresh process that has NumPy."""
    text = f"import json, sys, numpy\nbefore = set(sys.modules)\n{code}\n"
    return set(json.loads(run_python(text + "print(json.dumps(sorted(set(sys.modules) - before)))").stdout))


@pytest.mark.quick
def test_import_loads_the_core_and_nothing_else():
    found = {name for name in loaded_by("import gradcore") if not name.startswith(OF_CYTHON)}
    assert found <= OWN, found - OWN


def test_training_loads_what_it_uses():
    needless = loaded_by(TRAIN) & LATER
    assert not needless, needless


@pytest.mark.parametrize("name", sorted(LATER))
def test_what_is_said_to_come_later_exists(name):
    """Names that no module has would be absent without being left out."""
    if name.startswith("gradcore"):
        assert importlib.util.find_spec(name)


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


# ---- Names that are imported when they are asked for ----

FRONTS = sorted(path.with_suffix(".py") for path in PACKAGE.rglob("__init__.pyi"))


def module_name(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def stub_names(path):
    """What type checkers read in the stub of a package."""
    found = set()
    for node in ast.parse(path.with_suffix(".pyi").read_text()).body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                place = "." * node.level + (node.module or "")
                everything = alias.name == "*"
                module = importlib.import_module(place, module_name(path)) if everything else None
                found |= set(module.__all__) if everything else {alias.name}
    return found


@pytest.mark.parametrize("path", [path for path in FRONTS if path.parent.name != "_core"], ids=module_name)
def test_type_checkers_see_what_the_interpreter_finds(path):
    """A file that is missing in a stub, or too much: write ``from .file import *`` there, or take it out."""
    assert stub_names(path) == set(importlib.import_module(module_name(path)).__all__)


def test_every_public_name_is_found_and_listed():
    run_each(f"""
import {module_name(path)} as module
assert [name for name in dir(module) if not name.startswith("__")] == sorted(module.__all__)
for name in module.__all__:
    assert getattr(module, name) is getattr(module, name)
    assert name in vars(module), name
assert not [name for name in dir(module) if not hasattr(module, name)]
try:
    module.no_such_name
except AttributeError as error:
    assert "no_such_name" in str(error) and module.__name__ in str(error)
else:
    raise SystemExit("no error")
""" for path in FRONTS)  # fmt: skip


PUBLIC = """callbacks clipping datasets errors health history initializers kernels layers losses network
    optimizers pruning schedules search search_line trainer""".split()


@pytest.mark.parametrize("name", PUBLIC)
def test_completion_shows_what_users_need(name):
    """Neither what the module imports nor its files."""
    module = importlib.import_module(f"gradcore.{name}")
    for other in PUBLIC:  # which leaves its mark in the package
        importlib.import_module(f"gradcore.{other}")
    assert [shown for shown in dir(module) if not shown.startswith("__")] == sorted(module.__all__)
    assert [shown for shown in dir(gradcore) if not shown.startswith("__")] == sorted(gradcore.__all__)


def test_names_are_found_in_every_way():
    run_each([
        "from gradcore import *; Network; optimizers.Adam; schedules.Cosine; search.range_test",
        "import gradcore.schedules; gradcore.schedules.Cosine; gradcore.optimizers.LBFGS",
        "import gradcore; gradcore.optimizers.adam.Adam; gradcore.layers.Dense; gradcore.losses.Huber",
        "import gradcore.optimizers as o; from gradcore.optimizers.sgd import SGD; assert o.SGD is SGD",
        "from gradcore.trainer import Trainer; import gradcore; assert gradcore.Trainer is Trainer",
        "import gradcore, pickle; pickle.loads(pickle.dumps(gradcore.optimizers.Adam(lr=0.1)))",
        "import pickle; pickle.loads(b'cgradcore.optimizers.adam\\nAdam\\n.')()",
        "import gradcore; assert gradcore.__version__ == gradcore.build_info()['version']",
    ])  # fmt: skip


@pytest.mark.slow
def test_every_module_can_be_the_first():
    """No module needs another one to be imported before it."""
    names = [module_name(path) for path in PACKAGE.rglob("*.py") if path.name != "__main__.py"]
    assert len(names) > 80
    run_each(f"import {name}" for name in names)


def test_modules_import_each_other_in_one_direction():
    """So that two threads that import different ones at a time never see half of one."""
    files = {module_name(path): path for path in PACKAGE.rglob("*.py")}
    needs = {}
    for name, path in files.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        needs[name] = set()
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.ImportFrom) or not node.level:
                continue
            base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1])
            place = f"{base}.{node.module}" if node.module else base
            needs[name] |= {place} if node.module else set()
            needs[name] |= {f"{place}.{alias.name}" for alias in node.names}
        needs[name] &= files.keys() - {name}
    while needs:
        free = {name for name, others in needs.items() if not others & needs.keys()}
        assert free, f"a circle among {sorted(needs)}"
        needs = {name: others for name, others in needs.items() if name not in free}


def test_two_threads_may_ask_for_a_name_first():
    run_python("""
import threading
import gradcore
names = [name for name in gradcore.__all__]
found, start = [], threading.Barrier(8)

def look(turn):
    start.wait()
    found.append({name: getattr(gradcore, name) for name in names[turn:] + names[:turn]})

threads = [threading.Thread(target=look, args=(5 * turn,)) for turn in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(found) == 8
for name in names:
    assert all(one[name] is found[0][name] for one in found), name
""")
