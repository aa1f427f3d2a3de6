"""gradcore._core: its stubs tell what it has; Cython modules of other projects may cimport it."""

import ast
import importlib.util
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import gradcore
import numpy as np
import pytest
from gradcore import Dense, Network, _core

PACKAGE = Path(gradcore.__file__).parent
FOLDER = PACKAGE / "_core"


def names_of(stub):
    """What a stub declares that exists at run time: no types, no private names."""
    for node in ast.parse(stub.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.ClassDef) and not any("TypedDict" in ast.dump(base) for base in node.bases):
            yield node.name
        elif isinstance(node, ast.AnnAssign):
            yield node.target.id


def test_stubs_tell_what_there_is():
    told = {stub.stem: set(names_of(stub)) for stub in FOLDER.glob("*.pyi") if stub.stem != "__init__"}
    listed = {place.rpartition(".")[2]: set(names) for place, names in _core._NAMES.items()}
    assert {module: names for module, names in told.items() if names} == listed
    for names in listed.values():
        for name in names:
            assert getattr(_core, name) is not None, name
            assert name in dir(_core), name


def test_every_module_has_a_stub_or_nothing_for_python():
    for source in FOLDER.glob("*.pyx"):
        defined = re.search(r"^(def|cdef class|cpdef) ", source.read_text(), re.MULTILINE)
        assert (FOLDER / f"{source.stem}.pyi").exists() or not defined, source.stem


def test_declarations_for_cython_are_those_of_the_headers():
    """What gradcore.pxd lacks is to be added there; bits of options are read by name instead."""
    declared = set(re.findall(r"\w+", (PACKAGE / "gradcore.pxd").read_text()))
    headers = (PACKAGE / "include" / "gradcore").glob("*.h")
    for header in [path for path in headers if path.name != "api.h"]:  # the same functions as a table
        text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.DOTALL)
        functions = set(re.findall(r"\b(gradcore_\w+)\(", text))
        constants = set(re.findall(r"\b(GRADCORE_(?!OPTIMIZER_|LAYER_)\w+) =", text))
        missing = (functions | constants) - declared
        assert not missing, f"{header.name}: gradcore.pxd lacks {', '.join(sorted(missing))}"


OUTSIDE = """
from gradcore._core cimport CoreNetwork, CoreTrainer, Pass, Steps
from gradcore.gradcore cimport gradcore_network_get_info, gradcore_network_info

def outputs_of(CoreNetwork network):
    cdef gradcore_network_info info
    info.size = sizeof(info)
    gradcore_network_get_info(network.handle, &info)
    return info.outputs
"""


def test_a_module_of_another_project_can_be_built(tmp_path):
    pytest.importorskip("Cython")
    (tmp_path / "outside.pyx").write_text(OUTSIDE)
    command = [sys.executable, "-m", "cython", "-3", f"-I{PACKAGE.parent}", "outside.pyx"]
    subprocess.run(command, cwd=tmp_path, check=True)
    include = [f"-I{PACKAGE / 'include'}", f"-I{sysconfig.get_paths()['include']}", f"-I{np.get_include()}"]
    library = [str(next(PACKAGE.glob("libgradcore-1.*"))), f"-Wl,-rpath,{PACKAGE}"]
    command = ["cc", "-O0", "-w", "-shared", "-fPIC", *include, "outside.c", *library, "-o", "outside.so"]
    subprocess.run(command, cwd=tmp_path, check=True)
    spec = importlib.util.spec_from_file_location("outside", tmp_path / "outside.so")
    outside = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(outside)
    assert outside.outputs_of(Network([Dense(3)], inputs=2)._core) == 3
    with pytest.raises(TypeError):
        outside.outputs_of(1)
