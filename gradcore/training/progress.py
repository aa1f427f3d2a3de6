"""How fit() shows that it goes on: a bar on a terminal, or a line an epoch."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, ClassVar, TextIO

_SHOWN = ("loss", "accuracy", "val_loss", "val_accuracy")


class Progress:
    """Shows nothing; the base of those that show something."""

    shows: ClassVar[bool] = False

    def advance(self, steps: int) -> None:
        """`steps` more updates are done."""

    def epoch(self, row: Mapping[str, float]) -> None:
        """An epoch is done."""

    def close(self) -> None:
        """The fit is over, in whatever way."""


class Lines(Progress):
    """One line an epoch on standard output."""

    shows: ClassVar[bool] = True

    def __init__(self, last_epoch: int) -> None:
        self._last = last_epoch

    def epoch(self, row: Mapping[str, float]) -> None:
        """Print the row of the epoch."""
        seconds = f"  {row.get('seconds', 0.0):.2f} s"
        print(f"epoch {int(row['epoch'])}/{self._last}  {_values(row)}{seconds}", flush=True)


class Bar(Progress):
    """A tqdm bar over the steps, on standard error."""

    shows: ClassVar[bool] = True

    def __init__(self, bar: Any) -> None:
        self._bar = bar

    def advance(self, steps: int) -> None:
        """Move the bar."""
        self._bar.update(steps)

    def epoch(self, row: Mapping[str, float]) -> None:
        """Show the row of the epoch beside the bar."""
        self._bar.set_postfix_str(f"epoch {int(row['epoch'])}  {_values(row)}", refresh=False)

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()


def progress_for(choice: bool | None, last_epoch: int, steps: int) -> Progress:
    """What to show: None means a bar on a terminal only, True a bar on a terminal and lines elsewhere."""
    if choice is False:
        return Progress()
    if _is_terminal(sys.stderr):
        try:
            from tqdm import tqdm
        except ImportError:
            pass
        else:
            return Bar(tqdm(total=steps, unit="step", dynamic_ncols=True, leave=True))
    return Lines(last_epoch) if choice else Progress()


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def _values(row: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {row[name]:.4g}" for name in _SHOWN if name in row)
