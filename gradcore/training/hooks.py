"""The methods that a fit calls, and the objects that have them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errors import DTypeError
from ..validation.checks import integer, shown
from .early_stopping import EarlyStopping

HOOKS = ("on_train_begin", "on_epoch_begin", "on_slice", "on_epoch_end", "on_train_end")


def check_callbacks(callbacks: object) -> list[Any]:
    """`callbacks` as a list of objects that have at least one of the methods."""
    if type(callbacks) is tuple and not callbacks:
        return []
    if not isinstance(callbacks, Iterable) or hasattr(type(callbacks), "shape"):
        raise DTypeError(f"callbacks: expected a list of callbacks, got {shown(callbacks)}")
    result = list(callbacks)
    for index, callback in enumerate(result):
        if isinstance(callback, type) or not any(callable(getattr(callback, hook, None)) for hook in HOOKS):
            hint = "; give it as early_stopping=" if isinstance(callback, EarlyStopping) else ""
            expected = f"expected an object with one of {', '.join(HOOKS)}"
            raise DTypeError(f"callbacks[{index}]: {expected}, got {shown(callback)}{hint}")
        for hook in HOOKS:
            method = getattr(callback, hook, None)
            if method is not None and not callable(method):
                raise DTypeError(f"callbacks[{index}]: expected a method {hook}, got {shown(method)}")
        every = getattr(callback, "every_steps", None)
        if every is not None:
            integer(every, f"callbacks[{index}]: every_steps", 1)
    return result


def call(hooks: list[Any], name: str, *arguments: Any) -> list[Any]:
    """What the hooks that have this method answer."""
    return [getattr(hook, name)(*arguments) for hook in hooks if getattr(hook, name, None) is not None]
