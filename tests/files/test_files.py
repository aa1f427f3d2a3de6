"""Files: what is saved comes back bit for bit; what is damaged is refused, whole and with a reason."""

import json
import os
import re
import struct

import gradcore
import numpy as np
import pytest
from gradcore import Dense, Network, Trainer, _core, callbacks, clipping, errors, optimizers, schedules
from gradcore.network import files
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import exact
from support import assert_same, cases, run_python, started

LAYERS = [
    cases.standardize(),
    cases.dense(6, "leaky_relu", alpha=0.3),
    cases.residual(cases.dropout(0.5), cases.dense(6)),
    cases.dense(3, bias=False),
]

OPTIMIZERS = [
    optimizers.SGD(0.1),
    optimizers.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.1, decay_bias=True),
    optimizers.RMSprop(0.01, centered=True, momentum=0.5),
    optimizers.Adam(schedules.Warmup(schedules.Cosine(0.01, 50), 5), betas=(0.8, schedules.Constant(0.99))),
    optimizers.AdamW(schedules.Exponential(0.01, 0.5, 10, staircase=True)),
]
CLIPS = [None, clipping.ByValue(0.1), clipping.GlobalNorm(schedules.Cosine(1.0, 20, 0.1))]


def make(dtype="float32", optimizer=None, clip=None, **options):
    net = cases.network(gradcore, LAYERS, 4, seed=9, dtype=dtype)
    return Trainer(net, "cross_entropy", optimizer or optimizers.Adam(0.01), clip, **options)


def batch(rows=23):
    return cases.normal((rows, 4), "float64", "x"), cases.generator("y").integers(0, 3, rows)


def trained(steps=7, **options):
    trainer = make(**options)
    for _ in range(steps):
        trainer.step(*batch())
    return trainer


# ---- Round trips ----


def test_a_network_comes_back(dtype, tmp_path):
    net = trained(dtype=dtype).net
    net.save(tmp_path / "n")
    other = Network.load(tmp_path / "n")
    assert_same(other.parameters(), net.parameters())
    assert repr(other) == repr(net)
    assert exact.same_bits(other.predict(batch()[0]), net.predict(batch()[0]))


@pytest.mark.parametrize("clip", CLIPS, ids=repr)
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_a_trainer_comes_back_and_goes_on_bit_for_bit(dtype, tmp_path, optimizer, clip):
    trainer = trained(dtype=dtype, optimizer=optimizer, clip=clip)
    trainer.save(tmp_path / "t")
    other = Trainer.load(tmp_path / "t", threads=2, isa="scalar")
    assert (other.steps, other.optimizer, other.clip) == (7, optimizer, clip)
    for _ in range(5):
        assert trainer.step(*batch()) == other.step(*batch())
    assert_same(other.net.parameters(), trainer.net.parameters())


def test_a_new_trainer_comes_back(tmp_path):
    make(nonfinite="raise", seed=77).save(tmp_path / "t")
    other = Trainer.load(tmp_path / "t")
    assert (other.steps, other.nonfinite, other.seed) == (0, "raise", 77)


def test_a_checkpoint_keeps_history_and_early_stopping(tmp_path):
    x, y = batch(40)
    options = {"epochs": 8, "batch_size": 7, "validation": 0.25, "progress": False,
               "early_stopping": callbacks.EarlyStopping(patience=3)}  # fmt: skip

    class Stop:
        every_steps = 18

        def on_slice(self, trainer, reports):
            if trainer.steps == 18:
                trainer.save(tmp_path / "t")

    straight = make()
    straight.fit(x, y, callbacks=[Stop()], **options)
    resumed = Trainer.load(tmp_path / "t")
    resumed.fit(x, y, **options)
    assert_same(resumed.net.parameters(), straight.net.parameters())
    for column in ("epoch", "step", "loss", "val_loss", "lr", "grad_norm", "skipped"):
        assert resumed.history[column] == straight.history[column]


def test_a_fresh_process_reads_the_file(tmp_path):
    trainer = trained()
    trainer.save(tmp_path / "t")
    run_python(f"""
import gradcore, support, test_files as t
trainer = gradcore.Trainer.load({str(tmp_path / "t")!r}, threads=3)
net = gradcore.Network.load({str(tmp_path / "t")!r})
support.assert_same(trainer.net.parameters(), net.parameters())
print(support.digest(net.parameters()))
""")


def test_the_format_is_safetensors(tmp_path):
    """Eight bytes of length, JSON, then the numbers, in order and aligned; read here by hand."""
    net = trained().net
    net.save(tmp_path / "n")
    data = (tmp_path / "n").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    assert header.pop("__metadata__")["format"] == "gradcore"
    body = data[8 + length :]
    for name, value in net.parameters().items():
        begin, end = header[name]["data_offsets"]
        assert header[name]["shape"] == list(value.shape)
        assert header[name]["dtype"] == "F32"
        assert body[begin:end] == value.tobytes()


def test_own_functions_cannot_be_saved_and_the_message_says_so(tmp_path):
    trainer = make(optimizer=optimizers.SGD(lambda step: 0.1))
    with pytest.raises(errors.ArgumentError, match="lr"):
        trainer.save(tmp_path / "t")
    assert not (tmp_path / "t").exists()


# ---- Whole or not at all ----


def test_saving_replaces_the_old_file_and_leaves_no_other(tmp_path):
    for seed in (1, 2):
        cases.network(gradcore, LAYERS, 4, seed=seed).save(tmp_path / "n")
    assert os.listdir(tmp_path) == ["n"]
    assert Network.load(tmp_path / "n").seed == 2


def test_a_failed_save_leaves_the_old_file(tmp_path):
    net = make().net
    net.save(tmp_path / "n")
    before = (tmp_path / "n").read_bytes()
    trainer = make(optimizer=optimizers.SGD(lambda step: 0.1))
    with pytest.raises(errors.ArgumentError):
        trainer.save(tmp_path / "n")
    with pytest.raises(errors.GradcoreError):
        net.save(tmp_path / "no" / "such" / "folder")
    with pytest.raises(errors.GradcoreError):
        net.save(tmp_path)
    assert (tmp_path / "n").read_bytes() == before


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError):
        Network.load(tmp_path / "none")
    with pytest.raises(errors.NotFoundError):
        Trainer.load(tmp_path / "none")
    with pytest.raises(errors.GradcoreError):
        Network.load(tmp_path)


def test_a_network_file_is_no_trainer_and_a_foreign_file_neither(tmp_path):
    make().net.save(tmp_path / "n")
    with pytest.raises(errors.FormatError, match="trainer"):
        Trainer.load(tmp_path / "n")
    _core.save_file(os.fsencode(tmp_path / "f"), [("a", np.ones(3))], {"who": "somebody else"})
    with pytest.raises(errors.FormatError, match="gradcore"):
        Network.load(tmp_path / "f")


# ---- Damage ----


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "t"
    trainer = trained()
    trainer.save(path)
    return path.read_bytes(), trainer.net.parameters()


def load(data, tmp_path):
    path = tmp_path / "damaged"
    path.write_bytes(data)
    return Trainer.load(path)


def test_a_file_cut_anywhere_is_refused(saved, tmp_path):
    data, _ = saved
    lengths = {*range(0, 200, 3), *range(200, len(data), 297), len(data) - 1}
    for length in sorted(lengths):
        with pytest.raises(errors.FormatError):
            load(data[:length], tmp_path)


def test_a_file_with_bytes_after_its_end_is_refused(saved, tmp_path):
    with pytest.raises(errors.FormatError):
        load(saved[0] + b"\0", tmp_path)


def test_a_flipped_bit_anywhere_is_refused(saved, tmp_path):
    """But for the spaces that pad the header, each byte counts: for the format, or for the checksum."""
    data, _ = saved
    (length,) = struct.unpack("<Q", data[:8])
    padding = 8 + len(data[8 : 8 + length].rstrip())
    for i, position in enumerate([*range(0, padding, 3), *range(8 + length, len(data), 31)]):
        for bit in ((0, 5), (3, 7), (6,))[i % 3]:
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            with pytest.raises((errors.FormatError, errors.MemoryLimitError)):
                load(bytes(damaged), tmp_path)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_random_bytes_are_refused(data):
    with pytest.raises(errors.FormatError):
        _core.decode(data)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=120), st.integers(-4, 4))
def test_random_headers_are_refused_or_read(text, off):
    try:
        tensors, metadata = _core.decode(struct.pack("<Q", max(0, len(text) + off)) + text)
    except errors.FormatError:
        return
    assert isinstance(tensors, dict)
    assert isinstance(metadata, dict)


HOSTILE = {
    "length beyond the file": struct.pack("<Q", 1 << 40),
    "length negative": b"\xff" * 8,
    "no JSON": struct.pack("<Q", 3) + b"abc",
    "an array": struct.pack("<Q", 2) + b"[]",
    "deep nesting": struct.pack("<Q", 20000) + b"[" * 20000,
}


def container(header, body=b""):
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


def tensor(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


HOSTILE |= {
    "offsets beyond the end": container({"a": tensor(offsets=(0, 800), shape=(200,))}, b"\0" * 8),
    "offsets reversed": container({"a": tensor(offsets=(8, 0))}, b"\0" * 8),
    "offsets negative": container({"a": tensor(offsets=(-8, 0))}, b"\0" * 8),
    "offsets not the size": container({"a": tensor(offsets=(0, 4))}, b"\0" * 4),
    "shape overflows": container({"a": tensor(shape=(2**62, 4))}, b"\0" * 8),
    "shape negative": container({"a": tensor(shape=(-2,))}, b"\0" * 8),
    "shape not whole": container({"a": tensor(shape=(2.5,))}, b"\0" * 8),
    "unknown dtype": container({"a": tensor(dtype="F31")}, b"\0" * 8),
    "overlapping tensors": container({"a": tensor(), "b": tensor(offsets=(4, 12))}, b"\0" * 12),
    "a hole": container({"a": tensor(offsets=(8, 16))}, b"\0" * 16),
    "the same name twice": container(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},'
                                     b'"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}', b"\0\0"),
    "a field is missing": container({"a": {"dtype": "F32", "shape": [2]}}, b"\0" * 8),
    "metadata is no dict": container({"__metadata__": [1]}),
    "metadata is no text": container({"__metadata__": {"a": 1}}),
    "bad UTF-8": container(b'{"\xff":1}'),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_container_is_refused(name):
    with pytest.raises(errors.FormatError):
        _core.decode(HOSTILE[name])


def edited(data, change):
    """The file after change(metadata, tensors), with a new checksum, so that the checks behind it are met."""
    tensors, metadata = _core.decode(data)
    change(metadata, tensors)
    del metadata["crc32"]
    return files.encode(list(tensors.items()), metadata)


def part(key, *path, value):
    """Sets one entry of the JSON that a metadata value holds; `del` where value is None."""

    def change(metadata, tensors):
        root = json.loads(metadata[key])
        node = root
        for step in path[:-1]:
            node = node[step]
        if value is None:
            del node[path[-1]]
        else:
            node[path[-1]] = value
        metadata[key] = json.dumps(root)

    return change


EDITS = {
    "format": lambda metadata, tensors: metadata.update(format="other"),
    "version": lambda metadata, tensors: metadata.update(format_version="99"),
    "version text": lambda metadata, tensors: metadata.update(format_version="x"),
    "kind": lambda metadata, tensors: metadata.update(kind="cake"),
    "no network": lambda metadata, tensors: metadata.pop("network"),
    "network no JSON": lambda metadata, tensors: metadata.update(network="{"),
    "network a list": lambda metadata, tensors: metadata.update(network="[]"),
    "deep JSON": lambda metadata, tensors: metadata.update(network="[" * 100000),
    "inputs": part("network", "inputs", value=5),
    "inputs huge": part("network", "inputs", value=2**62),
    "inputs text": part("network", "inputs", value="4"),
    "dtype": part("network", "dtype", value="float16"),
    "other dtype": part("network", "dtype", value="float64"),
    "units": part("network", "layers", 1, "units", value=7),
    "units huge": part("network", "layers", 1, "units", value=2**60),
    "units negative": part("network", "layers", 1, "units", value=-1),
    "activation": part("network", "layers", 1, "activation", value="cake"),
    "layer type": part("network", "layers", 1, "type", value="os.system"),
    "layer field": part("network", "layers", 1, "colour", value=1),
    "layer no field": part("network", "layers", 1, "units", value=None),
    "rate": part("network", "layers", 2, "layers", 0, "rate", value=1.5),
    "seed": part("network", "seed", value=-1),
    "optimizer type": part("trainer", "optimizer", "type", value="layers.Dense"),
    "optimizer lr": part("trainer", "optimizer", "lr", value=-1.0),
    "loss": part("trainer", "loss", value=3),
    "steps": part("trainer", "steps", value=-1),
    "steps text": part("trainer", "steps", value="many"),
    "capacity": part("trainer", "capacity", value=-1),
    "nonfinite": part("trainer", "nonfinite", value="cake"),
    "history": part("trainer", "history", "loss", value=[1.0]),
    "no history": part("trainer", "history", value=None),
    "a tensor less": lambda metadata, tensors: tensors.pop("1.weight"),
    "a moment less": lambda metadata, tensors: tensors.pop("optimizer.0.1.weight"),
    "tensor shape": lambda metadata, tensors: tensors.update({"1.weight": np.zeros((6, 4), np.float32)}),
    "tensor dtype": lambda metadata, tensors: tensors.update({"1.weight": np.zeros((4, 6), np.int32)}),
    "moment shape": lambda metadata, tensors: tensors.update(
        {"optimizer.0.1.weight": np.zeros(3, np.float32)}
    ),
    "a weight is NaN": lambda metadata, tensors: tensors["1.weight"].fill(np.nan),
    "a mean is infinite": lambda metadata, tensors: tensors["0.mean"].fill(np.inf),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_file_that_contradicts_itself_is_refused(name, saved, tmp_path):
    with pytest.raises(errors.FormatError):
        load(edited(saved[0], EDITS[name]), tmp_path)


def test_the_editor_of_these_tests_keeps_a_file_valid(saved, tmp_path):
    assert load(edited(saved[0], lambda metadata, tensors: None), tmp_path).steps == 7


texts = st.text(min_size=1, max_size=20)
kinds = st.sampled_from(["f4", "f8", "i4", "i8", "u1", "u8"])
shapes = st.lists(st.integers(0, 5), max_size=4)


@pytest.mark.parametrize(
    ("byte", "found"), [(b"\0", "byte 0x00"), (b"\x1f", "byte 0x1f"), (b"~", "'~'"), (b"\x7f", "byte 0x7f")]
)
def test_what_is_found_instead_of_a_colon_is_named(byte, found):
    with pytest.raises(errors.FormatError, match=f"expected ':', found {re.escape(found)}$"):
        _core.decode(container(b'{"a"' + byte + b":1}"))


def test_headers_are_as_short_as_their_alignment_allows():
    """64 bytes, for tensors that are read where they lie in a mapped file."""
    lengths = set()
    for size in range(1, 80):
        data = _core.encode([("a" * size, np.ones(3, np.float32))], {})
        (length,) = struct.unpack("<Q", data[:8])
        text = data[8 : 8 + length]
        assert (8 + length) % 64 == 0 and length - len(text.rstrip()) < 64
        lengths.add(len(text.rstrip()) % 64)
    assert 56 in lengths  # one that needs no filling


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(texts, kinds, shapes), max_size=6, unique_by=lambda about: about[0]),
    st.dictionaries(texts, st.text(max_size=30), max_size=4),
)
def test_any_tensors_and_texts_come_back(about, metadata):
    def allowed(text):
        return "\0" not in text and not any(0xD800 <= ord(c) < 0xE000 for c in text)

    tensors = [(name, np.arange(np.prod(shape), dtype=kind).reshape(shape)) for name, kind, shape in about
               if allowed(name) and name != "__metadata__"]  # fmt: skip
    metadata = {key: value for key, value in metadata.items() if allowed(key + value)}
    got, got_metadata = _core.decode(_core.encode(tensors, metadata))
    assert got_metadata == metadata
    assert set(got) == {name for name, _ in tensors}
    for name, value in tensors:
        assert exact.same_bits(got[name], value)


# ---- Processes that are killed ----

SAVES = """
import sys, numpy as np
from gradcore import Dense, Network
net = Network([Dense(700)], inputs=700, threads=1)
while True:
    net.save(sys.argv[1])
    print("saved", flush=True)
"""


def test_what_killed_processes_leave_goes_with_the_next_save(tmp_path):
    net, path = Network([Dense(3)], inputs=2), tmp_path / "model"
    for _ in range(2):
        with started("-c", SAVES, path) as process:
            assert process.stdout.readline() == "saved\n"
            process.kill()
    Network.load(path)
    net.save(tmp_path / "another")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["another", "model"]


def test_a_process_that_saves_is_left_alone(tmp_path):
    net, path = Network([Dense(3)], inputs=2), tmp_path / "model"
    with started("-c", SAVES, path) as process:
        for _ in range(20):
            assert process.stdout.readline() == "saved\n"  # and not the message of an error
            for _ in range(5):
                net.save(tmp_path / "another")
