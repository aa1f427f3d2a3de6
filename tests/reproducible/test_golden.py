"""The file of golden hashes: complete, with nothing stale in it, and as the program writes it."""

import re

import golden
import numpy as np
import pytest
from gradcore import (
    Activation,
    Dense,
    Dropout,
    Network,
    Residual,
    Standardize,
    Trainer,
    clipping,
    optimizers,
)
from support import ways

# ---- The network of tests/c/test_engine.c, whose hashes hold for every platform that runs C ----

ROWS, INPUTS, CLASSES, EPOCHS = 700, 21, 7, 12
WORD = 2**64


def c_data(dtype):
    """The numbers of its generator: x, labels, weights of rows."""
    state, found = 1, []
    for _ in range(ROWS * (INPUTS + 1)):
        state = (state * 6364136223846793005 + 1442695040888963407) % WORD
        found.append((state >> 11) / 2**52 - 1)
    numbers = np.array(found).reshape(ROWS, INPUTS + 1)
    x, weights = numbers[:, :-1], 1 + numbers[:, -1] / 2
    sums = [sum(value * (i + 1) for i, value in enumerate(row)) for row in x.tolist()]
    return x.astype(dtype), np.floor(np.abs(sums)).astype(np.int32) % CLASSES, weights


def c_hash(dtype, batch, threads=None, isa=None):
    block = Residual(Dense(33, "tanh"), Dropout(0.2), Dense(67, bias=False), Activation("silu"))
    layers = [Standardize(), Dense(67, "gelu"), block, Dense(CLASSES)]
    net = Network(layers, inputs=INPUTS, seed=3, dtype=dtype, threads=threads, isa=isa)
    net.set_parameters({name: value for name, value in net.parameters().items() if name.startswith("0.")})
    trainer = Trainer(net, "cross_entropy", optimizers.AdamW(0.01, weight_decay=0.01),
                      clip=clipping.GlobalNorm(0.5), seed=5)  # fmt: skip
    x, y, weights = c_data(dtype)
    for _ in range(EPOCHS):
        for begin in range(0, ROWS, batch):
            at = slice(begin, begin + batch)
            trainer.step(x[at], y[at], sample_weight=weights[at])
    return fnv(value.tobytes() for value in net.parameters().values())


def fnv(parts):
    value = 14695981039346656037
    for part in parts:
        for byte in part:
            value = (value ^ byte) * 1099511628211 % WORD
    return f"{value:016x}"


CASES = [(dtype, batch) for dtype in ("float32", "float64") for batch in ("70", "700")]
GOLDEN = golden.table("c", CASES, lambda dtype, batch: c_hash(dtype, int(batch)))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.quick
def test_python_gives_the_hashes_of_the_c_test(case):
    dtype, batch = case
    for threads, isa in ways((1, 2)):
        assert c_hash(dtype, int(batch), threads, isa) == GOLDEN[case], (threads, isa)


@pytest.mark.quick
def test_the_c_test_expects_what_the_file_has():
    source = (golden.TESTS / "c" / "test_engine.c").read_text()
    table = re.search(r"golden\[2\]\[2\] = \{(.*?)\};", source, re.DOTALL).group(1)
    held = re.findall(r"0x([0-9a-f]{16})u", table)
    want = [GOLDEN[case] for case in CASES]
    assert held == want, f"tests/c/test_engine.c: write {want} into golden[2][2]"


# ---- The file ----


@pytest.mark.quick
def test_the_file_has_every_case_and_nothing_else():
    found = golden.load()
    want = {name: sorted(one.cases) for name, one in golden.import_tables().items()}
    held = {name: sorted(found[name]) for name in found if name != golden.VERSION}
    assert held == want, f"cases and tests/golden.json differ: run `{golden.COMMAND}`"


@pytest.mark.quick
def test_the_file_is_as_the_program_writes_it():
    assert golden.PATH.read_text() == golden.text(golden.load())
    assert golden.load()[golden.VERSION] == golden.numerics_version(), f"run `{golden.COMMAND}`"


def test_a_case_without_a_hash_says_what_to_run():
    with pytest.raises(AssertionError, match=r"no hash of 'c', 'float16, 70': run `python -m tests.golden"):
        GOLDEN["float16", "70"]
