"""Stopping: a signal ends within seconds whatever a program of HQ is doing.

Invariant: nothing has to be done before the end. Each step of a night is durable before the next,
so that a stop leaves what a power cut leaves, and the night is taken up from there.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

STOP_SECONDS = 8.0
"""After so long a stop waits for nobody: callers, and C code that looks at no signal."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_LOG = logging.getLogger(__name__)


class Stopped(BaseException):
    """Somebody ends the program. No `Exception`, so that nothing takes it for a fault."""


@contextmanager
def stoppable(code: int = 0) -> Iterator[None]:
    """Ends what is within, wherever it stands, once somebody ends the program.

    Args:
        code: The program's exit code then.

    Raises:
        typer.Exit: If somebody did.
    """
    before = {number: signal.signal(number, _stop) for number in _SIGNALS}
    try:
        yield
    except Stopped:
        _LOG.info("stopped")
        raise typer.Exit(code) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(_number: int, _frame: object) -> None:
    for number in _SIGNALS:  # who asks twice does not want to wait
        signal.signal(number, lambda *_: os._exit(0))
    late = threading.Timer(STOP_SECONDS, os._exit, (0,))
    late.daemon = True
    late.start()
    raise Stopped
