"""What several test files need: fresh processes, fingerprints, comparison with a message."""

import contextlib
import functools
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import oracle
from oracle import exact

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent


def environment(more=None):
    """The variables of a fresh interpreter that can import what this one can, and the test helpers."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path]), **(more or {})}


def run_python(code, *, timeout=120, env=None, check=True):
    """Runs code in a fresh interpreter that can import the test helpers; returns the finished process."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=timeout, env=environment(env)
    )
    if check:
        ended = f"killed by signal {-done.returncode}" if done.returncode < 0 else f"exit {done.returncode}"
        assert done.returncode == 0, f"{ended}\n{done.stdout}\n{done.stderr}"
    return done


def run_each(codes):
    """Runs each piece of code in an interpreter of its own that has imported NumPy: a fork of a fresh one."""
    run_python(f"""
import os, sys, traceback, numpy
for code in {list(codes)!r}:
    child = os.fork()
    if not child:
        try:
            exec(code, {{"__name__": "__main__"}})
        except BaseException:
            sys.exit(f"{{code}}\\n{{traceback.format_exc()}}")
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit(1)
""")


@contextlib.contextmanager
def started(*arguments, stdout=subprocess.PIPE):
    """A running interpreter with these arguments, killed on the way out.

    Ctrl-C reaches it even where a shell runs the tests in the background, which ignores the signal for
    them and for all they start.
    """
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen([sys.executable, *map(str, arguments)], stdout=stdout, stderr=subprocess.PIPE,
                          text=True, env=environment(), preexec_fn=heed) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def public(module):
    """The public names of a module with their values, as the globals of an `eval`."""
    return {name: getattr(module, name) for name in module.__all__}


def digest(arrays):
    """A fingerprint of the bits of a dict of arrays, names included."""
    sha = hashlib.sha256()
    for name, array in arrays.items():
        array = np.ascontiguousarray(array)
        sha.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()[:16]


def ways(threads=(1, 2, 3), scalar=True):
    """Pairs of a number of threads and an instruction set: every one of either, in different company.

    Who does a part knows nothing of the kernels that compute it, so that all pairs would show no more. The
    scalar kernels take thirty times as long as the others; they may be left out.
    """
    from gradcore import _core  # here, as bench has helpers of this folder without gradcore

    sets = [isa for isa in _core.names("isa")[::-1] if scalar or isa != "scalar"] or ["scalar"]
    count = max(len(threads), len(sets))
    return [(threads[i % len(threads)], sets[i % len(sets)]) for i in range(count)]


def in_turn(names, values=("float32", "float64")):
    """Cases (name, value): each name with one value, each value with some names; all others are slow."""
    import pytest

    return [
        (name, value) if i % len(values) == j else pytest.param(name, value, marks=pytest.mark.slow)
        for i, name in enumerate(names)
        for j, value in enumerate(values)
    ]


class StopAt:
    """A callback: saves a checkpoint at a step, and interrupts the fit there."""

    def __init__(self, step, path):
        self.every_steps, self.path = step, path

    def on_slice(self, trainer, reports):
        if trainer.steps == self.every_steps:
            trainer.save(self.path)
            raise InterruptedError


def assert_same(got, want):
    """Dicts of arrays with the same names and bits."""
    assert list(got) == list(want)
    for name in want:
        assert exact.same_bits(got[name], want[name]), f"{name} differs"


def norm_error(got, want):
    """|got - want| / |want|, 2-norms; 0 for 0 / 0."""
    got = np.asarray(got, np.float64)
    want = np.asarray(want, np.float64)
    size = float(np.sqrt((want**2).sum()))
    error = float(np.sqrt(((got - want) ** 2).sum()))
    return error / size if size else (0.0 if error == 0.0 else np.inf)


def exact_uniform(shape, dtype, seed):
    """Numbers in [-1, 1) that are the same bits on every platform: 24-bit integers from Philox."""
    count = int(np.prod(shape))
    counter = np.zeros(((count + 3) // 4, 4), np.uint32)
    counter[:, 0] = np.arange(len(counter))
    words = oracle.rng.philox(counter, np.array([seed, 0x7E57], np.uint32)).reshape(-1)[:count]
    return (((words >> 8).astype(np.float64) - 2**23) / 2**23).astype(dtype).reshape(shape)


def exact_labels(rows, classes, seed):
    return (np.abs(exact_uniform(rows, np.float64, seed)) * classes).astype(np.int64)
