"""bench/health: cases are rebuilt to the bit, families stay on their side, a label holds or is dropped."""

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import gradcore
import numpy as np
import pytest
from gradcore.cli import main

BENCH = Path(__file__).parents[2] / "bench"
sys.path.insert(0, str(BENCH))  # as in test_bench.py
from health import data, draws, faults, judging, labels, plans, sound, table, training, verify  # noqa: E402
from health.cases import CAUSES, RUNS, SIDES, Case  # noqa: E402

CASE = Case("plain", 0.0, "moons", 200, "plain", 2, 8, "tanh", "adam", "cross_entropy", 0.01, 32, 6, 5)
HELD = labels.read()
KINDS = [*faults.FAULTS, *sound.ODD]


def weights(case, **options):
    """A digest of the weights that a case ends with."""
    net = training.train(case, **options).trainer.net
    return hashlib.sha256(b"".join(value.tobytes() for value in net.parameters().values())).hexdigest()


# ---- Cases and families ----


def test_families_stay_on_their_side():
    """Rules are fitted on one side only: whoever changes this has to fit and to measure anew."""
    digest = hashlib.sha256()
    counts = dict.fromkeys(SIDES, 0)
    for name in sorted(data.FAMILIES):
        for style in ("plain", "batchnorm", "layernorm", "residual", "rezero"):
            for depth in (2, 8, 20):
                for activation in ("relu", "gelu", "tanh"):
                    for optimizer in ("adam", "momentum", "sgd"):
                        made = {"data": name, "style": style, "depth": depth, "activation": activation}
                        case = replace(CASE, **made, optimizer=optimizer)
                        digest.update(f"{case.family} {case.side}\n".encode())
                        counts[case.side] += 1
    assert CASE.family == "moons/shallow plain bounded/adam" and CASE.side == "fitting"
    assert digest.hexdigest()[:16] == "82c6d69320a241ed"
    assert min(counts.values()) > 0.45 * sum(counts.values())


def test_what_a_family_shares_decides_its_side():
    """Neither the fault nor numbers do."""
    other = replace(CASE, kind="high_rate", level=0.7, rows=900, depth=3, width=64, lr=1.0, seed=9)
    assert (other.family, other.side) == (CASE.family, CASE.side) and other.key != CASE.key


def test_a_case_gives_the_same_bits():
    for kind in ("plain", "dead_layer", "wide_scales"):
        case = replace(CASE, kind=kind, level=0.5, activation="relu")
        assert weights(case, run=1) == weights(case, run=1)
        assert weights(case, run=1) != weights(case, run=2)


def test_a_fresh_process_gives_the_same_bits():
    case = replace(CASE, kind="sentinels", level=0.5)
    program = (
        "import sys; sys.path[:0] = [sys.argv[1], sys.argv[2]]\n"
        "import json, test_bench_health as t\n"
        "print(t.weights(t.Case(**json.loads(sys.argv[3]))))"
    )
    fields = json.dumps(case.fields())
    command = [sys.executable, "-c", program, str(Path(__file__).parent), str(BENCH), fields]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == weights(case)


@pytest.mark.filterwarnings("ignore::gradcore.SetupWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_wrong_or_odd_can_be_drawn_and_built(kind):
    case = draws.suiting(np.random.default_rng(len(kind)), kind)
    assert case.kind == kind and 0 <= case.level <= 1
    plan = training.make_plan(case)
    net = plan.trainer().net
    parameters = net.parameters()
    shapes = [parameters[f"{place}.weight"].shape for place in plan.places()]
    assert len(shapes) == plan.depth + 1
    assert [shape[1] for shape in shapes] == [plan.width] * plan.depth + [max(1, plan.data.classes)]
    assert set(plan.places()) <= set(net.activations(np.zeros_like(plan.data.held_x[:1]))) or plan.embed


@pytest.mark.parametrize("kind", faults.FAULTS)
def test_the_twin_is_another_training(kind):
    """Data, network or optimizer: something of the plan differs, and the layer at fault is one of it."""
    case = replace(draws.suiting(np.random.default_rng(3), kind), level=0.9)
    plan, twin = training.make_plan(case), training.make_plan(case, twin=True)
    same = all(
        np.array_equal(getattr(plan.data, name), getattr(twin.data, name))
        for name in ("x", "y", "held_x", "held_y")
    )
    assert not same or repr(replace(plan, data=None)) != repr(replace(twin, data=None))
    layer = training.layer_at_fault(case, plan)
    assert (layer is None) == (faults.FAULTS[kind].layer is None)
    if layer is not None:
        assert plan.places()[layer] in plan.places()


def test_the_layer_at_fault_is_the_one_that_was_changed():
    for seed in range(5):
        case = replace(CASE, kind="dead_layer", level=0.5, depth=4, activation="relu", seed=seed)
        plan = training.make_plan(case)
        assert list(plan.biases) == [training.layer_at_fault(case, plan)]


def test_every_cause_has_a_fault():
    assert {cause for fault in faults.FAULTS.values() for cause in fault.causes} == set(CAUSES)
    assert {fault.causes[0] for fault in faults.FAULTS.values()} == set(CAUSES)
    assert set(getattr(gradcore.health, "CAUSES", CAUSES)) == set(CAUSES)


# ---- Data and scores ----


@pytest.mark.parametrize("name", data.FAMILIES)
def test_rows_are_of_one_task_and_drawn_anew_in_each_run(name):
    first, again, other = (data.draw(name, 100, 3, run) for run in (0, 0, 1))
    assert np.array_equal(first.x, again.x) and np.array_equal(first.held_y, again.held_y)
    assert not np.array_equal(first.x, other.x) and first.x.shape == other.x.shape
    assert (first.x.dtype, len(first.x), len(first.held_x)) == (np.float32, 100, data.HELD_OUT)
    assert np.isfinite(first.x).all() and np.isfinite(first.y).all()
    if first.classes:
        assert set(np.unique(first.held_y)) == set(range(first.classes))
    for i, count in enumerate(first.codes):
        column = first.x[:, first.x.shape[1] - len(first.codes) + i]
        assert np.array_equal(column, np.clip(column.round(), 0, count - 1))


def test_scores_are_shares_of_the_span():
    y = np.array([0, 0, 0, 1])
    right, constant = np.eye(2)[y], np.eye(2)[[0, 0, 0, 0]]
    assert training.share_of_span(right, y, 2) == 1 and training.share_of_span(constant, y, 2) == 0
    assert training.share_of_span(1 - right, y, 2) == 0
    assert training.share_of_span(np.full((4, 2), np.nan), y, 2) == 0
    assert training.share_of_span(right[[0, 1, 3, 3]], y, 2) == 0  # one of four is wrong, as of the constant
    values = np.array([[1.0], [2.0], [3.0]])
    assert training.share_of_span(values, values, 0) == 1
    assert training.share_of_span(np.full((3, 1), 2.0), values, 0) == 0
    assert training.share_of_span(values + [[0.5], [0.0], [0.5]], values, 0) == pytest.approx(0.75)
    assert training.share_of_span(values, np.ones((3, 1)), 0) == 0  # no span


def test_data_that_fit_refuses_score_nothing():
    done = training.train(replace(CASE, kind="missing_cells", level=0.5))
    assert done.score == 0 and "X" in done.refused
    assert not training.train(replace(CASE, kind="missing_cells", level=0.5), twin=True).refused


# ---- Labels hold or are dropped ----


@pytest.fixture
def scores(monkeypatch):
    """Trainings whose scores a test decides: table[what][run], what being "run", "twin" or a remedy."""
    table = {}

    def pretend(case, run=0, twin=False, remedy=None):
        names = {rule: name for name, rule in verify.REMEDIES.items()}
        if remedy is None:
            what = "twin" if twin else "run"
        else:
            what = names.get(remedy, "rate")
        return SimpleNamespace(score=table[what][run], refused="")

    monkeypatch.setattr(verify, "train", pretend)
    return table


def test_a_twin_must_be_better_in_every_run(scores):
    broken = replace(CASE, kind="dead_layer")
    scores |= {"run": [0.5] * RUNS, "twin": [0.7] * RUNS, "rate": [0.5] * RUNS}
    found = verify.verify(broken)
    assert (found.label, found.strength, found.causes) == ("broken", "mild", ("dead_units",))
    scores["twin"] = [0.9] * RUNS
    assert verify.verify(broken).strength == "gross"
    scores["twin"] = [0.9] * (RUNS - 1) + [0.55]
    assert verify.verify(broken).reason == "gain"


def test_a_rate_that_mends_as_well_counts_as_right(scores):
    broken = replace(CASE, kind="dead_layer")
    scores |= {"run": [0.5] * RUNS, "twin": [0.9] * RUNS, "rate": [0.89] * RUNS}
    assert verify.verify(broken).causes == ("dead_units", "lr_too_high", "lr_too_low")
    scores["rate"] = [0.87] * RUNS
    assert verify.verify(broken).causes == ("dead_units",)


@pytest.mark.parametrize("remedy", verify.REMEDIES)
def test_a_remedy_that_is_better_drops_a_sound_run(scores, remedy):
    scores |= {name: [0.8] * RUNS for name in ("run", *verify.REMEDIES)}
    if remedy.startswith("rate"):
        scores["rate"] = [0.8] * RUNS
    assert verify.verify(CASE).label == "sound"
    scores[remedy] = [0.8, 0.8, 0.8, 0.8, 0.89]
    assert verify.verify(CASE).label == "sound"  # 0.018 in the mean
    scores[remedy] = [0.8, 0.8, 0.8, 0.8, 0.91]
    assert verify.verify(CASE) == verify.Dropped(CASE, remedy)


def test_trainings_that_can_no_longer_matter_are_not_made(scores):
    scores |= {name: [0.99] for name in verify.REMEDIES} | {"rate": [0.99], "run": [0.985] * RUNS}
    assert verify.verify(CASE).label == "sound"  # nothing can be better by more than 0.02
    scores |= {"run": [0.5] * RUNS, "rate": [0.99] * 2, "rate x 0.3": [0.99] * 2}
    assert verify.verify(CASE).reason == "rate x 0.3"  # a third run would be an IndexError


def test_what_goes_on_begins_behind_the_last_whole_line(tmp_path, monkeypatch):
    path = tmp_path / "labels.jsonl"
    found = iter([verify.Dropped(CASE, "always"), verify.Label(CASE, "sound", (0.9,) * RUNS), None])
    path.write_text(labels.to_line(verify.Dropped(CASE, "gain")) + '\n{"case":["pla')
    monkeypatch.setattr(labels, "next_label", lambda held: next(found))
    labels.go_on(path, 100)
    held = labels.read(path)
    assert held.dropped == [("plain", "moons", "gain"), ("plain", "moons", "always")]
    assert held.held == [verify.Label(CASE, "sound", (0.9,) * RUNS)] and held.lines == 3


# ---- The labels that are there ----


def test_the_file_is_well_formed_and_small():
    assert labels.FILE.stat().st_size < 300_000
    keys = [one.case.key for one in HELD.held]
    assert len(set(keys)) == len(keys)
    for one in HELD.held:
        case = one.case
        assert case.data in data.FAMILIES and case.style in plans.STYLES and case.optimizer in plans.RATES
        assert all(0 <= value <= 1 for value in (case.level, *one.score, *one.twin))
        assert len(one.score) == RUNS
        if one.label == "broken":
            assert case.kind in faults.FAULTS and one.causes and set(one.causes) <= set(CAUSES)
            assert set(faults.FAULTS[case.kind].causes) <= set(one.causes)
            gains = [twin - score for twin, score in zip(one.twin, one.score, strict=True)]
            assert min(gains) >= verify.GAIN - 2e-4  # four digits are kept
        else:
            assert one.label == "sound" and (case.kind == "plain" or case.kind in sound.ODD)
            assert not one.causes and one.excess <= verify.BETTER + 1e-3
    assert all(kind in KINDS or kind == "plain" for kind, _, _ in HELD.dropped)


def test_some_labels_come_out_again():
    for one in table.sample(HELD.held, 5):
        assert table.compare(one) == "", one


@pytest.mark.slow
def test_more_labels_come_out_again():
    for one in table.sample(HELD.held, 60):
        assert table.compare(one) == "", one


# ---- Rule sets, and the script ----


def test_a_rule_set_is_held_against_the_labels():
    """One that sees a rate above 0.5, and one layer, whatever there is."""

    def judge(run):
        return judging.Verdict("lr_too_high", ("0",)) if run.plan.lr > 0.5 else None

    high = replace(CASE, kind="high_rate", level=1.0)  # 0.01 times 1000
    dead = replace(CASE, kind="dead_layer", level=0.5, depth=1, activation="relu", lr=0.6)
    broken = [verify.Label(high, "broken", (0,), (1,), ("lr_too_high",))]
    broken += [
        verify.Label(case, "broken", (0,), (1,), ("dead_units",)) for case in (dead, replace(dead, lr=0.1))
    ]
    sound_ones = [verify.Label(replace(CASE, lr=lr), "sound", (1,)) for lr in (0.6, 0.1, 0.2)]
    tally = judging.judge(judging.Rules(judge), broken + sound_ones)
    assert tally == judging.Tally(broken=3, alarmed=2, right=1, placed=2, found=1, sound=3, false=1)


def test_intervals():
    assert judging.interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert judging.interval(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert judging.interval(0, 0) == (0.0, 1.0)


def test_the_script_says_what_there_is(capsys):
    assert main(["bench", "health", "--check", "1"]) == 0
    out = capsys.readouterr().out
    assert f"{len(HELD.of('broken'))} broken runs" in out and "as before" in out
    assert all(f"| {cause} |" in out for cause in CAUSES) and all(f"| {kind} |" in out for kind in KINDS)
