"""Heads: named outputs of one trunk, and their losses: against a float64 oracle and differences."""

import gradcore
import numpy as np
import oracle
import pytest
from gradcore import BatchNorm, Dense, Dropout, Heads, Network, Trainer, losses, optimizers
from gradcore.training.core_trainer import reserve
from oracle import exact
from oracle.heads import HeadsNet, surgery_orders
from support import assert_same, heads_problem, norm_error, public
from support.heads_problem import HEADS, INPUTS, LOSSES, TRUNK, WEIGHTS


def still(step):
    return 0.0


def expected(net, training=True):
    return HeadsNet(TRUNK, HEADS, net.parameters(), training=training)


def spread(net, seed=0):
    """Log variances that differ."""
    name = next((name for name in net.parameters() if name.endswith("log_variance")), None)
    if name:
        net.set_parameters({name: np.array([0.3, -0.7, 0.2])})
    return net


# ---- What a network returns ----


@pytest.mark.quick
def test_predict_is_a_dict_of_what_the_oracle_says():
    net = heads_problem.network(dtype="float64", seed=1)
    x, _ = heads_problem.data(90)
    got, want = net.predict(x), expected(net, False).forward(x)
    assert list(got) == list(HEADS)
    for name, y in want.items():
        assert got[name].shape == y.shape
        assert norm_error(got[name], y) < 1e-14


def test_a_head_has_the_bits_of_a_network_of_its_own(dtype):
    """Trunk and branch as a plain stack: the same parameters, the same predictions."""
    net = heads_problem.network(dtype=dtype, seed=1)
    x, _ = heads_problem.data(300, dtype)
    values = net.parameters()
    for name, layers in HEADS.items():
        alone = heads_problem.cases.network(gradcore, TRUNK + layers, INPUTS, dtype=dtype)
        own = {}
        for key in alone.parameters():
            at, _, rest = key.partition(".")
            inside = int(at) - len(TRUNK)
            own[key] = values[key] if inside < 0 else values[f"{len(TRUNK)}.{name}.{inside}.{rest}"]
        alone.set_parameters(own)
        assert exact.same_bits(net.predict(x)[name], alone.predict(x))


def test_forward_and_backward_speak_of_heads():
    net = heads_problem.network(dtype="float64", seed=2)
    x, _ = heads_problem.data(40)
    y = net.forward(x)
    d = {name: np.cos(part) for name, part in reversed(y.items())}
    d_x, want = net.backward(d), expected(net)
    want.forward(x)
    gradients = want.backward({name: np.cos(part) for name, part in y.items()})
    assert norm_error(d_x, want.d_x) < 1e-13
    got = net.gradients()
    assert got.keys() == gradients.keys()
    for name in got:
        assert norm_error(got[name], gradients[name]) < 1e-12, name


def test_predictions_may_be_turned_into_probabilities_head_by_head():
    net = heads_problem.network(seed=2)
    x, _ = heads_problem.data(9, "float32")
    raw = net.predict(x)
    got = net.predict(x, output={"kind": "softmax", "stop": "sigmoid"})
    assert np.allclose(got["kind"].sum(axis=1), 1)
    assert exact.same_bits(got["angle"], raw["angle"])
    assert np.allclose(got["stop"], 1 / (1 + np.exp(-raw["stop"])))
    classes = net.predict(x, output="class")
    assert [part.shape for part in classes.values()] == [(9,)] * 3
    with pytest.raises(gradcore.ArgumentError, match="expected 'sigmoid' for a network with a single output"):
        net.predict(x, output="softmax")


def test_positions_names_and_the_summary():
    net = heads_problem.network(uncertainty=True)
    assert list(net.activations(np.zeros((2, INPUTS))))[len(TRUNK) :] == [
        "3.kind.0", "3.angle.0", "3.angle.1", "3.stop.0.0", "3.stop.0", "3.stop.1", "3",
    ]  # fmt: skip
    assert [name for name in net.parameters() if name.startswith("3.")] == [
        "3.kind.0.weight", "3.kind.0.bias", "3.angle.0.weight", "3.angle.0.bias", "3.angle.1.weight",
        "3.angle.1.bias", "3.stop.0.0.weight", "3.stop.0.0.bias", "3.stop.1.weight", "3.stop.1.bias",
        "3.log_variance",
    ]  # fmt: skip
    assert net.outputs == 8
    assert eval(repr(net), public(gradcore)).parameters().keys() == net.parameters().keys()
    small = Network([Dense(4), Heads({"a": Dense(2), "b": [Dense(3), Dense(1)]}, uncertainty=True)], inputs=3)
    assert small.summary().splitlines() == [
        "layer  description                 outputs  parameters",
        "0      Dense(4)                          4          16",
        "1      Heads(2, uncertainty=True)        3           2",
        "1.a    Dense(2)                          2          10",
        "1.b    Dense(3), Dense(1)                1          19",
        "3 inputs, 3 outputs, 47 trainable numbers, float32",
    ]


def test_the_heads_may_be_all_there_is():
    net = Network([Heads({"a": Dense(2), "b": Dense(1)})], inputs=3, dtype="float64")
    x, y = np.eye(3), {"a": [0, 1, 1], "b": [1.0, 2.0, 3.0]}
    trainer = Trainer(net, {"a": "cross_entropy", "b": "mse"}, optimizers.Adam(0.1))
    first = trainer.step(x, y)
    for _ in range(50):
        last = trainer.step(x, y)
    assert last < first / 2


# ---- Losses and gradients ----


@pytest.mark.parametrize("uncertainty", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rows", [33, 1100])
@pytest.mark.quick
def test_loss_and_gradients_are_the_oracles(uncertainty, weighted, rows):
    net = spread(heads_problem.network(uncertainty=uncertainty, dtype="float64", seed=1))
    x, y = heads_problem.data(rows)
    weight = heads_problem.row_weights(rows) if weighted else None
    trainer = Trainer(net, heads_problem.per_head(), optimizers.Adam())
    loss, gradients = trainer.gradients(x, y, sample_weight=weight)
    want_loss, want = expected(net).loss_and_gradients(
        x, LOSSES, heads_problem.as_columns(y), weight, factors=WEIGHTS
    )
    assert abs(loss - want_loss) < 1e-12
    assert gradients.keys() == want.keys()
    for name in gradients:
        assert norm_error(gradients[name], want[name]) < 1e-12, name


@pytest.mark.parametrize("uncertainty", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_gradients_are_differences_of_the_loss(uncertainty):
    net = spread(heads_problem.network(uncertainty=uncertainty, dtype="float64", seed=5))
    x, y = heads_problem.data(11)
    trainer = Trainer(net, heads_problem.per_head(), optimizers.Adam())
    _, gradients = trainer.gradients(x, y)
    for name, values in net.parameters().items():

        def value(name=name, values=values):
            net.set_parameters({name: values})
            return trainer.gradients(x, y)[0]

        assert norm_error(gradients[name], oracle.four_point(value, values)) <= 1e-8, name
        net.set_parameters({name: values})


def test_a_lone_head_trains_as_a_network_without(dtype):
    """The same losses and weights, bit for bit: nothing is added on the way."""
    branch = HEADS["angle"]
    x, y = heads_problem.data(400, dtype)
    plain = heads_problem.cases.network(gradcore, TRUNK + branch, INPUTS, dtype=dtype, seed=4)
    headed = heads_problem.network(heads={"angle": branch}, dtype=dtype, seed=4)
    headed.set_parameters(dict(zip(headed.parameters(), plain.parameters().values(), strict=True)))
    one, other = (
        Trainer(plain, "mse", optimizers.Adam(0.01)),
        Trainer(headed, {"angle": "mse"}, optimizers.Adam(0.01)),
    )
    a = one.fit(x, y["angle"], epochs=4, batch_size=64, progress=False)
    b = other.fit(x, {"angle": y["angle"]}, epochs=4, batch_size=64, progress=False)
    assert a.loss == b.loss == b["angle.loss"]
    for mine, own in zip(headed.parameters().values(), plain.parameters().values(), strict=True):
        assert exact.same_bits(mine, own)
    assert one.evaluate(x, y["angle"])["loss"] == other.evaluate(x, {"angle": y["angle"]})["angle.loss"]


def test_step_tells_the_loss_before_it_and_history_that_of_heads():
    net = heads_problem.network(seed=1)
    x, y = heads_problem.data(64, "float32")
    trainer = Trainer(net, heads_problem.per_head(), optimizers.SGD(still))
    scores = trainer.evaluate(x, y)
    assert abs(trainer.step(x, y) - scores["loss"]) < 1e-6
    whole = sum(WEIGHTS.get(name, 1.0) * scores[f"{name}.loss"] for name in HEADS)
    assert abs(scores["loss"] - whole) < 1e-12
    assert sorted(scores) == [
        "angle.loss",
        "kind.accuracy",
        "kind.loss",
        "loss",
        "stop.accuracy",
        "stop.loss",
    ]
    history = trainer.fit(x, y, epochs=2, batch_size=16, validation=(x, y), progress=False)
    for name in scores:
        assert abs(history[name][-1] - scores[name]) < 1e-6
        assert history[f"val_{name}"][-1] == scores[name]
    assert history.last()["val_stop.accuracy"] == scores["stop.accuracy"]


def test_evaluate_weighs_rows_by_head_and_with_uncertainty_as_training_does():
    net = spread(heads_problem.network(uncertainty=True, dtype="float64", seed=1))
    x, y = heads_problem.data(700)
    weight = heads_problem.row_weights(700)
    trainer = Trainer(net, heads_problem.per_head(), optimizers.Adam())
    scores = trainer.evaluate(x, y, weight)
    terms = expected(net, False).terms(x, LOSSES, heads_problem.as_columns(y), weight, WEIGHTS)
    assert abs(scores["loss"] - sum(share for share, _, _ in terms.values())) < 1e-12
    assert abs(trainer.gradients(x, y, weight)[0] - scores["loss"]) < 1e-12


def test_class_weights_are_those_of_a_network_without_heads():
    x, y = heads_problem.data(300)
    branch = HEADS["kind"]
    plain = heads_problem.cases.network(gradcore, TRUNK + branch, INPUTS, dtype="float64", seed=4)
    headed = heads_problem.network(heads={"kind": branch}, dtype="float64", seed=4)
    headed.set_parameters(dict(zip(headed.parameters(), plain.parameters().values(), strict=True)))
    fit = {"epochs": 3, "batch_size": 50, "progress": False, "validation": 0.2}
    for weight in ("balanced", {0: 3.0, 2: 0.5}):
        one = Trainer(plain, "cross_entropy", optimizers.Adam(0.01))
        a = one.fit(x, y["kind"], class_weight=weight, **fit)
        other = Trainer(headed, {"kind": "cross_entropy"}, optimizers.Adam(0.01))
        b = other.fit(x, {"kind": y["kind"]}, class_weight={"kind": weight}, **fit)
        assert a.loss == b["kind.loss"]
        assert a.val_accuracy == b["val_kind.accuracy"]


def test_a_head_without_weighted_rows_in_a_batch_adds_nothing():
    net = spread(heads_problem.network(uncertainty=True, dtype="float64", seed=1))
    x, y = heads_problem.data(20)
    none = np.zeros(20)
    none[19] = 1
    trainer = Trainer(net, heads_problem.per_head(), optimizers.Adam())
    before = net.parameters()
    trainer.fit(x, y, epochs=1, batch_size=19, shuffle=False, sample_weight={"stop": none}, progress=False)
    after = net.parameters()
    assert trainer.steps == 2
    first = Trainer(
        heads_problem.network(uncertainty=True, dtype="float64", seed=1),
        heads_problem.per_head(),
        optimizers.Adam(),
    )
    first.net.set_parameters(before)
    _, gradients = first.gradients(x[:19], {k: v[:19] for k, v in y.items()}, {"stop": np.ones(19)})
    assert gradients["3.stop.1.weight"].any()
    assert not exact.same_bits(after["3.stop.1.weight"], before["3.stop.1.weight"])
    target = trainer._state.loss.target({k: v[:19] for k, v in y.items()}, 19, 8, net.dtype)
    from gradcore.losses.per_head import ByHead

    core = reserve(first._state, 19, target)
    core.gradients(x[:19], target, ByHead([None, None, np.zeros(19)]))
    index = first.net._model.index
    assert not core.gradient(index["3.stop.1.weight"]).any()
    assert core.gradient(index["3.log_variance"])[2] == 0


def test_soft_and_hard_labels_take_turns():
    net = heads_problem.network(seed=1, dtype="float64")
    x, y = heads_problem.data(12)
    trainer = Trainer(net, heads_problem.per_head(), optimizers.SGD(still))
    hard = trainer.step(x, y)
    soft = trainer.step(x, {**y, "kind": np.eye(5)[y["kind"]]})
    assert abs(hard - soft) < 1e-12
    assert trainer.step(x, y) == hard


# ---- Uncertainty ----


def test_log_variances_go_where_the_losses_are():
    """With the network held still, the best s of a regression is log L, of a classification log 2 L."""
    net = heads_problem.network(uncertainty=True, dtype="float64", seed=3)
    frozen = [name for name in net.parameters() if not name.endswith("log_variance")]
    groups = [optimizers.Group(name, frozen=True) for name in frozen]
    x, y = heads_problem.data(100)
    trainer = Trainer(net, heads_problem.per_head(weights=None), optimizers.Adam(0.05, groups=groups))
    trainer.fit(x, y, epochs=800, batch_size=100, progress=False)
    scores = trainer.evaluate(x, y)
    want = np.log([2 * scores["kind.loss"], scores["angle.loss"], 2 * scores["stop.loss"]])
    assert np.allclose(net.parameters()["3.log_variance"], want, atol=1e-6)


# ---- Gradient surgery ----


@pytest.mark.parametrize("uncertainty", [False, True])
@pytest.mark.parametrize("rows", [33, 1100])
@pytest.mark.parametrize("seed", [0, 1, 2**40 + 7])
def test_surgery_is_that_of_the_paper(uncertainty, rows, seed):
    net = spread(heads_problem.network(uncertainty=uncertainty, dtype="float64", seed=1))
    x, y = heads_problem.data(rows)
    trainer = Trainer(net, heads_problem.per_head(surgery=True), optimizers.SGD(still), seed=seed)
    for step in range(4):
        loss, gradients = trainer.gradients(x, y)
        want_loss, want, cosines = expected(net).surgery(
            x, LOSSES, heads_problem.as_columns(y), surgery_orders(seed, step, 3), factors=WEIGHTS
        )
        assert abs(loss - want_loss) < 1e-12
        for name in gradients:
            assert norm_error(gradients[name], want[name]) < 1e-11, name
        trainer.step(x, y)
        found = trainer.conflicts()
        for pair, cosine in cosines.items():
            assert abs(found[pair]["cosine"] - cosine) < 1e-11
            assert found[pair]["conflicts"] == float(cosine < 0)
            assert found[pair]["steps"] == step + 1
    history = trainer.fit(x, y, epochs=1, batch_size=rows, progress=False)
    assert abs(history["cosine"][0] - np.mean(list(cosines.values()))) < 1e-11
    assert history["conflicts"][0] == np.mean([cosine < 0 for cosine in cosines.values()])


def test_surgery_of_opposite_heads_leaves_the_trunk_alone():
    """Two heads with the same weights, and targets on either side: g and -g."""
    net = Network([Dense(4, "tanh"), Heads({"up": Dense(1), "down": Dense(1)})], inputs=3, dtype="float64")
    w = np.full((4, 1), 0.5)
    net.set_parameters({"1.up.0.weight": w, "1.down.0.weight": w})
    x = np.array([[1.0, -2.0, 0.5]])
    middle = net.predict(x)["up"]
    trainer = Trainer(net, losses.PerHead({"up": "mse", "down": "mse"}, surgery=True), optimizers.SGD(0.1))
    _, gradients = trainer.gradients(x, {"up": middle + 1, "down": middle - 1})
    assert np.abs(gradients["0.weight"]).max() < 1e-15
    assert gradients["1.up.0.bias"] == -gradients["1.down.0.bias"] != 0
    trainer.step(x, {"up": middle + 1, "down": middle - 1})
    assert trainer.conflicts()["up", "down"] == {"cosine": pytest.approx(-1), "conflicts": 1.0, "steps": 1}


def test_surgery_without_conflict_changes_no_more_than_rounding():
    net = Network([Dense(4, "tanh"), Heads({"a": Dense(1), "b": Dense(1)})], inputs=3, dtype="float64")
    w = np.full((4, 1), 0.5)
    net.set_parameters({"1.a.0.weight": w, "1.b.0.weight": w})
    x = np.array([[1.0, -2.0, 0.5]])
    y = {"a": net.predict(x)["a"] + 1, "b": net.predict(x)["a"] + 2}
    found = []
    for surgery in (False, True):
        loss = losses.PerHead({"a": "mse", "b": "mse"}, surgery=surgery)
        found.append(Trainer(net, loss, optimizers.SGD(0.1)).gradients(x, y)[1])
    for name in found[0]:
        assert norm_error(found[1][name], found[0][name]) < 1e-15


def test_surgery_with_dropout_batch_norm_penalties_and_one_head():
    """One head has nobody to agree with: the bits of a training without surgery, penalties counted once."""

    def trained(surgery):
        net = Network(
            [
                Dense(20, "relu", penalty=losses.L2(0.01)),
                BatchNorm(),
                Dropout(0.3),
                Heads({"a": [BatchNorm(), Dense(3)]}),
            ],
            inputs=INPUTS,
            dtype="float64",
        )
        x, y = heads_problem.data(90)
        trainer = Trainer(net, losses.PerHead({"a": "mse"}, surgery=surgery), optimizers.Adam(0.01))
        y = {"a": np.column_stack([y["angle"], y["stop"]])}
        history = trainer.fit(x, y, epochs=5, batch_size=30, progress=False)
        return history.loss, net.parameters()

    plain, surgical = trained(False), trained(True)
    assert plain[0] == surgical[0]
    assert_same(surgical[1], plain[1])


def test_surgery_is_undisturbed_by_what_other_heads_left_behind():
    """NaN in one head's targets spoils the update, and not the next one."""
    net = heads_problem.network(seed=1)
    x, y = heads_problem.data(20, "float32")
    trainer = Trainer(net, heads_problem.per_head(surgery=True), optimizers.Adam(0.01))
    before = net.parameters()
    trainer.step(x, {**y, "angle": np.full((20, 2), np.nan, np.float32)})
    assert trainer.skipped == 1
    assert_same(net.parameters(), before)
    assert np.isfinite(trainer.step(x, y))
    assert trainer.skipped == 1
