"""Locks of a holder's folder: what one process at a time does. They end with their process."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

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


def is_locked(file: Path) -> bool:
    """Whether some process holds a lock."""
    with suppress(OSError), file.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
