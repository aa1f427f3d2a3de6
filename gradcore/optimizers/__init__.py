"""Optimizers: frozen descriptions that a Trainer compiles, and that also update plain arrays.

Every scalar hyperparameter is a number or a schedule. Weight decay leaves biases alone unless
``decay_bias=True``. Where libraries differ, `style` says whose rule is followed; PyTorch's, where it
has one, is the default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import on_demand

if TYPE_CHECKING:
    from ..second_order import LBFGS, ConjugateGradient, LevenbergMarquardt, Minimum, NewtonCG, minimize
    from .adam import Adam, AdamW
    from .adaptive import Adadelta, Adagrad, RMSprop
    from .averages import EMA, SAM, SWA, Accumulate, Lookahead
    from .base import FirstOrder, Group, Optimizer, layerwise
    from .matrices import SOAP, Muon
    from .moments import ADOPT, AdaBelief, Adamax, Adan, AdEMAMix, Lion, NAdam, RAdam, ScheduleFreeAdamW, Yogi
    from .norms import LAMB, LARS, Prodigy
    from .sgd import SGD, Rprop, ScheduleFreeSGD
else:
    __getattr__, __dir__ = on_demand(
        __name__,
        {
            "..second_order": (
                "LBFGS",
                "ConjugateGradient",
                "LevenbergMarquardt",
                "Minimum",
                "NewtonCG",
                "minimize",
            ),
            ".adam": ("Adam", "AdamW"),
            ".adaptive": ("Adadelta", "Adagrad", "RMSprop"),
            ".averages": ("EMA", "SAM", "SWA", "Accumulate", "Lookahead"),
            ".base": ("FirstOrder", "Group", "Optimizer", "layerwise"),
            ".matrices": ("SOAP", "Muon"),
            ".moments": (
                "ADOPT",
                "AdaBelief",
                "Adamax",
                "Adan",
                "AdEMAMix",
                "Lion",
                "NAdam",
                "RAdam",
                "ScheduleFreeAdamW",
                "Yogi",
            ),
            ".norms": ("LAMB", "LARS", "Prodigy"),
            ".sgd": ("SGD", "Rprop", "ScheduleFreeSGD"),
        },
    )

__all__ = [
    "LBFGS",
    "ConjugateGradient",
    "LevenbergMarquardt",
    "Minimum",
    "NewtonCG",
    "minimize",
    "ADOPT",
    "EMA",
    "LAMB",
    "LARS",
    "SAM",
    "SGD",
    "SOAP",
    "SWA",
    "Accumulate",
    "AdEMAMix",
    "Adan",
    "AdaBelief",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Group",
    "Lion",
    "Lookahead",
    "Muon",
    "NAdam",
    "Optimizer",
    "Prodigy",
    "RAdam",
    "RMSprop",
    "Rprop",
    "FirstOrder",
    "ScheduleFreeAdamW",
    "ScheduleFreeSGD",
    "layerwise",
    "Yogi",
]
