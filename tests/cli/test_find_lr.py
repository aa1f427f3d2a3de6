"""gradcore find-lr: its chart, JSON, picture and refusals."""

import json
import sys

import numpy as np
import pytest
from gradcore.cli import main


@pytest.fixture
def prices(tmp_path):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 2))
    path = tmp_path / "prices.csv"
    table = np.column_stack([x, 5e4 * (x[:, 0] - 2 * x[:, 1]) + 3e5])
    np.savetxt(path, table, delimiter=",", header="a,b,price", comments="", fmt="%.17g")
    return path


QUICK = ("--hidden", "8", "--steps", "40", "--repeats", "2", "--threads", "1")


def run(capsys, *arguments):
    try:
        status = main(["find-lr", *map(str, arguments)])
    except SystemExit as error:
        status = error.code
    out, err = capsys.readouterr()
    return status, out, err


def test_it_prints_a_chart_and_every_rule(capsys, prices):
    status, out, err = run(capsys, prices, *QUICK)
    assert status == 0 and not err
    assert out.splitlines()[0].startswith("adam, batch 32, 40 steps, mean loss of 2 seeds")
    assert "1.0e-06  " in out
    for rule in ("steepest", "middle", "minimum"):
        assert any(line.startswith(rule) for line in out.splitlines())
    assert out.rstrip().splitlines()[-1].startswith("Try: gradcore train ... --lr ")


def test_json_has_the_curve_and_the_suggestion(capsys, prices):
    status, out, _ = run(capsys, prices, *QUICK, "--optimizer", "sgd", "--json")
    assert status == 0
    report = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert len(report["lrs"]) == len(report["mean"]) == len(report["low"]) == 40
    assert report["lrs"][0] == 1e-6 and report["lrs"][-1] == pytest.approx(10.0)
    assert report["suggestion"] == report["suggestions"][report["rule"]]
    assert 1e-4 < report["suggestion"] < 1.0
    assert report["mean"][-1] is None, "SGD at a rate of 10 does not stay finite"
    assert run(capsys, prices, *QUICK, "--optimizer", "sgd", "--json")[1] == out


def test_it_takes_the_options_of_train(capsys, prices):
    more = ("--target", "a", "--drop", "price", "--no-standardize", "--dropout", "0.1", "--batch-size", "16",
            "--activation", "tanh", "--low", "1e-4", "--high", "1", "--seed", "5")  # fmt: skip
    status, out, err = run(capsys, prices, *QUICK, *more)
    assert status == 0, err
    assert "batch 16" in out and "1.0e-04" in out


def test_the_picture_is_written(capsys, prices, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "rates.png"
    status, out, err = run(capsys, prices, *QUICK, "--plot", path)
    assert status == 0, err
    assert path.read_bytes().startswith(b"\x89PNG")
    assert str(path) in out


def test_without_matplotlib_it_names_the_package_before_any_work(capsys, prices, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    status, out, err = run(capsys, prices, *QUICK, "--plot", tmp_path / "rates.png")
    assert status == 2 and not out and err.endswith("pip install matplotlib\n")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--low", "1", "--high", "0.1"), "--high"),
        (("--steps", "5"), "--steps"),
        (("--optimizer", "lion?"), "--optimizer"),
        (("--activation", "cake"), "--activation"),
        (("--repeats", "0"), "--repeats"),
        (("--plot", "/no/such/folder/x.png"), "/no/such/folder/x.png"),
    ],
)
def test_bad_options_are_one_line(capsys, prices, more, message):
    status, out, err = run(capsys, prices, *QUICK, *more)
    assert status == 2 and not out
    assert err.startswith("gradcore: error: ") and err.count("\n") == 1 and message in err
