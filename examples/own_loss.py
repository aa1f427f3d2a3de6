"""A loss that gradcore does not have: the pinball loss, whose minimum is a quantile.

You write the loss and its derivative; forward and backward do the network, an optimizer the update.

Prints:
    90 % quantile: 90.2 % of new points lie below the curve
"""

import numpy as np
from gradcore import Dense, Network, optimizers, schedules

QUANTILE = 0.9


def pinball(output, y):
    """The mean loss and its derivative by the output."""
    below = y > output
    slope = np.where(below, -QUANTILE, 1 - QUANTILE)
    return np.mean((output - y) * slope), slope / len(y)


def sample(rng, rows):
    x = rng.uniform(-1, 1, (rows, 1))
    return x, x**2 + (0.1 + 0.3 * np.abs(x)) * rng.standard_normal((rows, 1))


rng = np.random.default_rng(0)
net = Network([Dense(32, "tanh"), Dense(1)], inputs=1, seed=0, dtype="float64")
adam = optimizers.Adam(lr=schedules.Cosine(1e-2, steps=1000))
for _ in range(1000):
    x, y = sample(rng, 256)
    loss, d_output = pinball(net.forward(x, training=True), y)
    net.backward(d_output)
    parameters = net.parameters()
    adam.update(parameters, net.gradients())
    net.set_parameters(parameters)

x, y = sample(rng, 20000)
share = np.mean(y < net.predict(x))
print(f"90 % quantile: {100 * share:.1f} % of new points lie below the curve")
