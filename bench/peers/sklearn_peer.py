"""scikit-learn: partial_fit of MLPClassifier or MLPRegressor on float32 rows.

One call with one batch is a step, one call with everything is an epoch. Its input checks and label
encoding belong to the call and are timed. Its Adam adds epsilon before the bias correction, so its
losses agree only to a few decimals: see TOLERANCE in training.py.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

import numpy as np
from nets import BETA1, BETA2, EPS, MOMENTUM, Array, Weights

from peers import Contender, Unsupported

LARGEST = 10_000_000  # parameters; above it a step takes many seconds


class ScikitLearn(Contender):
    def setup(self, weights: Weights) -> None:
        if sum(weight.size for weight, _ in weights) > LARGEST:
            raise Unsupported("takes too long on this net")
        if self.norms:
            raise Unsupported("has no LayerNorm and no residuals")
        if self.rule.clip is not None:
            raise Unsupported("does not clip")
        # Losses far from convergence and batches cut to the rows at hand are intended here.
        warnings.filterwarnings("ignore", module="sklearn")
        module: Any = import_module("sklearn.neural_network")
        classify = self.net.loss == "cross_entropy"
        # Its squared loss is half the sum over outputs, ours their mean: scale eps or the rate to match.
        scale = 1.0 if classify else self.net.widths[-1] / 2
        adam = self.rule.optimizer == "adam"
        momentum = MOMENTUM if self.rule.optimizer == "momentum" else 0.0
        self.model = (module.MLPClassifier if classify else module.MLPRegressor)(
            hidden_layer_sizes=self.net.widths[1:-1], activation=self.net.activation,
            alpha=0.0, batch_size=self.net.batch, solver="adam" if adam else "sgd",
            learning_rate_init=self.rule.lr if adam else self.rule.lr / scale,
            beta_1=BETA1, beta_2=BETA2, epsilon=EPS * scale, momentum=momentum, nesterovs_momentum=False,
            shuffle=self.net.shuffle, random_state=np.random.RandomState(4),
        )  # fmt: skip
        y = self.data.y if classify or self.net.widths[-1] > 1 else self.data.y.ravel()
        self.x, self.y = self.data.x, y
        starts = range(0, len(y), self.net.batch)
        self.batches = [(self.x[s : s + self.net.batch], y[s : s + self.net.batch]) for s in starts]
        self.position = 0
        # The first call makes the arrays; then they get our values and Adam starts afresh.
        classes = {"classes": np.arange(self.net.widths[-1])} if classify else {}
        self.model.partial_fit(*self.batches[0], **classes)
        del self.model._optimizer
        for (weight, bias), coef, intercept in zip(
            weights, self.model.coefs_, self.model.intercepts_, strict=True
        ):
            coef[...] = weight
            intercept[...] = bias

    def step(self) -> None:
        self.model.partial_fit(*self.batches[self.position])
        self.position = (self.position + 1) % len(self.batches)

    def epoch(self) -> None:
        self.model.partial_fit(self.x, self.y)

    def predict(self, x: Array) -> Array:
        if self.net.loss == "cross_entropy":
            result: Array = np.log(self.model.predict_proba(x).astype(np.float64))
            return result
        result = self.model.predict(x)
        return result

    def about(self) -> dict[str, Any]:
        return {"version": import_module("sklearn").__version__}
