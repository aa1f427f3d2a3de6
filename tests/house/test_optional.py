"""Without an optional package: an error that names the package to install, which is on an index."""

import importlib
import re
import sys
from pathlib import Path

import gradcore
import pytest
from gradcore.cli import main
from gradcore.errors import DependencyError
from gradcore.validation.optional import optional

ROOT = Path(__file__).parents[2]


def history():
    return gradcore.History()


CALLS = {
    "History.to_pandas": ("pandas", lambda folder: history().to_pandas()),
    "schedules.plot": ("matplotlib", lambda folder: gradcore.schedules.plot(0.1, 5)),
    "load_parquet": ("pyarrow", lambda folder: gradcore.datasets.load_parquet(folder / "a.parquet")),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_error_names_the_package(tmp_path, monkeypatch, name):
    package, call = CALLS[name]
    for module in [package, *(key for key in sys.modules if key.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DependencyError, match=rf"^{package}: needed .*; pip install {package}$"):
        call(tmp_path)


def test_the_command_line_names_it_too(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(["train", str(tmp_path / "a.parquet")]) == 2
    told = "gradcore: error: pyarrow: needed to read Parquet; pip install pyarrow\n"
    assert capsys.readouterr().err == told


def test_a_package_that_lacks_something_itself_says_what(tmp_path, monkeypatch):
    (tmp_path / "half_there.py").write_text("import not_there_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    told = r"^half_there: needed .*not_there_at_all.*pip install half_there$"
    with pytest.raises(DependencyError, match=told):
        optional("half_there", "for this test")


def test_nobody_is_sent_to_an_index_for_gradcore():
    """It is on none: what is installed from a clone is written `pip install .` and `'.[table]'`."""
    told = re.compile(r"pip install[^\n]*\bgradcore\b|gradcore\[")
    paths = [ROOT / "README.md"]
    for name in ("gradcore", "docs", "bench", "examples"):
        paths += (ROOT / name).rglob("*")
    texts = [path for path in paths if path.suffix in (".py", ".md", ".pyi", ".pyx", ".pxd")]
    assert len(texts) > 100
    for path in texts:
        for line in path.read_text(encoding="utf-8").splitlines():
            if not line.startswith("pip install . && gradcore demo"):
                assert not told.search(line), f"{path}: {line}"
