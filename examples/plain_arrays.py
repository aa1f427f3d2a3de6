"""The optimizers on arrays of your own, without a network: the bottom of Rosenbrock's valley.

Prints:
    minimum near 1.0000 1.0000
"""

import numpy as np
from gradcore import optimizers, schedules

point = np.array([-1.5, 2.0])
adam = optimizers.Adam(lr=schedules.Exponential(0.05, decay=0.1, steps=4000))
for _ in range(8000):
    x, y = point
    gradient = np.array([-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)])
    adam.update([point], [gradient])
print(f"minimum near {point[0]:.4f} {point[1]:.4f}")
