"""Arrows go down: who imports whom in gradcore, read from the sources, whenever the import would happen."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import gradcore
import pytest

PACKAGE = Path(gradcore.__file__).parent
ROOT = PACKAGE.parent
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text()) for name, path in FILES.items()}
FRONTS = [name for name, tree in TREES.items() if "by_folder(__name__)" in ast.unparse(tree)]


def imports(name, tree):
    """The modules that a file imports, in functions and for type checkers too."""
    package = name if FILES[name].name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {f"{base}.{alias.name}" for alias in node.names} | {base}
            if any(f"{base}.{alias.name}" in FILES or alias.name == "_core" for alias in node.names):
                found.discard(base)  # the module is asked for, not what its package offers
    if name in FRONTS:  # it imports what its files list when it is asked for it
        found |= {other for other in FILES if other.rpartition(".")[0] == name}
    if "by_table(" in ast.unparse(tree) and name != "gradcore.lazy":  # so does this, by a table
        texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
        found |= {text.removesuffix(".*") for text in texts if isinstance(text, str)}
    return (found & FILES.keys()) - {name}


GRAPH = {name: imports(name, tree) for name, tree in TREES.items()}


def circles(graph):
    """Files that are left when those that import none of the others are taken away, from both ends."""
    left = dict(graph)
    while True:
        wanted = {other for others in left.values() for other in others}
        free = {name for name, others in left.items() if not others & left.keys() or name not in wanted}
        if not free:
            return sorted(left)
        left = {name: others - free for name, others in left.items() if name not in free}


@pytest.mark.quick
def test_no_file_imports_itself_over_others():
    """One that fails: let the lower file take what it needs as an argument, or as a Protocol of its own."""
    assert not circles(GRAPH), {name: sorted(GRAPH[name] & set(circles(GRAPH))) for name in circles(GRAPH)}


def test_a_planted_circle_is_found():
    planted = {**GRAPH, "gradcore.errors": {"gradcore.network.network"}}
    assert {"gradcore.errors", "gradcore.network.network"} <= set(circles(planted))


# ---- What is private to a file ----

THEIRS = {"_getframe", "_SubParsersAction", "_ArgumentGroup"}  # of the standard library


def privates(tree):
    """Attributes with a leading underscore of other objects than one's own, that the file does not define."""
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for node in ast.walk(tree):
        stored = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        own |= {node.attr} if stored and getattr(node.value, "id", "") in ("self", "cls") else set()
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            own |= {target.id for target in targets if isinstance(target, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            inherited = getattr(node.value, "id", "") in ("self", "cls") or "super()" in ast.unparse(
                node.value
            )
            if not inherited and node.attr not in own | THEIRS:
                yield f"line {node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith("gradcore")):
            for alias in node.names:
                if alias.name.startswith("_") and alias.name not in ("_core", "__version__"):
                    yield f"line {node.lineno}: import {alias.name}"


@pytest.mark.quick
def test_no_file_looks_into_the_private_parts_of_another():
    """Give what several files need a name without an underscore, in the file that has it."""
    found = {name: list(privates(tree)) for name, tree in TREES.items()}
    assert not {name: looks for name, looks in found.items() if looks}


def test_a_planted_look_is_found():
    for text in ("trainer._core.step", "from .network import _unpickle", "def f(net):\n    return net._x"):
        assert list(privates(ast.parse(text)))
    assert not list(privates(ast.parse("class A:\n    def f(self, other):\n        self._x = other._x")))


# ---- Imports that tools cannot follow ----


def named_imports(tree):
    """Calls that import a module by a name which is not written there, or is one of gradcore's."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "importlib.import_module", "import_module", "__import__",
        ):  # fmt: skip
            first = node.args[0] if node.args else None
            text = getattr(first, "value", None)
            if not isinstance(text, str) or text.startswith((".", "gradcore")):
                yield ast.unparse(node)


@pytest.mark.quick
def test_modules_of_gradcore_are_imported_by_statements():
    """Write an import statement, in a function if it is to happen later; `lazy` alone looks names up."""
    others = {"gradcore.lazy", "gradcore.validation.optional", "gradcore.cli.bench"}  # two: other packages
    found = {name: list(named_imports(tree)) for name, tree in TREES.items() if name not in others}
    assert not {name: calls for name, calls in found.items() if calls}


def test_a_planted_import_by_name_is_found():
    for text in (
        "importlib.import_module(f'gradcore.{x}')",
        "importlib.import_module('.files', __package__)",
    ):
        assert list(named_imports(ast.parse(text)))
    assert not list(named_imports(ast.parse("importlib.import_module('_signal')")))


# ---- The floors, by import-linter ----


def lint(folder):
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", command, "--no-cache"], cwd=folder, capture_output=True, text=True
    )


@pytest.mark.parametrize("planted", [None, "from ..training.trainer import Trainer", "TYPE_CHECKING"])
def test_the_floors_hold_and_a_planted_arrow_up_is_refused(planted, tmp_path):
    pytest.importorskip("importlinter")
    shutil.copy(Path(__file__).parents[2] / "pyproject.toml", tmp_path)
    shutil.copytree(PACKAGE, tmp_path / "gradcore", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    if planted:
        line = "\nif TYPE_CHECKING:\n    from ..network.network import Network\n"
        with (tmp_path / "gradcore" / "clipping" / "base.py").open("a") as file:
            file.write(line if planted == "TYPE_CHECKING" else f"\n{planted}\n")
    done = lint(tmp_path)
    assert (done.returncode == 0) == (planted is None), done.stdout + done.stderr
    if planted:
        assert "gradcore.clipping is not allowed to import" in done.stdout
