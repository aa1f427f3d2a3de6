"""What another library has too is held against its numbers: a row has a conformance vector or is listed
here as one that no peer computes. Styles of optimizers are counted in test_optimizer_styles.py."""

import re

import numpy as np
import pytest
import test_gates
import test_gradients
import test_optimizer_styles as styles
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
# No peer, or none with the same numbers: random ones are drawn otherwise; the others are sums and products,
# which test_gradients.py and exact.py hold to the oracle.
LAYERS_ALONE = {"dense", "residual", "heads", "standardize", "layer_scale"}
LAYERS_ALONE |= {"dropout", "alpha_dropout", "gaussian_noise"}
LOSSES_ALONE = {"log_cosh"}
# by formulas of Keras, scikit-learn, fastai or papers in test_schedules.py
SCHEDULES_ALONE = {"InverseTime", "InverseSqrt", "WarmupStableDecay", "FlatCosine"}
SCHEDULES_ALONE |= {"Constant", "Scale", "Uniform", "LogUniform", "Walk"}
CLIPS_ALONE = {"AutoClip", "ZClip", "PerExample", "Noise"}  # oracles in oracle/clipping.py


def stored(path):
    with np.load(path) as file:
        return set(file.files)


def test_activations():
    assert set(make_torch.ACTIVATIONS) == set(_core.names("activation"))
    assert set(make_torch.ACTIVATIONS) <= stored(make_torch.ACTIVATION_PATH)


def test_losses():
    names = {name.partition("/")[0] for name in stored(make_loss.PATH) if "/" in name}
    held = {loss_cases.CASES[name].name for name in names}
    assert held == set(_core.names("loss")) - LOSSES_ALONE


def test_optimizers():
    """Each row is a class, and each class has a style with a trajectory or, soap, its formula."""
    rows = {getattr(optimizers, name).name for name in classes()}
    assert rows == set(_core.names("optimizer"))
    styles.test_every_style_has_a_trajectory_of_a_peer()


def test_layers():
    rows = set(_core.names("layer")) - cases.BRACKETS
    assert rows == set(LAYER_VECTORS) | LAYERS_ALONE
    assert not set(LAYER_VECTORS) & LAYERS_ALONE
    for path, name in LAYER_VECTORS.values():
        assert name in stored(path)
    assert set(test_gates.LAYERS) == {n[:-2] for n in stored(make_torch.GATE_PATH) if n.endswith(" y")}


def test_schedules():
    vectors = stored(make_schedule.PATH)
    peers = {**make_schedule.PEERS, **make_schedule.MOMENTUM}
    assert set(peers) <= vectors
    held = {word for row in peers.values() for word in re.findall(r"[A-Z]\w+", row[0])} | {"ReduceOnPlateau"}
    held = held - {"True"} | {"OneCycleMomentum"}  # by OneCycle(...).momentum()
    assert set(make_schedule.PLATEAUS) <= vectors
    kinds = {name for name, item in public(schedules).items() if isinstance(item, type)}
    assert kinds == held | SCHEDULES_ALONE
    assert not held & SCHEDULES_ALONE


def test_clips():
    held = {row[0].partition("(")[0] for row in make_clip.RULES.values()}
    assert set(make_clip.RULES) <= stored(make_clip.PATH)
    kinds = [getattr(clipping, name) for name in clipping.__all__]
    rules = {k.__name__ for k in kinds if issubclass(k, clipping.Clip) and k is not clipping.Clip}
    assert rules == held | CLIPS_ALONE
    assert not held & CLIPS_ALONE


# ---- Differences ----


def kinds_of(layers):
    for layer in layers:
        yield layer["kind"]
        yield from (name for name in ("weight_norm", "spectral_norm") if layer.get(name))
        yield from kinds_of(layer.get("layers", ()))


@pytest.mark.parametrize("family", ["activation", "layer", "loss"])
def test_every_row_is_held_to_four_point_differences(family):
    nets = {**test_gradients.ACTIVATION_NETS, **test_gradients.LAYER_NETS}
    held = {
        "activation": set(test_gradients.ACTIVATION_NETS),
        "layer": {kind for layers in nets.values() for kind in kinds_of(layers)} | {"heads", "embedding"},
        "loss": {case.name for case in loss_cases.CASES.values()},
    }  # heads and embeddings by tests of their own, in test_heads.py and test_embedding.py
    assert held[family] == set(_core.names(family)) - cases.BRACKETS
