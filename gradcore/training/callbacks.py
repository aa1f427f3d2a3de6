"""What fit() calls while it trains.

A callback is any object with some of the methods of `Callback`; it need not inherit from it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError, FileError, NotFoundError
from ..validation.checks import file_path, integer
from .checkpoint import descriptions
from .trainer import Trainer, state_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


__all__ = ["Callback", "Checkpoint"]


class Callback:
    """The methods that fit() looks for. Inheriting is optional; every method is.

    They run in the thread of the fit, between its steps, and may do with the trainer and its network what may
    be done between two fits: set parameters and masks, save, evaluate, take gradients or a step; but no fit()
    of the same trainer. Other threads may only read meanwhile.

    An integer attribute `every_steps` makes a slice end, and so `on_slice` run, at every multiple of it.
    """

    def on_train_begin(self, trainer: Trainer) -> None:
        """Before the first step of a fit()."""

    def on_epoch_begin(self, trainer: Trainer, epoch: int) -> None:
        """Before an epoch; `epoch` counts from 1 over all fits."""

    def on_slice(self, trainer: Trainer, reports: NDArray[np.void]) -> None:
        """After a slice of steps, about every 30 ms; `reports` has a row a step and is reused afterwards."""

    def on_epoch_end(self, trainer: Trainer, row: Mapping[str, float]) -> bool | None:
        """After an epoch, with its row of the history. Returning True ends the fit.

        Numbers that are put into the row under names of their own become columns of the history, NaN in
        epochs that lack them; callbacks further down the list see them, and a checkpoint that one of those
        saves has them.
        """

    def on_train_end(self, trainer: Trainer) -> None:
        """After a fit() that came to its end."""


@dataclass(frozen=True)
class Checkpoint(Callback):
    """Saves the trainer while it trains, at the end of every epoch or every so many steps.

    A file saved inside a fit resumes there: ``Trainer.load(path).fit(X, y, ...)`` with the same arguments
    finishes that fit with the same bits as if it had never been interrupted.

    A full disk, or whatever else the system has against a file, does not end the fit: a warning says so once,
    the last file stays, and the next time is another attempt. If the last one has failed when the fit is
    over, a second warning tells which file there is. A folder that does not exist is an error before the
    first step, and so are a path that is no file's and a trainer with a function of your own for its loss or
    a schedule, which no file can hold.

    Parameters
    ----------
    path : str or path
        Replaced as a whole each time. ``"run-{epoch:03d}.gradcore"`` makes a file for each epoch, ``{step}``
        one for each step that is saved; ``{{`` and ``}}`` are braces.
    every_steps : int, optional
        Default: at the end of every epoch.

    Examples
    --------
    >>> from gradcore.callbacks import Checkpoint
    >>> Checkpoint("run-{epoch:03d}.gradcore")
    Checkpoint(path='run-{epoch:03d}.gradcore', every_steps=None)
    """

    path: Any
    every_steps: int | None = field(default=None, kw_only=True)
    _saves: Saves = field(default_factory=lambda: Saves(), init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        file_path(self.path)
        self._path(1, 1)
        if self.every_steps is not None:
            integer(self.every_steps, "Checkpoint: every_steps", 1)

    def on_train_begin(self, trainer: Trainer) -> None:
        """Refuse a folder that does not exist, a path that is no file's, and what no file can hold."""
        object.__setattr__(self, "_saves", Saves())
        descriptions(state_of(trainer))
        first = os.fsencode(self._path(state_of(trainer).epochs + 1, trainer.steps))
        folder = os.path.dirname(first)
        if folder and not os.path.isdir(folder):
            raise NotFoundError(f"{self.path}: expected a folder to save in, found none")
        if os.path.exists(first) and not os.path.isfile(first):
            raise ArgumentError(f"{self.path}: expected a regular file or none, found something else")

    def on_slice(self, trainer: Trainer, reports: NDArray[np.void]) -> None:
        """Save at multiples of every_steps."""
        if self.every_steps is not None and trainer.steps % self.every_steps == 0:
            self._save(trainer, state_of(trainer).epochs + 1)

    def on_epoch_end(self, trainer: Trainer, row: Mapping[str, float]) -> bool | None:
        """Save, unless every_steps says when."""
        if self.every_steps is None:
            self._save(trainer, int(row["epoch"]))
        return None

    def on_train_end(self, trainer: Trainer) -> None:
        """Say so if the last state could not be saved."""
        saves = self._saves
        if saves.reason:
            there = f"the last one that was written is {saves.last!r}" if saves.last else "none was written"
            self._warn(f"{saves.failed} saves failed, the last of them with: {saves.reason}; {there}")

    def _path(self, epoch: int, step: int) -> Any:
        """The path of a file; ArgumentError if the braces in it are not understood."""
        from string import Formatter

        text = os.fspath(self.path)
        if isinstance(text, bytes):
            return text
        try:
            fields_ = [(name, kind) for _, name, _, kind in Formatter().parse(text) if name is not None]
            unknown = [name for name, kind in fields_ if name not in ("epoch", "step") or kind]
            if not unknown:
                return text.format(epoch=epoch, step=step)
            got = f"{{{unknown[0]}}}"
        except (ValueError, LookupError) as error:
            got = str(error)
        raise ArgumentError(
            "Checkpoint: path: expected {epoch} and {step} in braces, or {{ and }} for the signs, "
            f"got {got} in {text!r}"
        )

    def _save(self, trainer: Trainer, epoch: int) -> None:
        saves, path = self._saves, self._path(epoch, trainer.steps)
        try:
            trainer.save(path)
        except (FileError, ArgumentError) as error:  # a later name may be that of a folder
            if not saves.failed:
                self._warn(f"the fit goes on without a file of step {trainer.steps}: {error}")
            saves.failed, saves.reason = saves.failed + 1, str(error)
        else:
            saves.last, saves.reason = path, ""

    @staticmethod
    def _warn(message: str) -> None:
        warnings.warn(f"Checkpoint: {message}", RuntimeWarning, stacklevel=3)


@dataclass
class Saves:
    """What became of the files of a fit."""

    failed: int = 0
    reason: str = ""  # of the last attempt; empty if it worked
    last: Any = None  # path
