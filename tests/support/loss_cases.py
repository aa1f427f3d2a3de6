"""The losses that the tests go through: every class with its defaults and with each option, data for them."""

from dataclasses import fields

import numpy as np
from gradcore import _core, losses

from support import cases

WEIGHTS = (0.5, 2.0, 0.0, 1.25, 3.0)


class Case:
    """A loss, its oracle's name and options, and how its data are made."""

    def __init__(self, loss, soft=False, signs=False):
        self.loss, self.soft, self.signs = loss, soft, signs

    @property
    def name(self):
        return self.loss.name

    def oracle(self, cols):
        """The oracle's options."""
        found = {field.name: getattr(self.loss, field.name) for field in fields(self.loss)}
        found = {key: value for key, value in found.items() if value is not None}
        for key in ("class_weight", "alpha", "pos_weight"):
            if key in found and self.name != "binary_focal":
                found[key] = self.loss.vector(cols)
        return found

    def outputs(self, z):
        """z as outputs that the loss can take without overflow."""
        if self.name in ("poisson", "gaussian_nll"):
            z = np.clip(z, -8, 8)
        if self.name == "poisson" and not self.loss.log_input:
            return np.abs(z) + z.dtype.type(0.5)
        if self.name == "gaussian_nll" and not self.loss.log_variance:
            return np.concatenate(
                [z[:, : z.shape[1] // 2], np.abs(z[:, z.shape[1] // 2 :]) + z.dtype.type(0.1)], 1
            )
        return z

    def target(self, rows, cols, dtype):
        """Targets as the core takes them."""
        rng = cases.generator("targets", self.name, rows, cols)
        if self.name in ("cross_entropy", "focal") and not self.soft:
            labels = rng.integers(0, cols, rows).astype(np.int32)
            if getattr(self.loss, "ignore_index", None) is not None:
                labels[::3] = self.loss.ignore_index
            return labels
        if self.name in ("cross_entropy", "kl_divergence"):
            shares = rng.exponential(size=(rows, cols))
            shares[rng.uniform(size=(rows, cols)) < 0.2] = 0
            shares[:, 0] += 0.01
            return (shares / shares.sum(axis=1, keepdims=True)).astype(dtype)
        if self.name in ("binary_cross_entropy", "binary_focal", "hinge", "squared_hinge"):
            yes = rng.integers(0, 2, (rows, cols))
            return (2 * yes - 1 if self.signs else yes).astype(dtype)
        if self.name == "poisson":
            return rng.poisson(2.0, (rows, cols)).astype(dtype)
        return rng.standard_normal((rows, cols // 2 if self.name == "gaussian_nll" else cols)).astype(dtype)

    def fits(self, cols):
        """Whether a network may have so many outputs."""
        if self.name == "gaussian_nll":
            return cols % 2 == 0
        labels = self.name in ("cross_entropy", "focal")
        return (cols > 1 or not labels) and (self.loss.vector(cols) is None or cols > 1)


class _Cycled:
    """A vector option for any number of outputs: WEIGHTS over and over."""

    def vector(self, outputs):
        return np.resize(WEIGHTS, outputs)


def _weighted(kind, **options):
    """A loss of `kind` whose vector option fits every width."""
    name = {"CrossEntropy": "class_weight", "Focal": "alpha", "BinaryCrossEntropy": "pos_weight"}[
        kind.__name__
    ]
    made = type(kind.__name__, (_Cycled, kind), {})
    return made(**{name: WEIGHTS}, **options)


CASES = {
    "mse": Case(losses.MSE()),
    "mae": Case(losses.MAE()),
    "huber": Case(losses.Huber()),
    "huber delta": Case(losses.Huber(delta=0.25)),
    "smooth_l1": Case(losses.SmoothL1()),
    "smooth_l1 beta": Case(losses.SmoothL1(beta=0.3)),
    "smooth_l1 0": Case(losses.SmoothL1(beta=0.0)),
    "log_cosh": Case(losses.LogCosh()),
    "quantile": Case(losses.Quantile()),
    "quantile 0.9": Case(losses.Quantile(q=0.9)),
    "poisson": Case(losses.Poisson()),
    "poisson full": Case(losses.Poisson(full=True)),
    "poisson rate": Case(losses.Poisson(log_input=False, eps=1e-3)),
    "poisson rate full": Case(losses.Poisson(log_input=False, full=True)),
    "gaussian_nll": Case(losses.GaussianNLL()),
    "gaussian_nll full": Case(losses.GaussianNLL(full=True, eps=0.05)),
    "gaussian_nll variance": Case(losses.GaussianNLL(log_variance=False, eps=0.3)),
    "gaussian_nll variance full": Case(losses.GaussianNLL(log_variance=False, full=True)),
    "cosine": Case(losses.Cosine()),
    "cosine eps": Case(losses.Cosine(eps=1.5)),
    "hinge": Case(losses.Hinge()),
    "hinge signs": Case(losses.Hinge(), signs=True),
    "squared_hinge": Case(losses.SquaredHinge()),
    "squared_hinge signs": Case(losses.SquaredHinge(), signs=True),
    "binary_cross_entropy": Case(losses.BinaryCrossEntropy()),
    "binary_cross_entropy one weight": Case(losses.BinaryCrossEntropy(pos_weight=3.0)),
    "binary_cross_entropy weights": Case(_weighted(losses.BinaryCrossEntropy)),
    "binary_focal": Case(losses.BinaryFocal()),
    "binary_focal alpha": Case(losses.BinaryFocal(gamma=0.5, alpha=0.25)),
    "binary_focal 0": Case(losses.BinaryFocal(gamma=0.0)),
    "cross_entropy": Case(losses.CrossEntropy()),
    "cross_entropy smooth": Case(losses.CrossEntropy(label_smoothing=0.1)),
    "cross_entropy weights": Case(_weighted(losses.CrossEntropy)),
    "cross_entropy weights count": Case(_weighted(losses.CrossEntropy, weighting="count")),
    "cross_entropy weights smooth": Case(_weighted(losses.CrossEntropy, label_smoothing=0.2)),
    "cross_entropy ignore": Case(losses.CrossEntropy(ignore_index=-100)),
    "cross_entropy ignore all": Case(_weighted(losses.CrossEntropy, label_smoothing=0.2, ignore_index=0)),
    "cross_entropy soft": Case(losses.CrossEntropy(), soft=True),
    "cross_entropy soft weights": Case(_weighted(losses.CrossEntropy), soft=True),
    "cross_entropy soft all": Case(
        _weighted(losses.CrossEntropy, label_smoothing=0.2, weighting="count"), soft=True
    ),
    "focal": Case(losses.Focal()),
    "focal alpha": Case(_weighted(losses.Focal, gamma=1.5)),
    "focal 0": Case(losses.Focal(gamma=0.0)),
    "focal 0.5": Case(losses.Focal(gamma=0.5)),
    "kl_divergence": Case(losses.KLDivergence()),
}


def _of_class(kind):
    """A class with its defaults, and with each of its numbers and flags changed: what no row above has."""
    found = {kind.name: Case(kind())}
    for word in (_core.describe("loss", kind.name, "parameters") or "").split():
        key, _, what = word.split(":")
        found[f"{kind.name} {key}"] = Case(kind(**{key: True if what == "flag" else 0.3}))
    return found


for _name in losses.__all__:
    _kind = getattr(losses, _name)
    if isinstance(_kind, type) and getattr(_kind, "name", "") in set(_core.names("loss")) - set(CASES):
        CASES |= _of_class(_kind)
