"""What another library has too is held against its numbers: a row has a conformance vector or is listed
here as one that no peer computes. Styles of optimizers are counted in test_optimizer_styles.py."""

import re

import numpy as np
import oracle
import pytest
import test_gates
import test_gradients
from gradcore import _core, clipping, optimizers, schedules
from support import cases, loss_cases, public
from support.optimizer_cases import classes
from vectors import make_clip, make_loss, make_norm, make_rescale, make_schedule, make_torch

# vectors of a layer: the first array by which it is known
LAYER_VECTORS = {
    "batch_norm": (make_norm.PATH, "batch.eval.y"),
    "layer_norm": (make_norm.PATH, "layer.y"),
    "rms_norm": (make_norm.PATH, "rms.y"),
    "weight_norm": (make_rescale.PATH, "weight_norm.y"),
    "spectral_norm": (make_rescale.PATH, "spectral_norm.y"),
    "embedding": (make_rescale.PATH, "embedding.y"),
    "glu": (make_torch.GATE_PATH, "glu y"),
    "maxout": (make_torch.GATE_PATH, "maxout y"),
    "prelu": (make_torch.GATE_PATH, "prelu y"),
    "activation": (make_torch.ACTIVATION_PATH, "relu"),
}


def stored(path):
    with np.load(path) as file:
        return set(file.files)


def check(family, held, names, where):
    """Every name is held by stored vectors or is one of those that stand alone, and none is both."""
    alone = set(getattr(oracle, family).ALONE)
    missing = sorted(set(names) - set(held) - alone)
    assert not missing, (
        f"{missing}: store what another library computes ({where}), or, if none has it, name it in ALONE in "
        f"tests/oracle/{family}.py"
    )
    assert not (set(held) | alone) - set(names)
    assert not set(held) & alone


@pytest.mark.quick
def test_activations():
    assert set(make_torch.ACTIVATIONS) <= stored(make_torch.ACTIVATION_PATH)
    check("activations", make_torch.ACTIVATIONS, _core.names("activation"), "tests/vectors/make_torch.py")


@pytest.mark.quick
def test_losses():
    names = {name.partition("/")[0] for name in stored(make_loss.PATH) if "/" in name}
    held = {loss_cases.CASES[name].name for name in names}
    check("losses", held, _core.names("loss"), "tests/vectors/make_loss.py")


@pytest.mark.quick
def test_optimizers():
    """Each row is a class; that each class has a trajectory, test_optimizer_styles.py sees."""
    assert {getattr(optimizers, name).name for name in classes()} == set(_core.names("optimizer"))


@pytest.mark.quick
def test_layers():
    rows = set(_core.names("layer")) - cases.BRACKETS
    check("layers", LAYER_VECTORS, rows, "tests/vectors, and LAYER_VECTORS here")
    for path, name in LAYER_VECTORS.values():
        assert name in stored(path)
    assert set(test_gates.LAYERS) == {n[:-2] for n in stored(make_torch.GATE_PATH) if n.endswith(" y")}


@pytest.mark.quick
def test_schedules():
    vectors = stored(make_schedule.PATH)
    peers = {**make_schedule.PEERS, **make_schedule.MOMENTUM}
    assert set(peers) <= vectors
    assert set(make_schedule.PLATEAUS) <= vectors
    kinds = {name for name, item in public(schedules).items() if isinstance(item, type)}
    rows = [*(row[0] for row in peers.values()), *oracle.schedules.FORMULAS]
    held = {word for row in rows for word in re.findall(r"[A-Z]\w+", row)} & kinds
    held |= {"OneCycleMomentum", "ReduceOnPlateau"}  # by OneCycle(...).momentum(); by its PLATEAUS
    check("schedules", held, kinds, "tests/vectors/make_schedule.py, or a row of FORMULAS in tests/oracle")


@pytest.mark.quick
def test_clips():
    held = {row[0].partition("(")[0] for row in make_clip.RULES.values()}
    held |= {row.partition("(")[0] for row in oracle.clipping.STATISTICS}
    assert set(make_clip.RULES) <= stored(make_clip.PATH)
    kinds = [getattr(clipping, name) for name in clipping.__all__]
    rules = {k.__name__ for k in kinds if issubclass(k, clipping.Clip) and k is not clipping.Clip}
    check("clipping", held, rules, "tests/vectors/make_clip.py, or a row of STATISTICS in tests/oracle")


# ---- Differences ----


@pytest.mark.parametrize("family", ["activation", "layer", "loss"])
def test_every_row_is_held_to_four_point_differences(family):
    nets = {**test_gradients.ACTIVATION_NETS, **test_gradients.LAYER_NETS}
    held = {
        "activation": set(test_gradients.ACTIVATION_NETS),
        "layer": {kind for layers in nets.values() for kind in cases.kinds(layers)} | {"heads", "embedding"},
        "loss": {case.name for case in loss_cases.CASES.values()},
    }  # heads and embeddings by tests of their own, in test_heads.py and test_embedding.py
    assert held[family] == set(_core.names(family)) - cases.BRACKETS
