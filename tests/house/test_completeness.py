"""Every row of the engine's tables has an oracle, a line in the docs, a bench case and a property."""

import re
from pathlib import Path

import oracle
import pytest
from gradcore import _core
from support import cases

ROOT = Path(__file__).parents[2]
FAMILIES = ("activation", "loss", "optimizer", "layer", "isa")
ROWS = [(family, name) for family in FAMILIES for name in _core.names(family) if name not in cases.BRACKETS]


@pytest.mark.parametrize(("family", "name"), [row for row in ROWS if row[0] != "isa"])
@pytest.mark.quick
def test_a_row_has_an_oracle(family, name):
    files = {"activation": "activations", "loss": "losses", "optimizer": "optimizers", "layer": "layers"}
    assert name in oracle.ORACLES[family], (
        f"{name}: write its formula, in float64, into tests/oracle/{files[family]}.py"
    )


@pytest.mark.parametrize(("family", "name"), ROWS)
@pytest.mark.quick
def test_a_row_has_a_line_in_the_docs(family, name):
    pattern = re.compile(rf"(?<![\w]){re.escape(name)}(?![\w])", re.IGNORECASE)
    assert any(pattern.search(page.read_text()) for page in (ROOT / "docs").glob("*.md")), (
        f"no docs/*.md names {name}: run `python docs/make_catalogue.py`"
    )


@pytest.mark.quick
def test_the_catalogue_is_what_the_tables_say(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import make_catalogue

    assert make_catalogue.PAGE.read_text() == make_catalogue.page()


@pytest.mark.parametrize(("family", "name"), ROWS)
def test_a_row_has_a_bench_case_that_runs(family, name, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    import kernel_cases

    found = [case for case in kernel_cases.all_cases(_core) if (case.family, case.name) == (family, name)]
    kinds = {(case.dtype, case.direction) for case in found}
    directions = ("forward", "backward") if family == "activation" else ("",)
    assert kinds == {(dtype, direction) for dtype in kernel_cases.DTYPES for direction in directions}
    for dtype, direction in sorted(kinds):
        same = [case for case in found if (case.dtype, case.direction) == (dtype, direction)]
        smallest = min(same, key=lambda case: case.rows * case.columns)
        kernel_cases.gradcore_call(smallest, threads=1)()


@pytest.mark.quick
def test_an_oracle_has_a_row():
    """So that a removed or renamed row takes its oracle with it."""
    for family, oracles in oracle.ORACLES.items():
        assert set(oracles) == set(_core.names(family)) - cases.BRACKETS


@pytest.mark.quick
def test_the_tables_in_c_and_the_names_in_python_agree():
    source = (ROOT / "src_c" / "base" / "tables.h").read_text()
    for family, macro in (("activation", "ACTIVATIONS"), ("loss", "LOSSES"), ("optimizer", "OPTIMIZERS")):
        body = re.search(rf"#define GRC_{macro}\(X\b.*?\)(.*?)\n\n", source, re.DOTALL).group(1)
        assert re.findall(r"\bX\((\w+),", body) == _core.names(family)


@pytest.mark.quick
def test_every_row_describes_itself():
    for name in _core.names("activation"):
        assert _core.describe("activation", name, "formula")
        assert _core.describe("activation", name, "initializer") in oracle.initializers.INITIALIZERS
    for name in _core.names("loss"):
        assert _core.describe("loss", name, "formula")
        assert _core.describe("loss", name, "target").lower() in ("values", "labels", "halves")
    for name in _core.names("optimizer"):
        assert _core.describe("optimizer", name, "hyperparameters")


def test_unknown_names_have_no_description():
    assert _core.describe("activation", "no_such", "formula") is None
    assert _core.describe("activation", "relu", "no_such") is None
    assert _core.names("activation")[0] == "identity"
