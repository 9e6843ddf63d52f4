"""One training a folder: a lock that the system drops when its holder dies, and that `fauxlens status` looks at."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fauxlens.core.errors import WorkError
from fauxlens.work.lease import hold, open_file

_LOCK = "running.lock"  # the name that `work.lease.is_running` asks for
_DYING_SECONDS = 15.0  # workers that decode outlive a killed training by a few seconds, and hold its lock


@contextmanager
def alone_in(folder: Path, writes: Iterable[str], *, first: bool = True) -> Iterator[None]:
    """Nobody else trains in the folder while the block lasts.

    What a kill left half written of the files that the training `writes` is gone. Of processes that train together
    the `first` holds the lock for all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not first:
        yield
        return
    handle = open_file(folder / _LOCK)
    try:
        until = time.monotonic() + _DYING_SECONDS
        while not hold(handle):
            if time.monotonic() > until:
                raise WorkError("a training is going on in this folder", where=folder,
                                hint="wait for its end, or stop it first")  # fmt: skip
            time.sleep(0.2)
        with suppress(OSError):  # who looks from another machine is told which one holds it
            os.ftruncate(handle, 0)
            os.write(handle, socket.gethostname().encode("utf-8"))
        for name in writes:
            for left in folder.glob(f".{name}.*.part"):
                left.unlink(missing_ok=True)
        yield
    finally:
        os.close(handle)
