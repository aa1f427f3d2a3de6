"""Losses, as instances or by name: ``Trainer(net, losses.Huber(delta=0.5), ...)`` or ``(net, "mse", ...)``.

A loss takes what the last layer returns: classification losses take logits, so the output layer stays
linear. The loss of a batch is the weighted mean of its rows, the sum of weight times loss over the sum of the
weights. The loss of a row is the mean over its outputs, but where a class says otherwise.

A Python function of arrays will do, too: see `Custom`, and `check` for its gradient. `L1`, `L2` and `Elastic`
are penalties on the weights of a layer.
"""

from ..lazy import by_folder

__getattr__, __dir__ = by_folder(__name__)
