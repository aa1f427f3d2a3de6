"""The oracle of networks with heads: a trunk, a branch for each head, their losses, uncertainty weights, and
gradient surgery by the projections of the paper, vector by vector. All in float64."""

import numpy as np

from . import losses as formulas
from .network import Net
from .rng import philox


class HeadsNet:
    """trunk: layers as Net has them; heads: name -> layers; parameters: the engine's names."""

    def __init__(self, trunk, heads, parameters, *, training=False):
        self.parameters = {name: np.asarray(value, np.float64) for name, value in parameters.items()}
        self.at = len(trunk)
        self.trunk = Net(trunk, self.parameters, training=training)
        self.heads = {}
        for name, layers in heads.items():
            prefix = f"{self.at}.{name}."
            own = {k.removeprefix(prefix): v for k, v in self.parameters.items() if k.startswith(prefix)}
            self.heads[name] = Net(layers, own, training=training)

    def forward(self, x):
        h = self.trunk.forward(x)
        return {name: net.forward(h) for name, net in self.heads.items()}

    def backward(self, d, heads=None):
        """Gradients by the engine's names, of the heads in `heads` alone (default: all)."""
        total, gradients = 0.0, {}
        for name in self.heads if heads is None else heads:
            total = total + self.heads[name].backward(d[name])
            gradients |= {f"{self.at}.{name}.{k}": v for k, v in self.heads[name].gradients.items()}
        self.d_x = self.trunk.backward(total)
        return {**self.trunk.gradients, **gradients}

    # ---- losses: name -> (loss, options); target and row weights by head ----

    def terms(self, x, losses, target, weight=None, factors=None):
        """By head: (share of the whole loss, derivative by the outputs, derivative by the log variance)."""
        outputs = self.forward(x)
        s = self.parameters.get(f"{self.at}.log_variance")
        found = {}
        for i, (name, (loss, options)) in enumerate(losses.items()):
            rows = None if weight is None else weight.get(name)
            mean, slope = _mean(loss, outputs[name], target[name], rows, options)
            w = 1.0 if factors is None else factors.get(name, 1.0)
            if s is None:
                found[name] = w * mean, w * slope, None
                continue
            classifies = loss in ("cross_entropy", "binary_cross_entropy", "focal", "hinge", "squared_hinge")
            precision = (1.0 if classifies else 0.5) * np.exp(-s[i])
            found[name] = (
                w * (precision * mean + s[i] / 2),
                w * precision * slope,
                w * (0.5 - precision * mean),
            )
        return found

    def loss_and_gradients(self, x, losses, target, weight=None, factors=None):
        found = self.terms(x, losses, target, weight, factors)
        gradients = self.backward({name: slope for name, (_, slope, _) in found.items()})
        self._variances(gradients, found)
        return sum(share for share, _, _ in found.values()), gradients

    def surgery(self, x, losses, target, orders, weight=None, factors=None):
        """As loss_and_gradients, with the trunk's gradients as PCGrad has them, and the cosines by pair.
        orders[i]: the other heads in the order in which head i is made to agree with them."""
        found = self.terms(x, losses, target, weight, factors)
        slopes = {name: slope for name, (_, slope, _) in found.items()}
        names, gradients, own = list(found), {}, []
        for name in names:
            one = self.backward(slopes, [name])
            gradients |= {k: v for k, v in one.items() if k.startswith(f"{self.at}.")}
            own.append({k: v for k, v in one.items() if not k.startswith(f"{self.at}.")})
        shapes = {k: v.shape for k, v in own[0].items()}
        vectors = [np.concatenate([v.ravel() for v in one.values()]) for one in own]
        projected = []
        for i, vector in enumerate(vectors):
            vector = vector.copy()
            for j in orders[i]:
                product = vector @ vectors[j]
                if product < 0:
                    vector -= product / (vectors[j] @ vectors[j]) * vectors[j]
            projected.append(vector)
        total, at = sum(projected), 0
        for name, shape in shapes.items():
            size = int(np.prod(shape))
            gradients[name] = total[at : at + size].reshape(shape)
            at += size
        self._variances(gradients, found)
        cosines = {
            (names[i], names[j]): vectors[i]
            @ vectors[j]
            / np.linalg.norm(vectors[i])
            / np.linalg.norm(vectors[j])
            for i in range(len(names))
            for j in range(i + 1, len(names))
        }
        return sum(share for share, _, _ in found.values()), gradients, cosines

    def _variances(self, gradients, found):
        slopes = [slope for _, _, slope in found.values()]
        if slopes[0] is not None:
            gradients[f"{self.at}.log_variance"] = np.array(slopes)


def _mean(loss, z, target, weight, options):
    rows, slope, _ = formulas.LOSSES[loss](z, target, **options)
    weight = np.ones(len(z)) if weight is None else np.asarray(weight, np.float64)
    divisor = (weight * formulas.mass(loss, target, **options)).sum()
    return (weight * rows).sum() / divisor, slope * (weight / divisor)[:, None]


def surgery_orders(seed, step, heads):
    """The order of the other heads for each one, as the engine draws it: Fisher-Yates by Philox."""
    orders = []
    for i in range(heads):
        order = [j for j in range(heads) if j != i]
        for left in range(len(order), 1, -1):
            block = i * 256 + left
            counter = np.array([[block, (step >> 32) << 16, step & 0xFFFFFFFF, 0xFFFFFFFE]], np.uint32)
            word = int(philox(counter, np.array([seed & 0xFFFFFFFF, seed >> 32], np.uint32))[0, 0])
            pick = word * left >> 32
            order[left - 1], order[pick] = order[pick], order[left - 1]
        orders.append(order)
    return orders
