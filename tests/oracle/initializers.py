"""Initializers: how large their values are."""

import math


def initial_limit(name, fan_in, fan_out):
    """The bound of a uniform initialiser, the standard deviation of a normal one."""
    average = (fan_in + fan_out) / 2
    variance = {"glorot": 1 / average, "he": 2 / fan_in, "lecun": 1 / fan_in}
    if name == "siren":  # of a network's first layer
        return 1 / fan_in
    family, _, distribution = name.partition("_")
    return math.sqrt(variance[family] * (3 if distribution == "uniform" else 1))


INITIALIZERS = ("glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal",
                "siren")  # fmt: skip
