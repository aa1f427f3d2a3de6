"""fit(resume=): what goes on with an interrupted fit, what begins a new one, and what is refused."""

import copy
import json
import pickle
import warnings

import numpy as np
import pytest
from gradcore import Dense, Heads, Network, Trainer, callbacks, errors, losses, optimizers
from gradcore.network import files
from support import assert_same, cases

EPOCHS = 6


class Interrupt:
    """Ctrl-C at a step, or at the end of an epoch, of the trainer."""

    def __init__(self, step=None, epoch=None):
        self.every_steps, self.epoch = step, epoch

    def on_slice(self, trainer, reports):
        if trainer.steps == self.every_steps:
            raise KeyboardInterrupt

    def on_epoch_end(self, trainer, row):
        if row["epoch"] == self.epoch:
            raise KeyboardInterrupt


def data(rows=40, seed="resume"):
    rng = cases.generator(seed)
    x = rng.normal(size=(rows, 4))
    return x, x[:, :3].argmax(axis=1)


def make(optimizer=None):
    net = Network([Dense(6, "tanh"), Dense(3)], inputs=4, seed=5, dtype="float64")
    return Trainer(net, "cross_entropy", optimizer or optimizers.Adam(0.01))


def fit(trainer, x, y, **more):
    return trainer.fit(x, y, **{"epochs": EPOCHS, "batch_size": 8, "progress": False, **more})


def interrupted(optimizer=None, stop=None, **more):
    """A trainer whose fit was interrupted, in the middle of its third epoch if nothing else is said."""
    trainer = make(optimizer)
    with pytest.raises(KeyboardInterrupt):
        fit(trainer, *data(), callbacks=[stop or Interrupt(step=12)], **more)
    return trainer


def saved(trainer, path):
    trainer.save(path)
    return Trainer.load(path)


def whole(optimizer=None, **more):
    trainer = make(optimizer)
    fit(trainer, *data(), **more)
    return trainer


def quietly(call):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return call()


# ---- A live trainer ----


def test_after_an_interruption_another_fit_trains_as_often_as_it_says():
    trainer = interrupted()
    x, y = data(56, "other")
    history = quietly(lambda: fit(trainer, x, y, epochs=4))
    assert trainer.steps == 12 + 4 * 7
    assert history.step == [19, 26, 33, 40]
    assert len(trainer.history) == 2 + 4


def test_the_same_fit_again_is_a_new_one_too():
    trainer = interrupted()
    assert len(fit(trainer, *data())) == EPOCHS
    assert trainer.steps == 12 + EPOCHS * 5


@pytest.mark.parametrize("stop", [Interrupt(step=12), Interrupt(epoch=2)], ids=["step", "epoch"])
@pytest.mark.quick
def test_resume_finishes_with_the_bits_of_an_uninterrupted_fit(stop):
    trainer, straight = interrupted(stop=stop), whole()
    history = quietly(lambda: fit(trainer, *data(), resume=True))
    assert_same(trainer.net.parameters(), straight.net.parameters())
    assert history.loss == straight.history.loss
    assert history.step == straight.history.step


def test_a_fit_may_be_interrupted_again_and_again():
    trainer = interrupted(stop=Interrupt(step=3))
    for step in (4, 11, 15, 29):
        with pytest.raises(KeyboardInterrupt):
            fit(trainer, *data(), callbacks=[Interrupt(step=step)], resume=True)
    fit(trainer, *data(), resume=True)
    assert_same(trainer.net.parameters(), whole().net.parameters())


def changed(argument):
    """Arguments of a fit of which one is not as it was."""
    x, y = data()
    x[17, 2] = np.nextafter(x[17, 2], 9.0) if argument == "X" else x[17, 2]
    y = np.where(np.arange(40) == 31, (y + 1) % 3, y) if argument == "y" else y
    more = {
        "rows": {},
        "batch_size": {"batch_size": 9},
        "shuffle": {"shuffle": False},
        "epochs": {"epochs": EPOCHS + 1},
        "sample_weight": {"sample_weight": np.r_[np.ones(39), 2.0]},
        "class_weight": {"class_weight": "balanced"},
        "validation": {"validation": (x[:5], y[:5])},
        "early_stopping": {"early_stopping": 3},
    }.get(argument, {})
    return (x[:-1], y[:-1], more) if argument == "rows" else (x, y, more)


ARGUMENTS = {
    "X": "X",
    "y": "y",
    "rows": "X: expected training rows 40",
    "batch_size": "batch_size",
    "shuffle": "shuffle",
    "epochs": "epochs: expected 6",
    "sample_weight": "sample_weight",
    "class_weight": "sample_weight or class_weight",
    "validation": "validation",
    "early_stopping": "early_stopping",
}


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_another_argument_is_an_error_that_changes_nothing(argument):
    trainer = interrupted()
    x, y, more = changed(argument)
    before, steps, rows = trainer.net.parameters(), trainer.steps, len(trainer.history)
    with pytest.raises(errors.StateError, match=f"^{ARGUMENTS[argument]}.*resume=False"):
        fit(trainer, x, y, resume=True, **more)
    assert_same(trainer.net.parameters(), before)
    assert (trainer.steps, len(trainer.history)) == (steps, rows)
    fit(trainer, *data(), resume=True)
    assert_same(trainer.net.parameters(), whole().net.parameters())


def test_a_share_that_is_held_out_is_part_of_the_data():
    trainer = interrupted(validation=0.2, batch_size=4)
    with pytest.raises(errors.StateError, match=r"^X: .*32.*30"):
        fit(trainer, *data(), validation=0.25, batch_size=4, resume=True)
    fit(trainer, *data(), validation=0.2, batch_size=4, resume=True)
    assert_same(trainer.net.parameters(), whole(validation=0.2, batch_size=4).net.parameters())


def test_the_same_numbers_in_other_containers_are_the_same_data():
    x, y = data()
    trainer = interrupted(sample_weight=np.linspace(1, 2, 40))
    other_x = np.asfortranarray(x)
    fit(trainer, other_x[::-1][::-1], y.tolist(), sample_weight=np.linspace(1, 2, 40).tolist(), resume=True)
    assert_same(trainer.net.parameters(), whole(sample_weight=np.linspace(1, 2, 40)).net.parameters())


def test_with_nothing_to_resume_it_is_an_error():
    trainer = make()
    for _ in range(2):
        with pytest.raises(errors.StateError, match="resume: .*found none"):
            fit(trainer, *data(), resume=True)
        fit(trainer, *data())
    trainer = interrupted()
    trainer.abandon_fit()
    with pytest.raises(errors.StateError, match="resume"):
        fit(trainer, *data(), resume=True)


@pytest.mark.parametrize("value", [1, "yes", np.array([True])])
def test_resume_is_a_flag(value):
    with pytest.raises(errors.DTypeError, match="resume: expected True or False"):
        fit(make(), *data(), resume=value)


def test_a_fit_that_fails_before_its_first_step_leaves_the_interrupted_one():
    trainer = interrupted()

    class Fail:
        def on_train_begin(self, trainer):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fit(trainer, *data(), callbacks=[Fail()])
    fit(trainer, *data(), resume=True)
    assert_same(trainer.net.parameters(), whole().net.parameters())


def test_data_of_heads_is_compared_too():
    def fitted(trainer, gear, **more):
        x, y = data()
        targets = {"steer": x[:, 0], "gear": gear}
        return trainer.fit(x, targets, epochs=3, batch_size=8, progress=False, **more)

    net = Network([Dense(6, "tanh"), Heads({"steer": Dense(1), "gear": Dense(3)})], inputs=4, dtype="float64")
    trainer = Trainer(net, {"steer": "mse", "gear": losses.CrossEntropy()}, optimizers.Adam(0.01))
    x, y = data()
    with pytest.raises(KeyboardInterrupt):
        fitted(trainer, y, callbacks=[Interrupt(step=8)])
    with pytest.raises(errors.StateError, match="^y: "):
        fitted(trainer, (y + 1) % 3, resume=True)
    assert fitted(trainer, y, resume=True).step == [5, 10, 15]


# ---- Files ----


def test_a_file_from_the_middle_goes_on_by_itself(tmp_path):
    for resume in (None, True):
        loaded = saved(interrupted(), tmp_path / "c")
        history = quietly(lambda: fit(loaded, *data(), resume=resume))  # noqa: B023
        assert_same(loaded.net.parameters(), whole().net.parameters())
        assert len(history) == EPOCHS


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_a_copy_is_like_a_file(copied):
    trainer = copied(interrupted())
    fit(trainer, *data())
    assert_same(trainer.net.parameters(), whole().net.parameters())


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_with_another_argument_a_file_begins_a_new_fit_and_says_so(argument, tmp_path):
    x, y, more = changed(argument)
    interrupted().save(tmp_path / "c")
    loaded = Trainer.load(tmp_path / "c")
    with pytest.warns(RuntimeWarning, match=f"new one.*{ARGUMENTS[argument]}"):
        history = fit(loaded, x, y, **more)
    steps = more.get("epochs", EPOCHS) * -(-len(x) // more.get("batch_size", 8))
    assert loaded.steps == 12 + steps or argument == "early_stopping"
    assert history.step[0] > 12
    other = Trainer.load(tmp_path / "c")
    quietly(lambda: fit(other, x, y, resume=False, **more))
    assert_same(other.net.parameters(), loaded.net.parameters())
    third = Trainer.load(tmp_path / "c")
    with pytest.raises(errors.StateError, match=f"^{ARGUMENTS[argument]}"):
        fit(third, x, y, resume=True, **more)


def test_a_loaded_fit_that_is_interrupted_again_is_a_live_one(tmp_path):
    loaded = saved(interrupted(), tmp_path / "c")
    with pytest.raises(KeyboardInterrupt):
        fit(loaded, *data(), callbacks=[Interrupt(step=17)])
    fit(loaded, *data(), epochs=1)
    assert loaded.steps == 17 + 5


def test_a_fit_that_had_come_to_its_end_says_that_it_does_nothing(tmp_path):
    x, y = data()
    trainer = make()
    fit(trainer, x, y, callbacks=[callbacks.Checkpoint(tmp_path / "c")])
    loaded = Trainer.load(tmp_path / "c")
    with pytest.warns(RuntimeWarning, match=r"had come to its end.*no step.*resume=False"):
        history = fit(loaded, x, y)
    assert len(history) == EPOCHS
    assert_same(loaded.net.parameters(), trainer.net.parameters())
    assert len(quietly(lambda: fit(loaded, x, y))) == EPOCHS  # it is finished now
    assert loaded.steps == 2 * trainer.steps


def test_a_fit_that_early_stopping_ended_says_so_too(tmp_path):
    x, y = data()
    rule = callbacks.EarlyStopping("loss", patience=1, min_delta=5.0)
    trainer = make()
    fit(trainer, x, y, early_stopping=rule, callbacks=[callbacks.Checkpoint(tmp_path / "c")])
    assert len(trainer.history) == 2
    with pytest.warns(RuntimeWarning, match="had come to its end"):
        fit(Trainer.load(tmp_path / "c"), x, y, early_stopping=rule)


def test_files_from_before_the_digests_still_go_on(tmp_path):
    interrupted().save(tmp_path / "new")
    tensors, metadata = files.read(tmp_path / "new")
    about = json.loads(metadata["trainer"])
    for key in ("fit_terms", "best_epoch"):
        del about[key]
    files.write(tmp_path / "old", list(tensors.items()), {**metadata, "trainer": json.dumps(about)})
    x, y = data()
    loaded = Trainer.load(tmp_path / "old")
    quietly(lambda: fit(loaded, x, y))
    assert_same(loaded.net.parameters(), whole().net.parameters())
    with pytest.raises(errors.StateError, match="batch_size"):
        fit(Trainer.load(tmp_path / "old"), x, y, batch_size=9, resume=True)


@pytest.mark.parametrize(
    "terms",
    [{"epochs": -1}, {"epochs": "6"}, {"contents": {"X": 3}}, {"contents": []}, {"averaged": 1}, {"x": 1}, 5],
)
def test_damaged_terms_are_refused(terms, tmp_path):
    interrupted().save(tmp_path / "good")
    tensors, metadata = files.read(tmp_path / "good")
    about = json.loads(metadata["trainer"])
    about["fit_terms"] = {**about["fit_terms"], **terms} if isinstance(terms, dict) else terms
    files.write(tmp_path / "bad", list(tensors.items()), {**metadata, "trainer": json.dumps(about)})
    with pytest.raises(errors.FormatError):
        Trainer.load(tmp_path / "bad")


# ---- Full-batch methods ----


@pytest.mark.parametrize("method", [optimizers.LBFGS(), optimizers.NewtonCG()], ids=["LBFGS", "NewtonCG"])
def test_full_batch_methods_follow_the_same_rules(method, tmp_path):
    stop = Interrupt(epoch=3)
    trainer = interrupted(method, stop, batch_size=None)
    x, y = data(30, "other")
    assert len(fit(trainer, x, y, epochs=4, batch_size=None)) == 4
    assert trainer.steps == 3 + 4
    straight = whole(method, batch_size=None)
    for resume in (True, None):
        again = interrupted(method, stop, batch_size=None)
        again = again if resume else saved(again, tmp_path / "c")
        with pytest.raises(errors.StateError, match="^y: "):
            fit(again, data()[0], data()[1][::-1], batch_size=None, resume=True)
        fit(again, *data(), batch_size=None, resume=resume)
        assert_same(again.net.parameters(), straight.net.parameters())


# ---- The default of batch_size ----


@pytest.mark.parametrize(("rows", "steps"), [(7, 1), (32, 1), (33, 2), (100, 4)])
def test_without_a_batch_size_there_are_32_rows_to_an_update(rows, steps):
    trainer = make()
    trainer.fit(*data(rows), epochs=1, progress=False)
    assert trainer.steps == steps
