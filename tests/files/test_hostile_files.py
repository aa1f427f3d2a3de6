"""Files and paths that nobody should write: each is read, or refused by an error of gradcore."""

import gzip
import json
import os
import struct
import sys
import warnings

import gradcore
import numpy as np
import pytest
from gradcore import (
    BatchNorm,
    Dense,
    Dropout,
    Heads,
    Network,
    Residual,
    Standardize,
    Trainer,
    _core,
    callbacks,
    clipping,
    datasets,
    losses,
    optimizers,
    schedules,
)
from gradcore.datasets import Encoding, read_idx
from gradcore.errors import ArgumentError, DTypeError, FileError, FormatError, GradcoreError, NotFoundError
from gradcore.network import files
from gradcore.training import checkpoint
from support import run_python

# ---- Every field of every kind of checkpoint ----

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 4))
CLASSES = RNG.integers(0, 3, 40)
NUMBERS = X[:, :1] * 2


class Stop:
    """Interrupts a fit in the middle of an epoch."""

    every_steps = 7

    def on_slice(self, trainer, reports):
        raise InterruptedError


def begun(net, loss, optimizer, y, *, fit=(), **options):
    trainer = Trainer(net, loss, optimizer, **options)
    options = {"epochs": 6, "batch_size": 8, "progress": False, "callbacks": [Stop()], **dict(fit)}
    try:
        trainer.fit(X, y, **options)
    except InterruptedError:
        pass
    return trainer


def stack(outputs=1):
    return Network([Dense(5, "tanh"), Dense(outputs)], inputs=4, seed=1)


def rich():
    layers = [Standardize(), Dense(6, "relu"), Residual(Dropout(0.5), Dense(6)), BatchNorm(), Dense(3)]
    return begun(
        Network(layers, inputs=4, seed=1),
        losses.CrossEntropy(label_smoothing=0.1),
        optimizers.Adam(schedules.Warmup(schedules.Cosine(0.01, 50), 5)),
        CLASSES,
        clip=clipping.GlobalNorm(1.0),
        fit={"early_stopping": callbacks.EarlyStopping(patience=2), "validation": 0.2},
    )


def plateau():
    optimizer = optimizers.SGD(schedules.ReduceOnPlateau(0.1), momentum=0.9)
    return begun(
        stack(), "mse", optimizer, NUMBERS, constraint=clipping.MaxNorm(2.0), fit={"validation": 0.2}
    )


def with_heads():
    net = Network([Dense(5, "tanh"), Heads({"a": Dense(1), "b": Dense(3)})], inputs=4, seed=1)
    y = {"a": NUMBERS, "b": CLASSES}
    return begun(net, {"a": "mse", "b": "cross_entropy"}, optimizers.Adam(0.01), y)


def averaged():
    return begun(stack(), "mse", optimizers.EMA(optimizers.Adam(0.01)), NUMBERS, clip=clipping.AutoClip())


def whole_batch():
    return begun(stack(), "mse", optimizers.LBFGS(), NUMBERS, fit={"batch_size": 40, "epochs": 3})


def fresh():
    trainer = Trainer(stack(3), "cross_entropy", optimizers.SOAP(0.01))
    trainer.net.columns = ("a", "b", "c", "d")
    return trainer


KINDS = {
    "rich": rich,
    "plateau": plateau,
    "heads": with_heads,
    "averaged": averaged,
    "whole batch": whole_batch,
    "fresh": fresh,
}

DEEP = None
for _ in range(60):
    DEEP = [DEEP]
MISSING = object()
HOSTILE = [
    None, True, False, "x", "", -1, 0, 1, 1.5, float("nan"), float("inf"), float("-inf"), 2**31, 2**63,
    2**70, -(2**70), 1e308, [], {}, [0], [[1], [2]], DEEP, {"type": "none"}, MISSING,
    {"type": "schedules.Constant", "value": 1}, {"type": "optimizers.SGD", "lr": 0.1},
]  # fmt: skip


def places(value, path=()):
    """Where the parts of JSON data are; of a list the first two."""
    yield path
    if isinstance(value, list):
        value = dict(enumerate(value[:2]))
    if isinstance(value, dict):
        for key, part in value.items():
            yield from places(part, (*path, key))


def changed(value, path, new):
    """JSON data with another part at a place."""
    if not path:
        return new
    value = json.loads(json.dumps(value))
    at = value
    for key in path[:-1]:
        at = at[key]
    if new is MISSING:
        del at[path[-1]]
    else:
        at[path[-1]] = new
    return value


def targets_of(trainer):
    heads = trainer.net.head_widths if hasattr(trainer.net, "head_widths") else None
    if heads or any(isinstance(layer, Heads) for layer in trainer.net.layers):
        return {"a": NUMBERS, "b": CLASSES}
    return CLASSES if trainer.net.outputs == 3 else NUMBERS


def use(trainer):
    """What was loaded prints, trains a little and is saved again, or an error of gradcore says why not."""
    assert repr(trainer) and repr(trainer.net) and repr(trainer.history)
    trainer.net.columns = None
    calls = [
        lambda: trainer.net.predict(X),
        lambda: trainer.fit(X, targets_of(trainer), epochs=1, batch_size=8, progress=False),
    ]
    for call in calls:
        try:
            call()
        except GradcoreError:
            pass
    checkpoint.decode(Trainer._made, checkpoint.encode(trainer._state), None, None)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", [0, *(pytest.param(i, marks=pytest.mark.slow) for i in range(1, 13))])
def test_any_field_of_a_checkpoint_loads_or_is_refused(kind, part):
    """A thirteenth of the fields and values, all of them over the parameters of this test."""
    tensors, metadata = files.decode(checkpoint.encode(KINDS[kind]()._state))
    cases = [
        (name, path, new)
        for name in ("network", "trainer")
        for path in places(json.loads(metadata[name]))
        for new in HOSTILE
        if path or new is not MISSING
    ]
    loaded = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, path, new in cases[part::13]:
            about = json.dumps(changed(json.loads(metadata[name]), path, new))
            data = _core.encode(list(tensors.items()), {**metadata, name: about})
            try:
                trainer = checkpoint.decode(Trainer._made, data, None, None)
            except FormatError:
                continue
            except Exception as error:
                pytest.fail(f"{name} {path} = {new!r}: {type(error).__name__}: {error}")
            loaded += 1
            if loaded % 5 == 0:
                try:
                    use(trainer)
                except Exception as error:
                    pytest.fail(f"{name} {path} = {new!r}, used: {type(error).__name__}: {error}")
    assert loaded and len(cases) > 1000


@pytest.mark.parametrize(
    "text",
    ["", "nul", "[" * 100_000, "1" * 10_000, '{"a":1,"a":2}', "null", "[]", "NaN", '"\\ud800"', "\x00", "{}"],
)
@pytest.mark.parametrize("name", ["network", "trainer", "metadata", "kind", "format_version"])
def test_metadata_that_is_no_description(name, text):
    tensors, metadata = files.decode(checkpoint.encode(fresh()._state))

    def restored():
        changed = _core.encode(list(tensors.items()), {**metadata, name: text})
        return checkpoint.decode(Trainer._made, changed, None, None)

    if text == "{}" and name == "metadata":  # nothing is wrong with that one
        assert restored().net.metadata == {}
        return
    with pytest.raises(GradcoreError):
        restored()


@pytest.mark.parametrize("field", ["features", "target", "categories", "classes", "mean", "scale", "header"])
def test_any_field_of_the_description_of_a_table(field):
    parts = json.loads(Encoding(("a", "b"), "y", {"a": ("p", "q")}).to_json())
    for new in [*HOSTILE, 10**400, "1" * 5000]:
        try:
            assert isinstance(Encoding.from_json(json.dumps(changed(parts, (field,), new))), Encoding)
        except FormatError:
            pass


# ---- IDX files ----


def idx(kind, shape, body=b""):
    return bytes([0, 0, kind, len(shape)]) + b"".join(struct.pack(">I", size) for size in shape) + body


GOOD = idx(0x08, (2, 3), bytes(6))
IDX = {
    "nothing": b"",
    "one byte": b"\0",
    "magic alone": GOOD[:4],
    "half a header": GOOD[:9],
    "short by one": GOOD[:-1],
    "long by one": GOOD + b"\0",
    "no axes": bytes([0, 0, 8, 0, 1]),
    "unknown type": idx(0x0A, (2,), bytes(2)),
    "other magic": b"\1" + GOOD[1:],
    "huge": idx(0x08, (2**32 - 1,) * 4),
    "zero and huge": idx(0x08, (0, *(2**32 - 1,) * 4)),
    "255 axes": idx(0x08, (1,) * 255, b"\0"),
    "65 axes of 0": idx(0x0E, (0,) * 65),
    "negative": idx(0x0E, (2**31, 2**31)),
    "gzip, cut": gzip.compress(GOOD)[:-5],
    "gzip, header only": gzip.compress(GOOD)[:10],
    "gzip, magic only": b"\x1f\x8b",
    "gzip, extra field": b"\x1f\x8b\x08\x04" + bytes(7),
    "gzip, checksum": gzip.compress(GOOD)[:-8] + bytes(8),
    "gzip, garbage behind": gzip.compress(GOOD) + b"garbage",
    "gzip of nothing": gzip.compress(b""),
    "gzip of gzip": gzip.compress(gzip.compress(GOOD)),
    "gzip of half": gzip.compress(GOOD[:-1]),
    "gzip, method": b"\x1f\x8b\x07" + bytes(20),
}


@pytest.mark.parametrize("name", IDX)
def test_idx_files_that_are_none(tmp_path, name):
    path = tmp_path / "a.idx"
    path.write_bytes(IDX[name])
    with pytest.raises(FormatError, match="a.idx: "):
        read_idx(path)


def test_idx_files_of_every_byte_changed_or_cut(tmp_path):
    path = tmp_path / "a.idx"
    for whole in (GOOD, gzip.compress(GOOD)):
        length = range(len(whole))
        variants = [whole[:i] + bytes([byte]) + whole[i + 1 :] for i in length for byte in (0, 1, 255)]
        for data in [*variants, *(whole[:i] for i in length)]:
            path.write_bytes(data)
            try:
                assert read_idx(path).size in (0, 6)
            except FormatError:
                pass


def test_good_idx_files_in_several_members(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(GOOD[:7]) + gzip.compress(GOOD[7:]))
    assert read_idx(path).shape == (2, 3)


# ---- Paths ----


def network():
    return stack()


def history():
    found = gradcore.History()
    found.append({"epoch": 1, "step": 1, "loss": 0.5, "lr": 0.1, "skipped": 0, "seconds": 0.01})
    return found


READERS = {
    "Network.load": Network.load,
    "Trainer.load": Trainer.load,
    "load_csv": datasets.load_csv,
    "load_npz": datasets.load_npz,
    "load_idx": datasets.load_idx,
    "read_idx": datasets.read_idx,
    "load_parquet": datasets.load_parquet,
}
WRITERS = {
    "Network.save": lambda path: network().save(path),
    "Trainer.save": lambda path: fresh().save(path),
    "History.to_csv": lambda path: history().to_csv(path),
    "Checkpoint": lambda path: callbacks.Checkpoint(path),
    "schedules.plot": lambda path: schedules.plot(0.1, 5, path=path),
}
BAD_PATHS = {
    "surrogate": ("a\ud800.csv", ArgumentError),
    "NUL": ("a\0b", ArgumentError),
    "NUL in bytes": (b"a\0b", ArgumentError),
    "empty": ("", ArgumentError),
    "empty bytes": (b"", ArgumentError),
    "number": (7, DTypeError),
    "None": (None, DTypeError),
    "list": (["a"], DTypeError),
}


def needs(name):
    if "parquet" in name:
        pytest.importorskip("pyarrow")
    if "plot" in name:
        pytest.importorskip("matplotlib")


@pytest.mark.parametrize("path", BAD_PATHS)
@pytest.mark.parametrize("name", [*READERS, *WRITERS])
def test_paths_that_are_none(tmp_path, monkeypatch, name, path):
    needs(name)
    monkeypatch.chdir(tmp_path)
    if (name, path) == ("schedules.plot", "None"):
        pytest.skip("no path: no file")
    value, error = BAD_PATHS[path]
    with pytest.raises(error, match="path"):
        {**READERS, **WRITERS}[name](value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", READERS)
def test_paths_where_nothing_can_be_read(tmp_path, name):
    needs(name)
    for way in (str, os.fsencode, lambda path: path):
        with pytest.raises((NotFoundError, FormatError)):
            READERS[name](way(tmp_path / "none"))
        with pytest.raises(GradcoreError):
            READERS[name](way(tmp_path))
        with pytest.raises(GradcoreError):
            READERS[name](way(tmp_path / ("long" * 200)))
    if os.geteuid() != 0:
        closed = tmp_path / "closed"
        closed.write_bytes(b"1,2\n")
        closed.chmod(0)
        with pytest.raises(FileError):
            READERS[name](closed)


@pytest.mark.parametrize("name", [name for name in WRITERS if name not in ("Checkpoint", "schedules.plot")])
def test_paths_where_nothing_can_be_written(tmp_path, name):
    for bad in (tmp_path / "none" / "a", tmp_path, tmp_path / ("long" * 200)):
        for way in (str, os.fsencode, lambda path: path):
            with pytest.raises((FileError, ArgumentError)):
                WRITERS[name](way(bad))


def test_names_in_other_bytes_than_utf_8_work_everywhere(tmp_path):
    name = os.fsencode(tmp_path / "odd-") + b"\xff\xfe"
    rows = b"a,b\n" + b"".join(b"%d,%d.5\n" % (i, 3 * i % 7) for i in range(20))
    for path in (name + b".csv", os.fsdecode(name + b".csv")):
        with open(path, "wb") as file:
            file.write(rows)
        assert len(datasets.load_csv(path)) == 20
    network().save(name)
    assert Network.load(os.fsdecode(name)).inputs == 4
    history().to_csv(name + b".txt")
    code = f"""
import os, sys
from gradcore.cli import main
sys.exit(main(["train", os.fsdecode({name + b".csv"!r}), "--hidden", "0", "--epochs", "1", "--output",
               os.fsdecode({name + b".model"!r})]))
"""
    for encoding in ("utf-8:strict", "ascii:strict", "ascii:replace"):
        done = run_python(code, env={"PYTHONIOENCODING": encoding})
        assert "odd-" in done.stdout and "Traceback" not in done.stderr


def test_the_command_line_refuses_paths_that_are_none(capsys, tmp_path):
    from gradcore.cli import main

    for bad in ("a\ud800.csv", "a\0.csv", ""):
        assert main(["train", bad]) == 2
        assert main(["predict", bad, bad]) == 2
        assert main(["predict", str(tmp_path / "none"), "b.csv", "--output", bad]) == 2
        assert main(["train", "b.csv", "--output", bad]) == 2
    assert capsys.readouterr().err.count("gradcore: error:") == 12
    assert sys.stdout.errors
