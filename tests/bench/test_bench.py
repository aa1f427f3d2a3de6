"""The benchmarks' own arithmetic: statistics, comparisons, options, and that every script runs."""

import errno
import json
import os
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from gradcore import _core
from gradcore.cli import main

BENCH = Path(__file__).parents[2] / "bench"
# bench/ is no package: a script and its workers import each other by these names.
sys.path.insert(0, str(BENCH))
import harness  # noqa: E402
import kernel_cases  # noqa: E402
import kernel_peak  # noqa: E402
import nets  # noqa: E402
import scaling  # noqa: E402
import training  # noqa: E402
from peers import CONTENDERS, Unsupported, numpy_kernels, open_contender  # noqa: E402


def bench(capsys, *arguments):
    """Exit status, standard output, standard error of gradcore bench."""
    try:
        status = main(["bench", *map(str, arguments)])
    except SystemExit as error:
        status = error.code
    out, err = capsys.readouterr()
    return status, out, err


@pytest.fixture
def results(tmp_path):
    """Writes records {case: samples} of one contender as --jsonl does."""

    def write(name, cases, contender="gradcore"):
        lines = [{"environment": {}, "arguments": {}}]
        for case, samples in cases.items():
            lines.append(asdict(harness.make_record("s", case, contender, samples, unit="step", calls=1)))
        path = tmp_path / name
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    return write


# ---- Statistics ----


def test_quartiles():
    assert harness.quartiles([5.0, 1.0, 2.0, 4.0, 3.0]) == (2.0, 3.0, 4.0)
    assert harness.quartiles([7.0]) == (7.0, 7.0, 7.0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2.5, "2.5 s"), (1.0004e-3, "1 ms"), (9.999e-4, "1 ms"), (1.234e-5, "12.3 µs"), (4.56e-9, "4.56 ns")],
)
def test_durations_have_three_digits(seconds, text):
    assert harness.duration(seconds) == text


def test_a_table_says_how_many_times_the_baseline_takes():
    records = [
        harness.make_record("s", "a", name, [time], unit="step", calls=1, rate="r")
        for name, time in (("gradcore", 1e-3), ("numpy", 2.5e-3))
    ]
    lines = harness.table(records, columns=["rate"]).splitlines()
    assert lines[2] == "| a | gradcore | 1 ms | 1 ms to 1 ms | 1.00 | r |"
    assert lines[3] == "| a | numpy | 2.5 ms | 2.5 ms to 2.5 ms | 2.50 | r |"


class FakeWorker:
    """Takes a fixed time a call and writes its name down."""

    def __init__(self, name, seconds, log):
        self.name, self.seconds, self.log = name, seconds, log

    def time(self, mode, warm, calls):
        self.log.append((self.name, mode))
        return self.seconds * calls


def test_contenders_take_turns():
    log = []
    workers = {name: (FakeWorker(name, 1e-3, log), "step") for name in "abc"}
    times = harness.take_turns(workers, rounds=4, turn=harness.QUICK_TURN)
    assert "".join(name for name, _ in log[-12:]) == "abcbcacababc"
    for calls, samples in times.values():
        assert calls == 5 and samples == pytest.approx([1e-3] * 4)


def test_a_turn_holds_one_call_where_that_takes_longer():
    worker = FakeWorker("a", 2.0, [])
    assert harness.calibrate(worker, "step", 0.1) == 1


# ---- compare ----


def test_compare_finds_what_changed(capsys, results):
    old = results("old", {"same": [1.0, 1.1], "slow": [1.0, 1.1], "fast": [1.0, 1.1], "gone": [1.0]})
    new = results("new", {"same": [1.0, 1.2], "slow": [2.0, 2.1], "fast": [0.5, 0.6], "fresh": [1.0]})
    status, out, _ = bench(capsys, "compare", old, new)
    verdicts = {line.split(" | ")[1]: line.rstrip(" |").split(" | ")[-1] for line in out.splitlines()[2:5]}
    assert status == 1 and verdicts["slow"] == "slower" and verdicts["fast"] == "faster"
    assert verdicts["same"] == "1.048"  # the ratio; no verdict
    assert "Only in old: gone gradcore" in out and "Only in new: fresh gradcore" in out
    assert bench(capsys, "compare", old, new, "--threshold", "1.5")[0] == 0
    assert bench(capsys, "compare", old, new, "--contender", "numpy")[0] == 0


def test_overlapping_quartiles_are_no_change(capsys, results):
    old, new = results("old", {"a": [1.0, 2.0, 9.0]}), results("new", {"a": [1.0, 4.0, 9.0]})
    status, out, _ = bench(capsys, "compare", old, new)
    assert status == 0 and "slower" not in out


def test_compare_refuses_what_is_no_result(capsys, results, tmp_path):
    good = results("good", {"a": [1.0]})
    for name, text in (("words", "hello\n"), ("other", '{"a": 1}\n'), ("list", "[1]\n"), ("number", "1\n")):
        (tmp_path / name).write_text(text)
        status, out, err = bench(capsys, "compare", good, tmp_path / name)
        assert (status, out) == (2, "") and err.count("\n") == 1 and f"{name}: expected lines" in err
    status, _, err = bench(capsys, "compare", good, tmp_path / "none")
    assert status == 2 and f"none: {os.strerror(errno.ENOENT)}" in err


# ---- Options ----


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["training", "--nets", "z"], "--nets: invalid choice: 'z'"),
        (["training", "--clip", "0"], "--clip: expected none or a number > 0, got '0'"),
        (["training", "--clip", "x"], "--clip: invalid"),
        (["training", "--optimizers", "lion"], "--optimizers: invalid choice"),
        (["training", "--contenders", "abacus"], "--contenders: invalid choice: 'abacus'"),
        (["training", "--python", "torch"], "--python: expected CONTENDER=PATH, got 'torch'"),
        (["training", "--rounds", "0"], "--rounds: expected a whole number >= 1"),
        (["training", "--turn", "inf"], "--turn: expected a number > 0"),
        (["training", "--jsonl", "no/such/folder/f"], "--jsonl: expected a file in an existing folder"),
        (["kernels", "--only", "no such kernel"], "--only: expected part of a call's title"),
        (
            ["kernels", "--full", "--only", "no such kernel", "--contenders", "numpy"],
            "--only: expected part of a case",
        ),
        (["contention", "--loads", "3 busy"], "--loads: invalid choice: '3 busy'"),
        (["contention", "--counts", "0"], "--counts: expected a whole number >= 1"),
        (["contention", "--contenders", "abacus"], "--contenders: invalid choice: 'abacus'"),
        (["regret", "--steps", "31"], "--steps: expected a multiple of 30, the steps of an epoch, got '31'"),
        (["regret", "--state", "cold"], "--state: invalid choice: 'cold'"),
        (["kernels", "--isas", "mmx"], "--isas: invalid choice: 'mmx'"),
        (["scaling", "--max-flops", "-1"], "--max-flops: expected a number > 0"),
        (["scaling", "--threads", "0"], "--threads: expected a whole number >= 1"),
        (["startup", "--contenders", "abacus"], "--contenders: invalid choice"),
        (["health", "--check", "0"], "--check: expected a whole number >= 1"),
        (["health", "labels", "--minutes", "0"], "--minutes: expected a number > 0"),
        (["compare", "a"], "the following arguments are required: new"),
        (["--fast"], "unrecognized arguments: --fast"),
        (
            ["abacus"],
            "bench: expected one of kernels, training, scaling, contention, regret, startup, health",
        ),
    ],
)
def test_wrong_usage_is_one_line(capsys, arguments, message):
    status, out, err = bench(capsys, *arguments)
    assert (status, out) == (2, "") and err.startswith("gradcore: error: ") and err.count("\n") == 1
    assert message in err


SUITES = ("kernels", "training", "scaling", "contention", "regret", "startup")


@pytest.mark.parametrize("suite", [*SUITES, "health", "compare", "plot"])
def test_help_of_every_suite_ends_with_an_example(capsys, suite):
    status, out, _ = bench(capsys, suite, "--help")
    assert status == 0 and f"example: gradcore bench {suite}" in out


def test_an_interpreter_that_is_none_is_named():
    with pytest.raises(harness.WorkerError, match=f"no/such/python: {os.strerror(errno.ENOENT)}"):
        harness.Worker("kernel_cases:ready", {}, python="no/such/python")


# ---- What is measured ----


def test_losses_that_disagree_end_a_run():
    training.check_losses({"a": (2.0, 1.0), "b": (2.0, 1.0005)})
    with pytest.raises(training.Disagreement, match="b: loss 1.01 after 20 steps, 1.0 in a"):
        training.check_losses({"a": (2.0, 1.0), "b": (2.0, 1.01)})
    with pytest.raises(training.Disagreement, match="b: first loss"):
        training.check_losses({"a": (2.0, 1.0), "b": (2.1, 1.0)})
    with pytest.raises(training.Disagreement, match="did not change"):
        training.check_losses({"a": (1.0, 1.0)})
    training.check_losses({"a": (2.0, 1.0), "sklearn": (2.0, 1.01)})


@pytest.mark.parametrize("optimizer", nets.RATES)
@pytest.mark.parametrize("clip", [None, 0.1])
@pytest.mark.parametrize("name", ["a", "policy", "8x64"])
def test_gradcore_and_numpy_train_alike(optimizer, clip, name):
    net = asdict(nets.NETS[name])
    rule = asdict(nets.Rule(optimizer, clip))
    rows = 20 * nets.NETS[name].batch
    both = {who: open_contender(who, net, rows, rule) for who in ("gradcore", "numpy")}
    losses = {}
    for who, contender in both.items():
        before = contender.loss()
        contender.run("step", 20)
        losses[who] = (before, contender.loss())
    training.check_losses(losses)


def test_a_clip_changes_the_training():
    """So that the agreement above is no agreement on leaving it out."""
    net = nets.NETS["a"]
    losses = set()
    for clip in (None, 0.1):
        contender = open_contender("numpy", asdict(net), 640, asdict(nets.Rule("sgd", clip)))
        contender.run("step", 20)
        losses.add(contender.loss())
    assert len(losses) == 2


def test_scikit_learn_says_what_it_cannot_do():
    pytest.importorskip("sklearn")
    with pytest.raises(Unsupported, match="LayerNorm"):
        open_contender("sklearn", asdict(nets.NETS["8x64"]), 64)
    with pytest.raises(Unsupported, match="clip"):
        open_contender("sklearn", asdict(nets.NETS["a"]), 32, asdict(nets.Rule("sgd", 1.0)))


def test_every_contender_has_a_file():
    for target, _, _ in CONTENDERS.values():
        module, class_name = target.split(":")
        assert re.search(
            rf"^class {class_name}\(Contender\)", (BENCH / "peers" / f"{module}.py").read_text(), re.M
        )


CASES = {
    (case.family, case.name, case.direction, case.dtype): case
    for case in sorted(kernel_cases.all_cases(_core), key=lambda c: -c.rows * c.columns * max(c.depth, 1))
}


@pytest.mark.parametrize("key", CASES, ids=" ".join)
def test_every_case_runs_on_every_library_that_takes_it(key):
    """The smallest size of it: gradcore's call, each instruction set's kernel, NumPy's program."""
    case = CASES[key]
    for library in ("gradcore", "gradcore 1 thread", "numpy", *(f"gradcore {i}" for i in _core.names("isa"))):
        try:
            runner = kernel_cases.open_case(library, asdict(case))
        except Unsupported:
            assert library != "gradcore"
            continue
        with np.errstate(all="ignore"):
            runner.run("call", 1)


@pytest.mark.parametrize("name", [n for n in _core.names("activation") if n in numpy_kernels.ACTIVATIONS])
def test_numpy_does_the_same_work(name):
    x, d, ours, theirs = kernel_cases.Case("activation", name, 5, 40, dtype="float64").arrays(4)
    forward, backward = numpy_kernels.ACTIVATIONS[name]
    alpha = float(_core.describe("activation", name, "alpha") or 0)
    forward(x, theirs)
    _core.activation_forward(name, x, ours, alpha)
    np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-6)
    backward(x, d, theirs)
    _core.activation_backward(name, x, d, ours, alpha)
    np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-5)


def test_the_table_of_one_thread_has_its_rows():
    assert [row.flops for row in kernel_peak.ROWS[:2]] == [2 * 512 * 784 * 512] * 2
    for row in kernel_peak.ROWS:
        if row.flops > 3e8:
            continue
        runner = kernel_peak.open_row(asdict(row), "scalar" if row.flops < 1e6 else _core.names("isa")[-1])
        for mode in runner.calls:
            runner.run(mode, 1)


def test_bytes_of_a_case():
    case = kernel_cases.Case("optimizer", "adam", 1, 1000)
    assert case.bytes == 7 * 4000  # w, m, v read and written, g read
    assert kernel_cases.Case("optimizer", "rmsprop", 1, 1000, dtype="float64").bytes == 5 * 8000
    assert kernel_cases.Case("activation", "relu", 2, 500, "forward").bytes == 2 * 4000


# ---- scaling ----


def test_thread_counts():
    assert scaling.thread_counts(1) == [1]
    assert scaling.thread_counts(3) == [1, 2, 3]
    assert scaling.thread_counts(12) == [1, 2, 4, 8, 12]
    assert scaling.thread_counts(16) == [1, 2, 4, 8, 16]


def test_the_grid_reports_ratio_share_and_worst():
    def record(case, contender, time, seen):
        return harness.make_record(
            "scaling", case, contender, [time], unit="step", calls=1, **{"threads seen": seen}
        )

    records = [
        record("grid 8 wide, batch 1", "auto", 1.0, 1),
        record("grid 8 wide, batch 1", "1 thread", 1.0, 1),
        record("grid 8 wide, batch 1", "2 threads", 0.5, 1),
        record("grid 8 wide, batch 4", "auto", 1.04, 2),
        record("grid 8 wide, batch 4", "1 thread", 2.0, 1),
        record("grid 8 wide, batch 4", "2 threads", 1.0, 2),
    ]
    text = scaling.grid_report(records)
    assert "1 of 2 points (50 %) above 1.05; the worst is 8 wide, batch 1 with 2.000" in text
    assert "is above 1.05 of the best at 1 of 2 points; the worst is 8 wide, batch 1 with 2.000" in text
    assert scaling.grid_report([]) == ""


def test_fixed_numbers_of_threads_are_taken_as_they_are(monkeypatch):
    opened = {}

    class Recorder:
        def __init__(self, factory, keywords, variables):
            opened[len(opened)] = (keywords.get("options"), variables)
            raise harness.Unsupported("recorded")

    monkeypatch.setattr(scaling, "Worker", Recorder)
    monkeypatch.setattr(scaling.harness, "interleave", lambda *arguments: {})
    subjects = scaling.subjects_of("grid", [], [1, 2])
    scaling.measure("grid", "case", scaling.make_net(8, 1, 1), {}, subjects, 1, 0.001)
    exact = {"GRADCORE_EXACT_THREADS": "1"}
    assert list(opened.values()) == [(None, {}), ({"threads": 1}, exact), ({"threads": 2}, exact)]


# ---- Every script, quickly ----

SLOW = pytest.mark.slow
QUICK = ("--quick", "--rounds", 1, "--turn", "0.001")


@pytest.mark.parametrize(
    ("suite", "options"),
    [
        ("training", ("--nets", "a", "policy", "--optimizers", "momentum", "--clip", "none", "0.5")),
        ("kernels", ("--only", "gemm")),
        pytest.param("kernels", ("--full", "--only", "1×10000"), marks=SLOW),
        pytest.param("kernels", ("--full", "--only", "peak 64 wide"), marks=SLOW),
        ("contention", ("--only", "step", "--loads", "idle", "1 busy")),
        pytest.param("contention", ("--only", "gemm", "--loads", "numpy", "loader"), marks=SLOW),
        pytest.param("contention", ("--only", "fit", "predict", "trainers", "--loads", "idle"), marks=SLOW),
        pytest.param("regret", ("--widths", "8", "--batches", "16", "--steps", "30"), marks=SLOW),
        pytest.param("scaling", ("--only", "threads", "batch", "grid", "--max-flops", "2e5"), marks=SLOW),
        pytest.param("startup", (), marks=SLOW),
    ],
)
def test_a_script_runs_and_its_results_can_be_read(capfd, tmp_path, suite, options):
    path = tmp_path / "r.jsonl"
    if suite != "startup":
        options = (*options, *QUICK)
    else:
        options = ("--quick", "--rounds", 1)
    contenders = () if suite == "regret" else ("--contenders", "gradcore", "numpy")
    status, out, err = bench(capfd, suite, *options, *contenders, "--jsonl", path)
    assert status == 0, err
    assert "A quick run: the times mean nothing." in out and "- commit: " in out and "- cpu: " in out
    records = harness.read_records(path)
    assert records and all(record.suite == suite and record.median > 0 for record in records.values())
    assert "environment" in json.loads(path.read_text().splitlines()[0])


def test_pictures(capsys, results, tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("pandas")
    path = results("r", {"a": [1.0, 2.0], "b": [3.0]})
    status, _, err = bench(capsys, "plot", path, "--output", tmp_path / "pictures")
    assert status == 0, err
    assert (tmp_path / "pictures" / "s.png").read_bytes().startswith(b"\x89PNG")
    assert bench(capsys, "plot", tmp_path / "none")[0] == 2


def test_pictures_without_matplotlib_name_the_package(capsys, results, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, out, err = bench(capsys, "plot", results("r", {"a": [1.0]}))
    assert (status, out) == (2, "")
    assert err == "gradcore: error: matplotlib: needed to draw results; pip install matplotlib\n"


def test_without_a_checkout_it_says_what_to_do(capsys, monkeypatch, tmp_path):
    from gradcore.cli import bench as command

    monkeypatch.setattr(command, "__file__", str(tmp_path / "site" / "gradcore" / "commands" / "bench.py"))
    monkeypatch.chdir(tmp_path)
    status, out, err = bench(capsys, "training", "--quick")
    assert (status, out) == (2, "") and err.count("\n") == 1
    assert "run the command in a checkout" in err and str(tmp_path) in err


def test_a_case_beyond_the_caches_is_held_against_a_copy_in_turns_with_it(monkeypatch):
    """10 million numbers; seven arrays of Adam's in 14 ms are 20 GB/s, whatever the copy alone reaches."""
    import kernels
    from kernel_cases import COPIED, Case

    cases = {case.name: case for case in kernel_cases.all_cases(_core) if case.columns == 10_000_000}
    wanted = {n for n in _core.names("optimizer") if _core.describe("optimizer", n, "kind") != "MATRIX"}
    assert wanted <= set(cases)
    assert cases["lamb"].bytes == 10 * 40_000_000 * (1 if cases["lamb"].dtype == "float32" else 2)
    with pytest.raises(Unsupported):
        kernel_cases.open_case("copy", asdict(Case("optimizer", "adam", 1, 10_000)))

    class Idle:
        def open(self, factory, keywords):
            pass

    times = {"gradcore": (1, [0.014]), "copy": (1, [2e-9 * COPIED / 25])}
    monkeypatch.setattr(kernels, "copy_bandwidth", lambda: None)
    monkeypatch.setattr(kernels.harness, "interleave", lambda *_: dict(times))
    case = Case("optimizer", "adam", 1, 10_000_000)
    (record,) = kernels.measure(case, {"gradcore": Idle(), "copy": Idle()}, 1, 0.0)
    assert record.notes == {"rate": "20 GB/s", "of limit": "80 % copy"}


def test_a_table_to_paste_names_machine_and_minute_and_the_share_of_the_peak(monkeypatch):
    from peak import Limit

    net = nets.NETS["a"]
    seconds = net.flops / 50e9
    records = [
        harness.make_record("training", "a step", name, [t], unit="step", calls=1)
        for name, t in (("gradcore", seconds), ("numpy", 10 * seconds))
    ]
    monkeypatch.setattr(training, "fma_peak", lambda isa: Limit(100.0, 200.0))
    lines = training.pasted(records, ["a", "b"]).splitlines()
    assert re.search(r"cores of .*, \d{4}-\d\d-\d\dT\d\d:\d\d UTC", lines[0])
    assert "200 GFLOP/s on all cores; for a of one core's, 100" in lines[0]
    assert lines[2] == "| net, batch | gradcore | numpy |"
    times = [harness.duration(t) for t in (seconds, 10 * seconds)]
    assert lines[4:] == [f"| {net.title} | {times[0]}, 50 % | {times[1]}, 5 % |"]


def test_a_reader_that_has_enough_ends_a_script_quietly(monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    program = "import harness; harness.run_script(lambda: print('x' * 100_000))"
    done = subprocess.run([sys.executable, "-c", program], stdout=writer, stderr=subprocess.PIPE, cwd=BENCH)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def test_results_are_written_before_the_report_is_printed(monkeypatch, tmp_path):
    def has_enough(*arguments, **options):
        raise BrokenPipeError

    parser = harness.Parser()
    harness.add_common_options(parser)
    path = tmp_path / "r.jsonl"
    arguments = harness.parse(parser, ["--jsonl", str(path)])
    monkeypatch.setattr("builtins.print", has_enough)
    with pytest.raises(BrokenPipeError):
        harness.finish_report(arguments, [contention_record("b", "gradcore", [[1.0]])], "text")
    assert len(harness.read_records(path)) == 1


def test_all_suites_take_the_contenders_that_they_know():
    import suite

    assert set(suite.SUITES) == set(SUITES)
    assert suite.options_of("regret", True, ["gradcore", "torch"]) == ["--quick"]
    assert suite.options_of("regret", False, ["torch"]) is None
    assert suite.options_of("contention", False, ["keras", "torch"]) == ["--contenders", "torch"]


# ---- Suites with verdicts ----


def test_a_program_in_numpy_has_the_loss_and_the_gradient():
    from gradcore import kernels

    z = 2 * np.random.default_rng(0).standard_normal((6, 5))
    for name, program in numpy_kernels.LOSSES.items():
        target = np.arange(6) % 5 if name == "cross_entropy" else (z[::-1] > 0).astype(float)
        values, wanted = getattr(kernels, name)(z, target, gradient=True)
        d = np.empty_like(z)
        np.testing.assert_allclose(program(z, target, d), values.mean(), rtol=1e-12)
        np.testing.assert_allclose(d, wanted, rtol=1e-6, atol=1e-9)  # constants are float32


def test_every_cell_does_the_same_in_both_libraries():
    """The smallest of every function: what both wrote into `out`."""
    import kernel_library as library

    smallest = {}
    for cell in sorted(library.all_cells(), key=lambda c: c.rows * c.columns * max(c.inner, 1)):
        if cell.family != "update":
            smallest.setdefault(cell.function + str(cell.options), cell)
    assert len(library.all_cells()) >= 60
    for cell in smallest.values():
        out = library.made(cell.rows, cell.columns, cell.dtype, 6 if cell.function == "dense_backward" else 4)
        written = []
        for side in library.SIDES:
            library.call_of(cell, side)()
            written.append(out.copy())
        np.testing.assert_allclose(*written, rtol=1e-4, atol=1e-5, err_msg=cell.title)
    library.made.cache_clear()


def library_records(ours, numpys):
    times = {"gradcore": ours, "numpy": numpys}
    return [
        harness.make_record("kernels", f"{title}, idle, turns", side, [t], unit="call", calls=1, mean=t)
        for side, each in times.items()
        for title, t in each.items()
    ]


def test_kernels_are_judged_by_ratio_and_short_ones_by_difference():
    import kernel_library as library

    ours = {"long": 1e-5, "behind": 2e-5, "short": 1.3e-6, "too long": 1.5e-6}
    numpys = {"long": 2e-5, "behind": 1e-5, "short": 1e-6, "too long": 1e-6}
    pairs = library.pairs_of(library_records(ours, numpys), lambda record: record.median)
    assert {p.title: p.met for p in pairs} == {
        "long": True, "behind": False, "short": True, "too long": False
    }  # fmt: skip
    (line,) = library.summary(pairs, "medians")
    assert "1 of 4 cells at 0.95 of NumPy or better, ahead in 1 (25 %" in line
    assert "of 2 where NumPy takes under 2 µs, 1 take at most 400 ns more (the most: 500 ns)" in line
    assert line.endswith("2 cells miss both: MISSED")
    (line,) = library.summary([pairs[0]], "medians")
    assert line.endswith("0 cells miss both: met")


def contention_record(case, label, turns):
    import contention

    job = contention.Job("step", case, "", {})
    return contention.job_record(job, "idle", label, turns)


def test_own_choice_is_held_against_the_better_fixed_number():
    import contention

    records = [
        contention_record("b", "gradcore", [[1.0, 1.0], [1.4, 1.4]]),
        contention_record("b", "gradcore 1 thread", [[1.0, 1.0], [1.0, 1.0]]),
        contention_record("b", "gradcore 2 threads", [[2.0, 2.0], [0.5, 0.5]]),
        contention_record("b", "torch-fused", [[0.1], [0.1]]),
    ]
    (verdict,) = contention.verdicts(records)
    assert (verdict.best, verdict.mean, verdict.p95) == ("gradcore 1 thread", pytest.approx(1.2), 1.4)
    assert verdict.rounds == pytest.approx(1.2) and not verdict.met
    assert "0 of 1 cases within both limits" in contention.verdict_report(records)
    assert contention.verdict_report(records[:1]) == ""


def test_the_95th_percentile():
    import contention

    assert contention.percentile_95(range(100)) == 95 and contention.percentile_95([3.0]) == 3.0


def test_a_crowd_is_held_against_one_thread_each_and_one_alone():
    import contention

    def record(count, label, rate):
        case = contention.crowd_case("b", "threads", count)
        return harness.make_record(
            "contention", case, label, [1 / rate], unit="step", calls=count, slowest=0.9
        )

    records = [record(1, "gradcore", 100), record(1, "gradcore 1 thread", 100)]
    records += [record(4, "gradcore", 80), record(4, "gradcore 1 thread", 160)]
    text = contention.crowd_report(records)
    assert "| trainers b, 4 in threads | gradcore | 80 | 0.500 | 0.800 | 90 % |" in text
    assert "1 of 2 cases with gradcore's own choice reach 0.9 of both; the least share is 0.500" in text


def test_a_busy_process_ends_with_its_load(monkeypatch):
    import contention

    started = []
    popen = contention.subprocess.Popen
    monkeypatch.setattr(contention.subprocess, "Popen", lambda *a: started.append(popen(*a)) or started[-1])
    with contention.busy(2):
        assert [process.poll() for process in started] == [None, None]
    assert all(process.returncode is not None for process in started)


def test_regret_counts_what_is_above_its_limits():
    import regret

    def records(state, steps, width, own, best):
        case = regret.case_name(state, steps, width, 16)
        times = {"gradcore": own, "1 thread": best, "2 threads": 2 * best}
        return [
            harness.make_record("regret", case, label, [t], unit="fit", calls=1, steps=steps)
            for label, t in times.items()
        ]

    found = records("fresh", 30, 8, 115e-6, 100e-6)  # 15 µs more
    found += records("fresh", 30, 64, 1.2e-3, 1e-3)
    found += records("warm", 300, 8, 1.04e-3, 1e-3)
    text = regret.report(found)
    assert "fresh, 30 steps: 1 of 2 cells within 1.05 (wanted: 90%), 1 above 1.1 (wanted: 0)" in text
    assert "the largest ratio is 1.200: MISSED" in text
    assert "warm, 300 steps: 1 of 1 cells within 1.05 (wanted: 90%), 0 above 1.1" in text
    assert text.endswith("the largest ratio is 1.040: met")


def test_a_child_that_fails_says_why():
    import regret

    fits = regret.Fits({"threads": 1})
    net = asdict(regret.make_net(8, 4))
    assert fits.fresh(net, regret.EPOCH) > 0
    with pytest.raises(RuntimeError, match=r"(?s)a child of regret\.py failed: .*threads"):
        regret.Fits({"threads": -1}).fresh(net, regret.EPOCH)
