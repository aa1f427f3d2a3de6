"""The Checkpoint callback: names of files, and disks that refuse them."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from gradcore import (
    Dense,
    Dropout,
    Network,
    Trainer,
    callbacks,
    clipping,
    errors,
    losses,
    optimizers,
    schedules,
)
from gradcore.training import checkpoint


def make():
    return Trainer(Network([Dense(2)], inputs=3, dtype="float64"), "mse", optimizers.Adam(0.01))


def fit(trainer, *hooks, epochs=3, **more):
    x = np.linspace(-1, 1, 60).reshape(20, 3)
    return trainer.fit(x, x[:, :2], epochs=epochs, batch_size=5, progress=False, callbacks=hooks, **more)


# ---- Names ----


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize(
    ("name", "every", "files"),
    [
        ("ck-{epoch}", None, ["ck-1", "ck-2", "ck-3"]),
        ("ck-{epoch:03d}", None, ["ck-001", "ck-002", "ck-003"]),
        ("ck-{step}", 5, ["ck-10", "ck-5"]),
        ("{epoch}-{step:04}", 3, ["1-0003", "2-0006", "3-0009", "3-0012"]),
        ("{{{epoch}}}", None, ["{1}", "{2}", "{3}"]),
        ("plain", None, ["plain"]),
    ],
)
def test_files_are_named_after_epoch_and_step(kind, name, every, files, tmp_path):
    fit(make(), callbacks.Checkpoint(kind(tmp_path / name), every_steps=every))
    assert sorted(path.name for path in tmp_path.iterdir()) == files


def test_each_has_what_its_name_says(tmp_path):
    trainer = make()
    fit(trainer, callbacks.Checkpoint(tmp_path / "{epoch}-{step}"))
    fit(trainer, callbacks.Checkpoint(tmp_path / "{epoch}-{step}"))
    for epoch in range(1, 7):
        loaded = Trainer.load(tmp_path / f"{epoch}-{4 * epoch}")
        assert (loaded.steps, len(loaded.history)) == (4 * epoch, epoch)


@pytest.mark.parametrize(
    "name",
    ["{epochs}", "{}", "{0}", "{epoch", "epoch}", "{epoch!r}", "{epoch.real}", "{epoch:q}", "{loss:.3f}",
     "{epoch:{width}}"],
)  # fmt: skip
def test_other_braces_are_refused_at_once(name):
    with pytest.raises(errors.ArgumentError, match=r"Checkpoint: path: expected \{epoch\} and \{step\}"):
        callbacks.Checkpoint(f"ck-{name}.gradcore")


# ---- Disks that refuse ----


@pytest.fixture
def disk(monkeypatch):
    """Saves fail while disk["full"]."""
    state = {"full": False}
    write = checkpoint.files.write

    def guarded(path, *content):
        if state["full"]:
            raise errors.FileError(f"{path}: cannot write the file: No space left on device")
        write(path, *content)

    monkeypatch.setattr(checkpoint.files, "write", guarded)
    return state


class Fill:
    """The disk is full in some epochs."""

    def __init__(self, disk, epochs):
        self.disk, self.epochs = disk, epochs

    def on_epoch_begin(self, trainer, epoch):
        self.disk["full"] = epoch in self.epochs


def test_a_full_disk_does_not_end_the_fit(disk, tmp_path):
    trainer, path = make(), tmp_path / "ck"
    with pytest.warns(RuntimeWarning, match="fit goes on .*step 8: .*No space left") as caught:
        history = fit(trainer, Fill(disk, (2, 3)), callbacks.Checkpoint(path), epochs=4)
    assert len(caught) == 1  # the last attempt worked
    assert len(history) == 4
    assert Trainer.load(path).steps == 16


def test_the_last_good_file_stays_and_is_named_at_the_end(disk, tmp_path):
    path = tmp_path / "ck-{epoch}"
    with pytest.warns(RuntimeWarning) as caught:
        fit(make(), Fill(disk, (2, 3)), callbacks.Checkpoint(path))
    assert [str(w.message).split(":")[0] for w in caught] == ["Checkpoint"] * 2
    assert "2 saves failed" in str(caught[1].message)
    assert "ck-1" in str(caught[1].message)
    assert Trainer.load(tmp_path / "ck-1").steps == 4


def test_without_any_file_the_end_says_so(disk, tmp_path):
    with pytest.warns(RuntimeWarning, match="none was written"):
        keep = callbacks.Checkpoint(tmp_path / "ck", every_steps=3)
        assert len(fit(make(), Fill(disk, (1, 2, 3)), keep)) == 3


def test_every_fit_warns_for_itself(disk, tmp_path):
    keep, trainer = callbacks.Checkpoint(tmp_path / "ck"), make()
    for _ in range(2):
        with pytest.warns(RuntimeWarning, match="the fit goes on"):
            fit(trainer, Fill(disk, (len(trainer.history) + 1,)), keep)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(trainer, keep)


def test_a_folder_that_is_not_there_is_an_error_before_the_first_step(tmp_path):
    trainer = make()
    with pytest.raises(errors.NotFoundError, match="folder"):
        fit(trainer, callbacks.Checkpoint(tmp_path / "none" / "ck"))
    assert trainer.steps == 0


def test_what_can_never_be_saved_is_an_error(tmp_path):
    trainer = make()
    with pytest.raises(errors.ArgumentError, match="regular file"):
        fit(trainer, callbacks.Checkpoint(tmp_path))
    assert trainer.steps == 0


def function(step):
    return 0.1


@pytest.mark.parametrize(
    ("layers", "arguments"),
    [
        ([], {"optimizer": optimizers.SGD(lr=function)}),
        ([], {"optimizer": optimizers.EMA(optimizers.Adam(0.1), decay=schedules.Scale(function, 2.0))}),
        ([], {"loss": lambda output, target: (0.0, 0 * output)}),
        ([], {"clip": clipping.GlobalNorm(function)}),
        ([], {"clip": [clipping.ByValue(1.0), clipping.Noise(function)]}),
        ([Dropout(function)], {}),
        ([Dense(2, penalty=losses.L2(function))], {}),
    ],
)
def test_functions_that_no_file_can_hold_are_found_before_the_first_step(layers, arguments, tmp_path):
    net = Network([*layers, Dense(2)], inputs=3, dtype="float64")
    trainer = Trainer(net, **{"loss": "mse", "optimizer": optimizers.SGD(0.1), **arguments})
    with pytest.raises(errors.ArgumentError, match="function"):
        fit(trainer, callbacks.Checkpoint(tmp_path / "ck", every_steps=10))
    assert trainer.steps == 0
    assert not [*tmp_path.iterdir()]


def test_a_later_name_that_is_a_folder_does_not_end_the_fit(tmp_path):
    (tmp_path / "ck-2").mkdir()
    with pytest.warns(RuntimeWarning, match="the fit goes on without a file of step 8: .*regular file"):
        history = fit(make(), callbacks.Checkpoint(tmp_path / "ck-{epoch}"))
    assert len(history) == 3
    assert (tmp_path / "ck-3").is_file()


# ---- Columns that callbacks add ----


class Add:
    def __init__(self, **values):
        self.values = values

    def on_epoch_end(self, trainer, row):
        row.update({name: values[len(trainer.history) - 1] for name, values in self.values.items()
                    if values[len(trainer.history) - 1] is not None})  # fmt: skip


def test_what_callbacks_put_into_the_row_is_in_the_history(tmp_path):
    trainer = make()
    add = Add(depth=[None, 3, np.float32(0.5)], val_loss=[9.0, 8, None], count=[1, 2, 3])
    history = fit(trainer, add, callbacks.Checkpoint(tmp_path / "ck"))
    for found in (history, trainer.history, Trainer.load(tmp_path / "ck").history):
        np.testing.assert_array_equal(found["depth"], [np.nan, 3.0, 0.5])
        np.testing.assert_array_equal(found.val_loss, [9.0, 8.0, np.nan])
        assert found["count"] == [1.0, 2.0, 3.0]
        assert found.last()["depth"] == 0.5
        assert set(found.to_dict()) >= {"depth", "val_loss", "count"}
    assert "depth" in repr(history)
    history.to_csv(tmp_path / "h.csv")
    assert (tmp_path / "h.csv").read_text().splitlines()[0].endswith("count,depth")
    fit(trainer)
    np.testing.assert_array_equal(trainer.history["count"], [1, 2, 3, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(trainer.history.since(3)["depth"], [np.nan] * 3)


def test_later_callbacks_see_them_and_may_change_their_own():
    class Twice:
        def on_epoch_end(self, trainer, row):
            row["mine"] *= 2

    history = fit(make(), Add(mine=[1, 2, 3]), Twice())
    assert history["mine"] == [2.0, 4.0, 6.0]


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"loss": [0.0] * 3}, errors.ArgumentError, r"row\['loss'\]: expected .*as it was measured"),
        ({"epoch": [7] * 3}, errors.ArgumentError, r"row\['epoch'\]"),
        ({"mine": ["high"] * 3}, errors.DTypeError, r"row\['mine'\]: expected a number"),
        ({"mine": [True] * 3}, errors.DTypeError, "number"),
        ({"mine": [1j] * 3}, errors.DTypeError, "number"),
        ({"mine": [np.ones(2)] * 3}, errors.DTypeError, "number"),
    ],
)
def test_what_is_no_column_is_refused(values, error, message):
    with pytest.raises(error, match=message):
        fit(make(), Add(**values))


def test_columns_of_rows_that_are_appended_by_hand():
    from gradcore.history import History

    history = History()
    history.append({"epoch": 1, "loss": 2.0})
    history.append({"epoch": 2, "loss": 1.0, "mine": 3.0})
    assert str(history["mine"]) == "[nan, 3.0]"
