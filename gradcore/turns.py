"""Whose turn it is, for what one thread at a time may do."""

import os
import threading


class Turn:
    """A lock that nobody waits for, and that is free in a forked child.

    The threads of the parent do not exist in the child; what they held there is nobody's.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take the turn; False where another thread has it."""
        if self._process != os.getpid():
            self._process, self._lock = os.getpid(), threading.Lock()
        return self._lock.acquire(blocking=False)

    def leave(self) -> None:
        """Give it back. A thread that has forked meanwhile may find it free already."""
        if self._process == os.getpid() and self._lock.locked():
            self._lock.release()
