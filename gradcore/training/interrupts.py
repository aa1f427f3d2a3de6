"""Ctrl-C while a fit runs."""

from __future__ import annotations

import importlib
import signal
import threading
from collections.abc import Callable
from typing import Any

_SIGNAL: Any = importlib.import_module("_signal")  # what `signal` wraps, making enumerations for 10 µs a fit


class Interrupt:
    """Turns the first Ctrl-C into a KeyboardInterrupt from `check`, called where all is consistent.

    The second one interrupts at once. Only where Python's own handler is in place.
    """

    def __init__(self) -> None:
        self._pressed = 0
        self._mine = False

    def __enter__(self) -> Callable[[], None]:
        main = threading.get_ident() == threading.main_thread().ident
        if main and _SIGNAL.getsignal(_SIGNAL.SIGINT) is signal.default_int_handler:
            self._mine = True
            _SIGNAL.signal(_SIGNAL.SIGINT, self._handle)
        return self.check

    def __exit__(self, *raised: object) -> None:
        if self._mine:
            _SIGNAL.signal(_SIGNAL.SIGINT, signal.default_int_handler)

    def _handle(self, number: int, frame: object) -> None:
        self._pressed += 1
        if self._pressed > 1:
            raise KeyboardInterrupt

    def check(self) -> None:
        """Raise it if Ctrl-C was pressed."""
        if self._pressed:
            raise KeyboardInterrupt
