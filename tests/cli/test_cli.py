"""The command line: what each command prints, writes and refuses; exit statuses; Ctrl-C."""

import csv
import errno
import json
import math
import os
import signal
import subprocess
import sys
import time

import gradcore
import numpy as np
import pytest
from gradcore import Network, charts
from gradcore.cli import demo, main
from support import started

COMMANDS = ("demo", "train", "predict", "find-lr", "info", "bench")


def run(capsys, *arguments):
    """Exit status, standard output, standard error."""
    try:
        status = main([str(argument) for argument in arguments])
    except SystemExit as error:
        status = error.code
    out, err = capsys.readouterr()
    return status, out, err


def run_json(capsys, *arguments):
    status, out, err = run(capsys, *arguments, "--json")
    assert status == 0, err
    return json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def refused(capsys, *arguments):
    """The message of a command that must fail as all failures do: one line, exit 2, nothing printed."""
    status, out, err = run(capsys, *arguments)
    assert status == 2 and out == "" and err.startswith("gradcore: error: ") and err.count("\n") == 1, err
    return err.removeprefix("gradcore: error: ").rstrip()


@pytest.fixture
def flowers(tmp_path):
    """A table of three classes that a network learns in no time."""
    rng = np.random.default_rng(0)
    path = tmp_path / "flowers.csv"
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["length", "soil", "width", "name"])
        for i in range(150):
            kind = i % 3
            row = [3.0 * kind + rng.normal(0, 0.2), ("sand", "clay")[i % 2], 100 * rng.normal(kind, 0.3)]
            writer.writerow([*row, ("iris", "lily", "rose")[kind]])
    return path


@pytest.fixture
def prices(tmp_path):
    """A table of a number to predict."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 2))
    y = 5e4 * (x[:, 0] - 2 * x[:, 1]) + 3e5
    path = tmp_path / "prices.csv"
    np.savetxt(path, np.column_stack([x, y]), delimiter=",", header="a,b,price", comments="", fmt="%.17g")
    return path


QUICK = ("--hidden", "16", "--epochs", "60", "--lr", "0.01", "--threads", "1")

# ---- The parser ----


def test_help_of_every_command_ends_with_an_example(capsys):
    for command in COMMANDS:
        status, out, _ = run(capsys, command, "--help")
        assert status == 0
        last = out.rstrip().splitlines()[-2:]
        assert last[0] == "example:" and last[1].startswith(f"  gradcore {command}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "command"),
        (["fly"], "'demo', 'train', 'predict', 'find-lr', 'info'"),
        (["train"], "DATA"),
        (["train", "a.csv", "--lr", "-1"], "--lr: expected a number > 0"),
        (["train", "a.csv", "--lr", "fast"], "--lr: invalid number value: 'fast'"),
        (["train", "a.csv", "--hidden", "8,x"], "--hidden"),
        (["train", "a.csv", "--epochs", "0"], "--epochs: expected a whole number >= 1"),
        (["train", "a.csv", "--validation", "1"], "--validation: expected a number in"),
        (["train", "a.csv", "--activation", "sine"], "expected one of identity, relu"),
        (["train", "a.csv", "--optimizer", "magic"], "expected one of adam, adamw, sgd, rmsprop"),
        (["train", "none.csv"], "none.csv: no such file"),
        (["train", "none.csv", "--output", "no/such/folder/m"], "no such folder to write to"),
        (["predict", "none.gradcore", "none.csv"], "none.gradcore: "),
        (["demo", "--output", "no/such/folder/p.png"], "no such folder to write to"),
        (["train", "none.csv", "--output", "/"], "/: expected the name of a file to write, found a folder"),
    ],
)
def test_wrong_usage_is_one_line(capsys, arguments, message):
    assert message in refused(capsys, *arguments)


# ---- train and predict ----


def test_classes_from_file_to_prediction(capsys, flowers, tmp_path):
    model, history, predicted = tmp_path / "m.gradcore", tmp_path / "h.csv", tmp_path / "p.csv"
    status, out, err = run(capsys, "train", flowers, *QUICK, "--output", model, "--history", history)
    assert status == 0, err
    assert "'name', 3 classes: iris, lily, rose" in out and "4-16-3 relu" in out and str(model) in out
    rows = list(csv.DictReader(history.open()))
    assert len(rows) == 60 and float(rows[-1]["val_accuracy"]) == 1.0

    status, out, err = run(capsys, "predict", model, flowers, "--proba", "--output", predicted)
    assert status == 0 and out == "" and "150 rows, accuracy 100.00 %" in err
    rows = list(csv.reader(predicted.open()))
    assert rows[0] == ["name", "p(iris)", "p(lily)", "p(rose)"] and len(rows) == 151
    for row in rows[1:]:
        shares = [float(share) for share in row[1:]]
        assert abs(sum(shares) - 1) < 1e-4 and ("iris", "lily", "rose")[np.argmax(shares)] == row[0]


def test_prediction_needs_no_target_and_finds_columns_by_name(capsys, flowers, tmp_path):
    model, new = tmp_path / "m.gradcore", tmp_path / "new.csv"
    run(capsys, "train", flowers, *QUICK, "--output", model)
    new.write_text("soil,extra,width,length\nclay,x,0,0\nsand,y,200,6\n")
    status, out, err = run(capsys, "predict", model, new)
    assert (status, out, err) == (0, "name\niris\nrose\n", "")
    new.write_text("soil,width,length\nclay,0,0\nmoor,200,6\n")
    assert "line 3, column 'soil': expected one of clay, sand" in refused(capsys, "predict", model, new)
    new.write_text("soil,width\nclay,0\n")
    assert "none named 'length'" in refused(capsys, "predict", model, new)


def test_numbers_are_predicted_in_their_unit(capsys, prices, tmp_path):
    model = tmp_path / "m.gradcore"
    report = run_json(capsys, "train", prices, *QUICK, "--test", prices, "--output", model)
    assert report["task"] == "number" and report["mean"]["test"]["rmse"] < 2e4
    got = run_json(capsys, "predict", model, prices)
    assert math.isclose(got["score"], report["mean"]["test"]["rmse"], rel_tol=1e-5)
    known = np.loadtxt(prices, delimiter=",", skiprows=1)[:, 2]
    assert math.isclose(
        np.sqrt(np.mean((np.array(got["predictions"]) - known) ** 2)), got["score"], rel_tol=1e-5
    )
    assert "--proba: expected a model of classes" in refused(capsys, "predict", model, prices, "--proba")


def test_json_report_of_classes(capsys, flowers):
    report = run_json(capsys, "train", flowers, *QUICK, "--seeds", "2", "--seed", "7", "--test", flowers)
    assert [run["seed"] for run in report["runs"]] == [7, 8]
    assert report["rows"] == report["test_rows"] == 150 and report["classes"] == ["iris", "lily", "rose"]
    mean = sum(run["test"]["accuracy"] for run in report["runs"]) / 2
    assert math.isclose(report["mean"]["test"]["accuracy"], mean)


def test_seed_decides_the_model(capsys, flowers, tmp_path):
    files = [tmp_path / name for name in "abc"]
    for path, seed in zip(files, (1, 1, 2), strict=True):
        run(capsys, "train", flowers, *QUICK, "--seed", seed, "--output", path)
    a, b, c = (path.read_bytes() for path in files)
    assert a == b != c


def test_idx_folder_is_tested_on_its_own_test_part(capsys, tmp_path):
    from test_datasets import idx_folder

    idx_folder(tmp_path, rows=30, suffix=".gz")
    model = tmp_path / "m.gradcore"
    report = run_json(capsys, "train", tmp_path, *QUICK, "--output", model)
    assert report["test_rows"] == 30 and report["inputs"] == 12 and report["task"] == "classes"
    got = run_json(capsys, "predict", model, tmp_path)
    assert got["rows"] == 30 and got["score"] == report["mean"]["test"]["accuracy"]


def test_npz_and_parquet(capsys, tmp_path):
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    x = rng.normal(size=(60, 3)) + 4 * y[:, None]
    np.savez(tmp_path / "a.npz", X=x, y=y)
    assert run_json(capsys, "train", tmp_path / "a.npz", *QUICK)["mean"]["training"]["accuracy"] == 1
    np.savez(tmp_path / "b.npz", X=x)
    assert "expected an array y" in refused(capsys, "train", tmp_path / "b.npz")
    pa = pytest.importorskip("pyarrow")
    pa.parquet = pytest.importorskip("pyarrow.parquet")
    pa.parquet.write_table(pa.table({"a": x[:, 0], "y": y}), tmp_path / "a.parquet")
    assert run_json(capsys, "train", tmp_path / "a.parquet", *QUICK)["task"] == "classes"


def test_columns_by_option(capsys, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("".join(f"{i % 2},{i},{i % 5},{i * 0.1:.1f}\n" for i in range(60)))
    report = run_json(capsys, "train", path, *QUICK, "--target", "0", "--drop", "1", "--text", "2")
    assert report["target"] == "0" and report["inputs"] == 6 and report["classes"] == ["0", "1"]
    assert run_json(capsys, "train", path, *QUICK, "--task", "number", "--target", "-2")["task"] == "number"
    assert "expected one of the columns 0, 1, 2, 3, got 'x'" in refused(
        capsys, "train", path, "--target", "x"
    )
    assert "other than the target" in refused(capsys, "train", path, "--drop", "3")
    assert "expected a column '9'" in refused(capsys, "train", path, "--text", "9")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,y\n1,2.5\n,3.5\n", "line 3, column 'a': missing value"),
        ("a,y\n1,2.5\n1,2,3\n", "line 3: expected 2 cells, got 3"),
        ("", "empty file"),
        ("a,y\n1,2.5\n3,inf\n", "line 3, column 'y': expected a number that float32 can hold, got inf"),
    ],
)
def test_bad_data_is_one_line(capsys, tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    assert message in refused(capsys, "train", tmp_path / "a.csv")


def test_every_row_held_out_is_refused(capsys, flowers):
    message = refused(capsys, "train", flowers, "--validation", "0.999")
    assert message == "--validation: expected rows left to train on, got 0.999 of 150"


def test_a_history_that_cannot_be_written_is_named(capsys, flowers):
    status, _, err = run(capsys, "train", flowers, *QUICK, "--history", "/dev/full")
    assert status == 2 and err == f"gradcore: error: /dev/full: {os.strerror(errno.ENOSPC)}\n"


def test_a_rate_that_no_training_survives(capsys, prices, tmp_path):
    model = tmp_path / "m.gradcore"
    status, _, err = run(
        capsys, "train", prices, *QUICK, "--optimizer", "sgd", "--lr", "1e30", "--output", model
    )
    assert status == 2 and err.startswith("gradcore: error: --lr: ") and err.count("\n") == 1
    assert not model.exists()


def test_models_that_train_did_not_save(capsys, flowers, tmp_path):
    from gradcore import Dense

    Network([Dense(3)], inputs=4).save(tmp_path / "m.gradcore")
    assert "that gradcore train saved" in refused(capsys, "predict", tmp_path / "m.gradcore", flowers)
    assert "flowers.csv: " in refused(capsys, "predict", flowers, flowers)


# ---- info, demo, charts ----


def test_info(capsys):
    report = run_json(capsys, "info")
    assert report["isa"] in report["isas"] and report["threads"] >= 1 and report["threads_reason"]
    status, out, _ = run(capsys, "info")
    assert status == 0 and all(word in out for word in ("instruction set", "threads", "OpenMP", "compiler"))


def test_demo_shows_the_disease_and_the_cure(capsys):
    report = run_json(capsys, "demo")
    broken, cured = report["broken"], report["cured"]
    assert len(broken["gradient_norms"]) == len(cured["gradient_norms"]) == 13
    assert broken["gradient_norms"][0] < 1e-5 * broken["gradient_norms"][-1]
    assert cured["gradient_norms"][0] > 1e-2 * cured["gradient_norms"][-1]
    assert broken["test_accuracy"] < 0.2 and cured["test_accuracy"] >= 0.97


def test_demo_in_words_and_as_a_picture(capsys, monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(demo, "_BROKEN_EPOCHS", 1)
    monkeypatch.setattr(demo, "_CURED_EPOCHS", 1)
    status, out, _ = run(capsys, "demo", "--output", tmp_path / "bars.png")
    assert status == 0 and out.count("layer 13") == 2 and "Try next" in out
    assert (tmp_path / "bars.png").read_bytes().startswith(b"\x89PNG")


def test_bars_of_zero_and_non_finite_values():
    lines = charts.log_bars(
        ["a", "b", "c", "d"], [0.0, math.nan, math.inf, 1.0], width=4, block="#"
    ).splitlines()
    assert lines == ["a  0.0e+00", "b      nan", "c      inf", "d  1.0e+00  ####"]


# ---- bench: the scripts have tests of their own in test_bench.py ----


@pytest.mark.slow
def test_bench_hands_its_options_on(capsys, tmp_path):
    path = tmp_path / "r.jsonl"
    options = ("--full", "--only", "peak 64 wide", "--quick", "--contenders", "gradcore", "--jsonl", path)
    assert run(capsys, "bench", "kernels", *options)[0] == 0
    status, out, _ = run(capsys, "bench", "compare", path, path)
    assert status == 0 and "peak 64 wide" in out
    assert "expected one of kernels, training" in refused(capsys, "bench", "fly")
    assert "--fast" in refused(capsys, "bench", "--fast")


def test_bench_that_became_slower_ends_with_1(capsys, tmp_path):
    record = {"suite": "s", "case": "c", "contender": "gradcore", "unit": "step", "samples": [], "calls": 1}
    for name, seconds in (("old", 1.0), ("new", 2.0)):
        times = dict.fromkeys(("median", "q1", "q3"), seconds)
        (tmp_path / name).write_text(json.dumps({**record, **times}))
    assert run(capsys, "bench", "compare", tmp_path / "old", tmp_path / "new")[0] == 1
    assert run(capsys, "bench", "compare", tmp_path / "new", tmp_path / "old")[0] == 0


# ---- The process ----

PROGRAM = "-m", "gradcore"


def test_ctrl_c_ends_training_with_130(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", X=rng.normal(size=(5000, 50)), y=np.arange(5000) % 3)
    with started(*PROGRAM, "train", tmp_path / "a.npz", "--epochs", "1000000", "--threads", "1") as job:
        for line in job.stdout:
            if line.startswith("training"):
                break
        time.sleep(0.3)
        job.send_signal(signal.SIGINT)
        _, err = job.communicate(timeout=30)
    assert (job.returncode, err) == (130, "gradcore: interrupted\n")


def test_a_reader_that_has_enough():
    reader, writer = os.pipe()
    os.close(reader)
    with started(*PROGRAM, "info", stdout=writer) as job:
        os.close(writer)
        _, err = job.communicate(timeout=30)
    assert (job.returncode, err) == (1, "")


def test_output_that_cannot_be_written_is_one_line():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "gradcore", "info"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr == "gradcore: error: standard output: No space left on device\n"


@pytest.mark.quick
def test_version(capsys):
    assert run(capsys, "--version") == (0, f"gradcore {gradcore.__version__}\n", "")


def test_python_m_gradcore():
    with started(*PROGRAM, "--help") as job:
        out, err = job.communicate(timeout=30)
    assert err == "" and all(command in out for command in COMMANDS)
