"""Checkpoints of full-batch methods whose content does not fit."""

import copy
import json

import numpy as np
import pytest
from gradcore import Dense, Network, Trainer, errors, optimizers
from gradcore.network import files


def test_a_damaged_memory_is_refused(tmp_path):
    x = np.linspace(-1, 1, 60).reshape(20, 3)
    net = Network([Dense(4, "tanh"), Dense(1)], inputs=3, dtype="float64")
    trainer = Trainer(net, "mse", optimizers.LBFGS())
    trainer.fit(x, np.sin(3 * x[:, 0]), epochs=3, progress=False)
    trainer.save(tmp_path / "good")
    tensors, metadata = files.read(tmp_path / "good")
    about = json.loads(metadata["trainer"])
    assert tensors["run.s"].shape == (3, trainer.net.elements)
    changes = {
        "short": lambda t, a: t.update({"run.s": t["run.s"][:2]}),
        "narrow": lambda t, a: t.update({"run.s": t["run.s"][:, :2].copy()}),
        "missing": lambda t, a: t.pop("run.y"),
        "extra": lambda t, a: a["run"]["memory"].update(more=1.0),
        "no count": lambda t, a: a["run"].pop("stalled"),
        "text": lambda t, a: a["run"]["memory"].update(ys=["a", "b", "c"]),
        "number for a list": lambda t, a: a["run"]["memory"].update(ys=1.0),
        "list for a number": lambda t, a: a["run"]["memory"].update(yy=[1.0, 2.0, 3.0]),
        "no memory": lambda t, a: a.update(run={}),
    }
    for name, change in changes.items():
        other, told = dict(tensors), copy.deepcopy(about)
        change(other, told)
        files.write(tmp_path / "bad", list(other.items()), {**metadata, "trainer": json.dumps(told)})
        with pytest.raises(errors.FormatError):
            pytest.fail(f"{name}: {Trainer.load(tmp_path / 'bad')}")
