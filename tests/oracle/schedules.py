"""Schedules of Keras and of papers, written from their formulas: functions of the step, counted from 0."""

import math


def exponential(initial, decay, steps, staircase=False):
    return lambda t: initial * decay ** (t // steps if staircase else t / steps)


def cosine(initial, steps, final=0.0):
    return lambda t: final + 0.5 * (initial - final) * (1 + math.cos(math.pi * min(t, steps) / steps))


def warmup(schedule, steps, start=0.0):
    """From `start` straight to the schedule's first value, which then runs from its own step 0."""
    return lambda t: start + (schedule(0) - start) * t / steps if t < steps else schedule(t - steps)


def keras_inverse_time(initial, decay, steps, staircase=False):
    return lambda t: initial / (1 + decay * (math.floor(t / steps) if staircase else t / steps))


def sklearn_invscaling(initial, power):
    return lambda t: initial / (t + 1) ** power


def keras_polynomial(initial, steps, end, power, cycle):
    def value(t):
        length = steps
        if cycle:
            length = steps * (1 if t == 0 else math.ceil(t / steps))
        else:
            t = min(t, steps)
        return (initial - end) * (1 - t / length) ** power + end

    return value


def keras_restarts(initial, first, t_mul, m_mul, alpha):
    """CosineDecayRestarts, its cycles counted one by one where Keras takes a logarithm."""

    def value(t):
        begin, length, cycle = 0.0, float(first), 0
        while begin + length <= t:
            begin, length, cycle = begin + length, length * t_mul, cycle + 1
        share = (t - begin) / length
        return initial * ((1 - alpha) * m_mul**cycle * 0.5 * (1 + math.cos(math.pi * share)) + alpha)

    return value


def noam(width, warmup):
    return lambda t: width**-0.5 * min((t + 1) ** -0.5, (t + 1) * warmup**-1.5)


def keras_piecewise(boundaries, values):
    """Keras keeps a value up to its boundary, that step included."""
    return lambda t: values[sum(t > boundary for boundary in boundaries)]


def stable_decay(peak, steps, warmup, decay, start, final, shape):
    def value(t):
        if t < warmup:
            return start + (peak - start) * t / warmup
        if t < steps - decay:
            return peak
        share = min(1.0, (t - (steps - decay)) / decay)
        left = {"linear": 1 - share, "cosine": math.cos(math.pi * share / 2) ** 2, "sqrt": 1 - share**0.5}
        return final + (peak - final) * left[shape]

    return value


def flat_cosine(initial, steps, flat, final):
    def value(t):
        share = min(1.0, max(0.0, (t / steps - flat) / (1 - flat)))
        return final + (initial - final) * math.cos(math.pi * share / 2) ** 2

    return value


class KerasPlateau:
    """ReduceLROnPlateau.on_epoch_end, for a metric that should fall."""

    def __init__(self, rate, factor, patience, min_delta=1e-4, cooldown=0, min_lr=0.0):
        self.rate, self.factor, self.patience, self.min_lr = rate, factor, patience, min_lr
        self.min_delta, self.cooldown = min_delta, cooldown
        self.best, self.wait, self.cooling = math.inf, 0, 0

    def see(self, value):
        if self.cooling > 0:
            self.cooling -= 1
            self.wait = 0
        if value < self.best - self.min_delta:
            self.best, self.wait = value, 0
        elif self.cooling == 0:
            self.wait += 1
            if self.wait >= self.patience and self.rate > self.min_lr:
                self.rate = max(self.rate * self.factor, self.min_lr)
                self.cooling, self.wait = self.cooldown, 0
        return self.rate


# A schedule as it is written in Python: its formula, of steps from 0.
FORMULAS = {
    "InverseTime(0.3, 0.7, 50)": keras_inverse_time(0.3, 0.7, 50),
    "InverseTime(0.3, 0.7, 50, True)": keras_inverse_time(0.3, 0.7, 50, True),
    "InverseTime(0.3, 1, 1, power=0.4)": sklearn_invscaling(0.3, 0.4),
    "Polynomial(0.3, 0.02, 90, 1.5)": keras_polynomial(0.3, 90, 0.02, 1.5, False),
    "Polynomial(0.3, 0.02, 90, 1.5, True)": keras_polynomial(0.3, 90, 0.02, 1.5, True),
    "InverseSqrt.noam(512, 100)": noam(512, 100),
    "Piecewise([99, 500], [3, 1, 2])": keras_piecewise([98, 499], [3, 1, 2]),
    **{
        f"WarmupStableDecay(0.3, 900, 50, 300, 0.01, 0.02, {shape!r})": stable_decay(
            0.3, 900, 50, 300, 0.01, 0.02, shape
        )
        for shape in ("linear", "cosine", "sqrt")
    },
    "FlatCosine(0.3, 900, 0.6, 0.03)": flat_cosine(0.3, 900, 0.6, 0.03),
}
# Random ones, and what is a number or a product: tests of their own hold them.
ALONE = ("Constant", "Scale", "Uniform", "LogUniform", "Walk")
