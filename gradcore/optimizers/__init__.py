"""Optimizers: frozen descriptions that a Trainer compiles, and that also update plain arrays.

Every scalar hyperparameter is a number or a schedule. Weight decay leaves biases alone unless
``decay_bias=True``. Where libraries differ, `style` says whose rule is followed; PyTorch's, where it
has one, is the default.
"""

from .adam import Adam, AdamW
from .adaptive import Adadelta, Adagrad, RMSprop
from .averages import EMA, SWA, Accumulate, Lookahead
from .base import Group, Optimizer, Rule, layerwise
from .moments import ADOPT, AdaBelief, Adamax, AdEMAMix, Lion, NAdam, RAdam, ScheduleFreeAdamW
from .norms import LAMB, LARS, Prodigy
from .sgd import SGD, Rprop, ScheduleFreeSGD

__all__ = [
    "ADOPT",
    "EMA",
    "LAMB",
    "LARS",
    "SGD",
    "SWA",
    "Accumulate",
    "AdEMAMix",
    "AdaBelief",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Group",
    "Lion",
    "Lookahead",
    "NAdam",
    "Optimizer",
    "Prodigy",
    "RAdam",
    "RMSprop",
    "Rprop",
    "Rule",
    "ScheduleFreeAdamW",
    "ScheduleFreeSGD",
    "layerwise",
]
