"""Who works on what: locks that the system itself drops when their holder dies, so none ever has to be stolen.

A lease is a lock on an open file. Closing the file, or the death of the process however it comes, gives it back. Locks
cross machines on NFS version 4 and on Lustre mounted with `flock`. Where a file system has no locks at all, `hold`
says yes and logs it: two processes may then do the same samples twice, which costs time and not results, because a
sample's result depends on its key alone and every ledger line is checked when it is read.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from fauxlens.core.errors import WorkError

_LOG = logging.getLogger("fauxlens.work")
_RUNNING = "running.lock"
_HELD = {errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK}
# A machine that cannot see the others' locks believes in a run for so long after its last sign of life.
_SIGN_OF_LIFE_SECONDS = 120.0


def hold(handle: int, *, shared: bool = False, wait: bool = False) -> bool:
    """Lock the open file `handle` until it is closed; False when another holds it and `wait` is not set."""
    try:
        _lock(handle, shared, wait)
    except OSError as refused:
        if refused.errno in _HELD:
            return False
        _LOG.warning("this file system has no locks (%s): run one process at a time on it", refused.strerror)
    return True


def open_file(path: Path) -> int:
    """Open `path` for reading and for appending line by line, unbuffered; make it when it is not there."""
    # The rights are what any new file of this user gets. O_BINARY exists on Windows only.
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)


@contextlib.contextmanager
def announced(folder: Path) -> Iterator[None]:
    """While the block lasts, `is_running(folder)` is true. Any number of runs may announce themselves at once."""
    handle = open_file(folder / _RUNNING)
    try:
        hold(handle, shared=True, wait=True)
        with contextlib.suppress(OSError):
            os.ftruncate(handle, 0)
            os.write(handle, socket.gethostname().encode("utf-8"))
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def undisturbed(folder: Path) -> Iterator[None]:
    """Refuse while a run is going on; while the block lasts, a run that is started waits."""
    handle = open_file(folder / _RUNNING)
    try:
        if not hold(handle):
            raise WorkError("a run is going on in this folder", where=folder, hint="wait for its end, or stop it first")
        yield
    finally:
        os.close(handle)


def is_running(folder: Path, last_written: float) -> bool:
    """Whether a run is going on in `folder`; `last_written` is the time of the newest file that a run writes."""
    try:
        handle = os.open(folder / _RUNNING, os.O_RDONLY)
    except OSError:
        return False
    try:
        host = os.read(handle, 1024)
        try:
            # Asked exclusively, which any run's shared lock refuses; a run that starts right now waits for us.
            _lock(handle, False, False)
        except OSError as refused:
            if refused.errno in _HELD:
                return True
    finally:
        os.close(handle)
    elsewhere = bool(host) and host != socket.gethostname().encode("utf-8")
    return elsewhere and time.time() - last_written < _SIGN_OF_LIFE_SECONDS


if sys.platform == "win32":
    import msvcrt

    # Windows locks keep others from reading the locked bytes, so one byte far behind the end is locked.
    _FAR = 1 << 40

    def _lock(handle: int, shared: bool, wait: bool) -> None:
        here = os.lseek(handle, 0, os.SEEK_CUR)
        try:
            os.lseek(handle, _FAR, os.SEEK_SET)
            # No shared locks here: the second run's announcement is simply not held.
            msvcrt.locking(handle, msvcrt.LK_LOCK if wait and not shared else msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(handle, here, os.SEEK_SET)

else:
    import fcntl

    def _lock(handle: int, shared: bool, wait: bool) -> None:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(handle, kind if wait else kind | fcntl.LOCK_NB)
