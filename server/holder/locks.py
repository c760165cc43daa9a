"""Locks of a holder's folder: what one process at a time does. They end with their process."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from server.holder.errors import StillRunning

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVE_LOCK, NIGHT_LOCK = "serve.lock", "night.lock"
"""Held while a holder serves, and while HQ runs a night."""


@contextmanager
def locked(file: Path, *, wait: bool = False) -> Iterator[bool]:
    """Holds a lock, if it is free.

    Args:
        file: Names the lock; it stays, empty or with what its holder writes into it.
        wait: Whether to wait until it is free.

    Yields:
        Whether it is held; always, after waiting.

    Raises:
        OSError: If the file cannot be made.
    """
    descriptor = os.open(file, os.O_RDONLY | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


@contextmanager
def stopped(home: Path, program: str) -> Iterator[None]:
    """Keeps `serve` and nights from running in a folder, for what must not happen beside them.

    Args:
        home: The folder.
        program: The holder's command line.

    Raises:
        StillRunning: If one of them runs; nothing was done then.
    """
    with locked(home / SERVE_LOCK) as idle, locked(home / NIGHT_LOCK) as asleep:
        if not (idle and asleep):
            raise StillRunning(home, program)
        yield


def is_locked(file: Path) -> bool:
    """Whether some process holds a lock."""
    with suppress(OSError), file.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
