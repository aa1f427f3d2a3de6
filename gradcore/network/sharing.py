"""Taking turns: one thread changes a network in slices, others read it in between.

The core lets one writer or any number of readers in and refuses the rest at once. Here a reader waits
instead, and says so, and a writer lets those in that wait before its next slice: so a reader gets its turn
after one slice, and a stream of readers cannot keep the writer out.

Plain sets and flags, changed under the interpreter's lock and looked at now and then, hold all of it: a lock
that another thread holds would never be free in a forked child.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from .. import _core
from ..errors import BusyError

T = TypeVar("T")

WAIT = 10.0  # seconds after which a reader gives up
_HOLD = 60.0  # that a writer waits for readers which it has let in
_PAUSE = 0.0002  # between two looks

_Caller = tuple[int, int]  # process and thread


def _caller() -> _Caller:
    return os.getpid(), threading.get_ident()


def _others(callers: set[_Caller]) -> set[_Caller]:
    """Those of other threads of this process: a forked child has only one."""
    me = _caller()
    return {one for one in list(callers) if one[0] == me[0] and one != me}


class Turns(_core.Steps):
    """Who waits for a network, who reads it, and who changes it.

    What small steps and predictions look at is in `_core.Steps`, where the core's binding sees it without a
    call of Python: `waiting`, until they are through; `changer`; and `stepper`, a thread alone, since a pair
    would cost a small step a tenth.
    """

    def __init__(self) -> None:
        self._reading: set[_Caller] = set()  # several values of one state
        _ALL.add(self)

    # ---- Writers ----

    def begin_step(self) -> None:
        """Say that this thread makes a single step now, once those that wait are through. A reader that comes
        later sees the step and waits for its end."""
        self.stepper = threading.get_ident()
        end = time.monotonic() + _HOLD if self.waiting else 0.0
        while self.waiting and _others(self.waiting) and time.monotonic() < end:
            self.stepper = 0
            self.offer()
            self.stepper = threading.get_ident()

    def end_step(self) -> None:
        """The step of this thread is over, or was refused because another thread makes one."""
        if self.stepper == threading.get_ident():
            self.stepper = 0

    def offer(self) -> None:
        """Let all in that wait now, and go on when they are through: a writer calls it before a slice."""
        if not self.waiting:
            return
        them, end = _others(self.waiting), time.monotonic() + _HOLD
        while them & self.waiting and time.monotonic() < end:
            time.sleep(_PAUSE)

    def changing(self) -> Changing:
        """Around what changes the network: further readers of other threads are kept in line."""
        return Changing(self)

    def write(self, core: _core.CoreNetwork, call: Callable[[], T]) -> T:
        """The result of a call of the core that changes the network, after a wait for readers; a thread that
        trains it is not waited for."""
        try:
            return call()
        except BusyError:
            if core.training or core.owned_elsewhere:
                raise
        end = time.monotonic() + WAIT
        with self.changing():
            while True:
                try:
                    return call()
                except BusyError:
                    if core.training or core.owned_elsewhere or time.monotonic() > end:
                        raise
                time.sleep(_PAUSE)

    # ---- Readers ----

    def read(self, core: _core.CoreNetwork, call: Callable[[], T], name: str) -> T:
        """The result of one call of the core that reads, after a wait if it must be."""
        if (self.changer is None and not self.stepper) or not self._is_changed():
            try:
                return call()
            except BusyError:
                if core.inside:
                    raise BusyError(
                        f"{name}: expected a call that no step makes, got one from a function of a step that "
                        "is using the network"
                    ) from None
        if _caller() in self._reading:  # it has been let in, and whoever wants to change waits for it
            return call()
        end = time.monotonic() + WAIT
        with self._in_line():
            while True:
                if not self._is_changed():
                    try:
                        return call()
                    except BusyError:
                        pass
                self._pause(end, name)

    @contextmanager
    def steady(self, name: str) -> Iterator[None]:
        """Several reads of one state: no step and no slice of another thread's fit comes in between."""
        if _caller() in self._reading:
            yield
            return
        end = time.monotonic() + WAIT
        with self._in_line() as me:
            try:
                self._reading.add(me)
                while self._is_changed():
                    self._reading.discard(me)
                    self._pause(end, name)
                    self._reading.add(me)
                yield
            finally:
                self._reading.discard(me)

    def _is_changed(self) -> bool:
        """Whether another thread is changing the network now."""
        changer, stepper = self.changer, self.stepper
        me = _caller()
        if stepper and stepper != me[1]:
            return True
        return changer is not None and changer[0] == me[0] and changer != me

    @contextmanager
    def _in_line(self) -> Iterator[_Caller]:
        me = _caller()
        if me in self.waiting:
            yield me
            return
        self.waiting.add(me)
        try:
            yield me
        finally:
            self.waiting.discard(me)

    @staticmethod
    def _pause(end: float, name: str) -> None:
        if time.monotonic() > end:
            raise BusyError(
                f"{name}: expected no other thread to use the network within {WAIT:g} s, but one is training "
                "it; clone() makes a copy of your own"
            )
        time.sleep(_PAUSE)


class Turn:
    """A lock that nobody waits for, and that is free in a forked child.

    The threads of the parent do not exist in the child; what they held there is nobody's.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _SINGLE.add(self)

    def take(self) -> bool:
        """Take the turn; False where another thread has it."""
        return self._lock.acquire(blocking=False)

    def leave(self) -> None:
        """Give it back. A thread that has forked meanwhile may find it free already."""
        if self._lock.locked():
            self._lock.release()


class Changing:
    """Keeps further readers of other threads in line until it is left."""

    __slots__ = ("_before", "_turns")

    def __init__(self, turns: Turns) -> None:
        self._turns, self._before = turns, turns.changer

    def __enter__(self) -> None:
        turns = self._turns
        self._before, turns.changer = turns.changer, _caller()
        try:
            end = time.monotonic() + _HOLD if turns._reading else 0.0
            while turns._reading and _others(turns._reading) and time.monotonic() < end:
                time.sleep(_PAUSE)
        except BaseException:
            turns.changer = self._before
            raise

    def __exit__(self, *raised: object) -> None:
        self._turns.changer = self._before


def when_free(call: Callable[[], object]) -> None:
    """`call()`, again after a moment while another thread predicts with the network, for some seconds."""
    patience = 0.0
    while True:
        try:
            call()
            return
        except BusyError:
            patience = patience or time.monotonic() + 5.0
            if time.monotonic() > patience:
                raise
            time.sleep(0.0005)


_ALL: weakref.WeakSet[Turns] = weakref.WeakSet()
_SINGLE: weakref.WeakSet[Turn] = weakref.WeakSet()


def _forget_others() -> None:
    """A forked child has none of the threads that were in a step, or had a turn."""
    me = threading.get_ident()
    for turns in list(_ALL):
        if turns.stepper != me:
            turns.stepper = 0
    for turn in list(_SINGLE):
        turn._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_others)
