"""The process of one contender: waits for a request on a pipe, serves it, waits again.

Each library lives in a process of its own, so that thread pools that spin while idle cannot take cores
from the one being timed, and no library sees another's settings. Run by harness.Worker, not by hand.
Requests and answers are pickled tuples; anything that a library prints goes to the terminal as usual.
"""

from __future__ import annotations

import resource
import sys
import traceback
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import Any


def serve(connection: Connection) -> None:
    subject: Any = None
    while True:
        try:
            request, *arguments = connection.recv()
        except EOFError:
            return
        try:
            result: Any = None
            if request == "open":  # (factory "module:function", its keyword arguments)
                if subject is not None:
                    subject.close()
                factory, keywords = arguments
                module, function = factory.split(":")
                subject = getattr(import_module(module), function)(**keywords)
            elif request == "time":  # (mode, unmeasured calls, measured calls) -> seconds
                result = timed(subject, *arguments)
            elif request == "memory":  # -> peak resident size in MB
                result = peak_memory()
            elif request == "call":  # (method, its arguments)
                method, *rest = arguments
                result = getattr(subject, method)(*rest)
            else:
                raise ValueError(f"request: expected open, time, memory or call, got {request!r}")
            connection.send(("ok", result))
        except ImportError as error:
            connection.send(("unsupported", f"not installed: {error}"))
        except Exception as error:
            kind = "unsupported" if type(error).__name__ == "Unsupported" else "error"
            connection.send((kind, str(error) if kind == "unsupported" else traceback.format_exc()))


def timed(subject: Any, mode: str, warm: int, calls: int) -> float:
    if warm:
        subject.run(mode, warm)
    start = perf_counter()
    subject.run(mode, calls)
    return perf_counter() - start


def peak_memory() -> float:
    """In MB. ru_maxrss would count the parent's pages before exec, so /proc comes first."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    scale = 2**20 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
