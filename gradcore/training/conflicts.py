"""How much the gradients of a network's heads disagree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import StateError

if TYPE_CHECKING:
    from .. import _core
    from ..losses.base import Loss
    from ..network.network import Network


class Conflicts:
    """What a Trainer with `losses.PerHead(..., surgery=True)` can tell of its heads."""

    _core: _core.CoreTrainer | None
    _loss: Loss
    _net: Network
    _conflicts: NDArray[np.float64] | None = None  # of cores that the trainer has outgrown

    def conflicts(self) -> dict[tuple[str, str], dict[str, float]]:
        """How the gradients of every two heads, by the layers before the heads, point: since this trainer was
        made or loaded, over all steps with an update in which neither was zero.

        Returns
        -------
        dict of (head, head) to dict
            "cosine": the mean cosine of the angle between the two gradients; "conflicts": the share of steps
            in which it was negative; "steps": their number. Without steps, the pair is absent.

        Raises
        ------
        StateError
            If the trainer's loss has no surgery.

        Examples
        --------
        >>> import numpy as np
        >>> from gradcore import Dense, Heads, Network, Trainer, losses, optimizers
        >>> net = Network([Dense(4), Heads({"up": Dense(1), "down": Dense(1)})], inputs=2)
        >>> loss = losses.PerHead({"up": "mse", "down": "mse"}, surgery=True)
        >>> trainer = Trainer(net, loss, optimizers.SGD(0.1))
        >>> before = trainer.step(np.eye(2), {"up": [1, 2], "down": [-1, 3]})
        >>> sorted(trainer.conflicts()["up", "down"])
        ['conflicts', 'cosine', 'steps']
        """
        from ..losses.per_head import PerHead

        loss = self._loss
        if not isinstance(loss, PerHead) or not loss.surgery:
            raise StateError("conflicts: expected a trainer with losses.PerHead(..., surgery=True)")
        total = self._all_conflicts()
        result = {}
        for i, first in enumerate(loss.names):
            for j, second in enumerate(loss.names[i + 1 :], i + 1):
                steps, conflicts, cosines = total[i, j].tolist() if total is not None else (0.0, 0.0, 0.0)
                if steps:
                    result[first, second] = {
                        "cosine": cosines / steps,
                        "conflicts": conflicts / steps,
                        "steps": int(steps),
                    }
        return result

    def _all_conflicts(self) -> NDArray[np.float64] | None:
        """The ledger of this core and those before it; None without surgery or a core."""
        if self._core is None or not getattr(self._loss, "surgery", False):
            return self._conflicts
        own = self._net._turns.read(self._net._core, self._core.conflicts, "conflicts")
        return own if self._conflicts is None else self._conflicts + own
