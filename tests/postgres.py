"""A real PostgreSQL server of the tests' own, in a folder of its own, over a socket."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

BINARIES = Path("/usr/lib/postgresql")
ZONE = "Asia/Singapore"
"""What the server's clock shows."""

USER, PASSWORD, DATABASE = "pos", "a-password", "postgres"
_SECONDS = 60.0
_SERVER = (
    "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=100",
    "-c", "shared_buffers=16MB", "-c", f"timezone={ZONE}",
)  # fmt: skip


@contextmanager
def postgres() -> Iterator[str]:
    """Starts a server and ends it.

    Yields:
        A SQLAlchemy URL of an empty database, with user and password.
    """
    binaries = _binaries()
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    server: subprocess.Popen[bytes] | None = None
    try:
        _initialised(binaries, folder)
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(  # noqa: S603  (our own arguments)
                [binaries / "postgres", "-D", folder / "data", "-k", folder, *_SERVER],
                cwd=folder,
                stdout=log,
                stderr=log,
                user=_user(),
                group=_user(),
            )
        _wait(binaries, folder, server)
        yield f"postgresql+psycopg://{USER}:{PASSWORD}@/{DATABASE}?host={folder}"
    finally:
        if server is not None:
            server.send_signal(signal.SIGINT)
            server.wait(_SECONDS)
        shutil.rmtree(folder)


def _binaries() -> Path:
    """The newest server's programs."""
    found = sorted(BINARIES.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if found:
        return found[-1].parent
    reason = (
        f"no PostgreSQL server here: expected {BINARIES}/*/bin/initdb; run scripts/setup.sh dev"
    )
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def _user() -> str | None:
    """Who the server runs as: it refuses root."""
    return "postgres" if os.geteuid() == 0 else None


def _initialised(binaries: Path, folder: Path) -> None:
    """Makes an empty database whose user needs a password."""
    password = folder / "password"
    password.write_text(PASSWORD)
    if os.geteuid() == 0:
        owner = pwd.getpwnam("postgres")
        for path in (folder, password):
            os.chown(path, owner.pw_uid, owner.pw_gid)
    subprocess.run(  # noqa: S603  (our own arguments)
        [
            binaries / "initdb", "-D", folder / "data", "-U", USER, "-A", "scram-sha-256",
            f"--pwfile={password}", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync",
        ],
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
        user=_user(),
        group=_user(),
    )  # fmt: skip


def _wait(binaries: Path, folder: Path, server: subprocess.Popen[bytes]) -> None:
    """Until the server takes connections."""
    ask = [str(binaries / "pg_isready"), "-q", "-h", str(folder), "-d", DATABASE, "-U", USER]
    deadline = time.monotonic() + _SECONDS
    while subprocess.run(ask, check=False).returncode != 0:  # noqa: S603  (our own arguments)
        if server.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"PostgreSQL did not start: {(folder / 'log').read_text()[-2000:]}")
        time.sleep(0.05)
