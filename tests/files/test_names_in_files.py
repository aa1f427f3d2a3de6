"""Classes in files go by names of their own, so that where they live changes nothing."""

import json

import pytest
from gradcore import (
    AlphaDropout,
    Dense,
    LayerNorm,
    Network,
    PReLU,
    Trainer,
    clipping,
    initializers,
    layers,
    losses,
    optimizers,
    schedules,
)
from gradcore.network import describe, files

# What files have had; a name may come, but none may go or mean something else.
NAMES = {
    "activation alpha_dropout dense dropout gaussian_noise layer_scale residual standardize": layers,
    "lbfgs conjugate_gradient levenberg_marquardt newton_cg adopt ema lamb lars sam sgd soap swa accumulate"
    " ademamix adan adabelief adadelta adagrad adam adamw adamax group lion lookahead muon nadam prodigy"
    " radam rmsprop rprop schedule_free_adamw schedule_free_sgd yogi": optimizers,
    "constant_init glorot_normal_init glorot_uniform_init he_normal_init he_uniform_init identity_init"
    " lecun_normal_init lecun_uniform_init normal_init orthogonal_init siren_init sparse_init"
    " truncated_normal_init uniform_init variance_scaling_init": initializers,
    "adaptive auto_clip box by_value centralize global_norm max_norm noise non_negative per_example"
    " tensor_norm unit_norm z_clip": clipping,
    "l1_penalty l2_penalty elastic_penalty mae_loss mse_loss binary_cross_entropy_loss binary_focal_loss"
    " cosine_loss cross_entropy_loss focal_loss gaussian_nll_loss hinge_loss huber_loss kl_divergence_loss"
    " log_cosh_loss per_head_loss poisson_loss quantile_loss smooth_l1_loss squared_hinge_loss": losses,
    "constant cosine cyclic exponential flat_cosine inverse_sqrt inverse_time join linear log_uniform"
    " multi_step one_cycle one_cycle_momentum piecewise polynomial reduce_on_plateau scale step uniform walk"
    " warm_restarts warmup warmup_stable_decay": schedules,
}
WORDS = [(name, module) for names, module in NAMES.items() for name in names.split()]
OLD = ["layers.Dense", "norms.LayerNorm", "gates.PReLU", "embedding.Embedding", "heads.Heads"]


@pytest.mark.parametrize(("name", "module"), WORDS, ids=[name for name, _ in WORDS])
@pytest.mark.quick
def test_a_name_means_the_class_that_it_meant(name, module):
    kind = describe.class_of(name)
    assert describe.name_of(kind) == name
    assert getattr(module, kind.__name__) is kind
    assert describe.class_of(f"{module.__name__.removeprefix('gradcore.')}.{kind.__name__}") is kind


@pytest.mark.parametrize("name", OLD)
def test_names_by_module_are_still_read(name):
    assert describe.class_of(name).__name__ == name.partition(".")[2]


@pytest.mark.parametrize(
    "name",
    ["Dense", "dense_loss", "cross_entropy", "optimizer", "first_order", "layers.Layer", "os.system", "", ".",
     "layers.", ".Dense", "optimizers.minimize", "losses.get", "norms.Dense.x", "cosine_init"],
)  # fmt: skip
def test_other_names_mean_nothing(name):
    with pytest.raises(KeyError):
        describe.class_of(name)


def test_no_two_classes_share_a_name():
    seen = {}
    for module in (layers, optimizers, initializers, clipping, losses, schedules):
        for own in module.__all__:
            kind = getattr(module, own)
            name = describe.name_of(kind) if isinstance(kind, type) else None
            if name is not None:
                assert seen.setdefault(name, kind) is kind, name


def test_a_file_has_names_and_no_modules():
    net = Network([Dense(4, weight_init="he_normal"), LayerNorm(), PReLU(), AlphaDropout(0.1)], inputs=2)
    rate = schedules.Cosine(0.1, steps=10)
    trainer = Trainer(net, losses.Cosine(), optimizers.EMA(optimizers.AdamW(rate)), clipping.ByValue(1.0))
    parts = files.parts(files.decode(trainer.__reduce__()[1][0])[1], ("trainer",))
    found = []

    def look(value):
        if isinstance(value, dict):
            found.extend([value["type"]] if "type" in value else [])
            value = list(value.values())
        for item in value if isinstance(value, list) else ():
            look(item)

    look(json.loads(json.dumps(parts)))
    assert found == [
        "dense", "he_normal_init", "layer_norm", "prelu", "alpha_dropout", "cosine_loss", "ema", "adamw",
        "cosine", "by_value",
    ]  # fmt: skip
