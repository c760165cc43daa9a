"""Locks of an outlet's folder: who uses it while it runs, and who must be alone in it.

Invariant: an upgrade, or the making of a lost database, never runs beside a desk, `serve` or a
night. A lock ends with its process, however that ends.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from outlet_client.errors import FolderInUse, NotConfigured

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

USE_LOCK = "in-use.lock"


@contextmanager
def in_use(home: Path) -> Iterator[None]:
    """Uses a folder until left, beside any others who do.

    Raises:
        FolderInUse: If somebody must be alone in it now.
        NotConfigured: If there is no such folder.
    """
    with _locked(home, fcntl.LOCK_SH, "an upgrade runs in it; start this again when that is over"):
        yield


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Keeps everybody who would use a folder out of it until left.

    Raises:
        FolderInUse: If somebody uses it; nothing was done then.
        NotConfigured: If there is no such folder.
    """
    why = (
        "a desk, `escapement-outlet serve` or a night runs in it; stop the desk (`systemctl stop "
        "escapement-desk.service`) or wait for the night, and run this again"
    )
    with _locked(home, fcntl.LOCK_EX, why):
        yield


@contextmanager
def _locked(home: Path, kind: int, why: str) -> Iterator[None]:
    try:
        lock = os.open(home / USE_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except (FileNotFoundError, NotADirectoryError) as error:
        reason = "no such file or folder; `escapement-outlet enrol` makes one"
        raise NotConfigured(f"{home}: {reason}") from error
    try:
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FolderInUse(home, why) from error
        yield
    finally:
        os.close(lock)
