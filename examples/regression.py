"""Fit a noisy curve: a residual network, a learning rate that warms up and falls, clipped gradients.

Prints:
    root mean square error 0.016, noise 0.1
"""

import numpy as np
from gradcore import Dense, Network, Residual, Standardize, Trainer, clipping, optimizers, schedules

rng = np.random.default_rng(0)
x = rng.uniform(-4, 4, (4000, 1))
y = np.sin(2 * x) + 0.3 * x + 0.1 * rng.standard_normal(x.shape)

layers = [
    Standardize(),
    Dense(64, "silu"),
    Residual(Dense(64, "silu")),
    Residual(Dense(64, "silu")),
    Dense(1),
]
net = Network(layers, inputs=1, seed=0)
lr = schedules.Warmup(schedules.Cosine(5e-3, steps=4900), steps=100)
trainer = Trainer(net, "mse", optimizers.Adam(lr), clip=clipping.GlobalNorm(1.0))
trainer.fit(x, y, epochs=80, batch_size=64)

grid = np.linspace(-4, 4, 500).reshape(-1, 1)
error = net.predict(grid) - (np.sin(2 * grid) + 0.3 * grid)
print(f"root mean square error {np.sqrt(np.mean(error**2)):.3f}, noise 0.1")
