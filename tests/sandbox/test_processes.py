"""Processes of the sandbox, as far as they need no network."""

from __future__ import annotations

import signal
import subprocess
import time

import pytest

from sandbox.processes import watch


class Dying:
    """An object that is being cleared away when somebody presses Ctrl-C."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


def test_ctrl_c_is_heard_also_while_an_object_is_cleared_away() -> None:
    def look() -> None:
        Dying()

    with subprocess.Popen(["sleep", "60"]) as process:  # noqa: S607  (whichever comes first)
        try:
            with pytest.raises(KeyboardInterrupt):
                watch(process, time.monotonic() + 2, look)
        finally:
            process.kill()
