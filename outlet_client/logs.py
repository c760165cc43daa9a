"""Logging of nights and servers: JSON lines for a collector, or progress in a terminal.

Invariant: a line holds what our own programs say and nothing else. A library's message, and the
text of an exception, may hold a cell of a ledger: of those only the name and the place are written.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import sys
import threading
import traceback
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from rich.console import Console

_LOG = logging.getLogger(__name__)

_OWN = ("outlet_client", "features", "privacy", "server.wire")
_NIGHT: ContextVar[int | None] = ContextVar("night", default=None)
_STEP: ContextVar[str | None] = ContextVar("step", default=None)


class NightProgress:
    """Receives how far a night is, and shows nothing."""

    def begin(self, step: str) -> None:
        """A step begins."""

    def rows(self, count: int) -> None:
        """So many rows more were read."""

    def failed(self) -> None:
        """The step failed; the error is in the log."""

    def error(self, text: str) -> None:
        """The night failed, for this reason; writes it to the log."""
        _LOG.error("the night failed: %s", text)


def set_log_position(night: int | None, step: str | None) -> None:
    """Sets the night and step that the lines from here on carry."""
    _NIGHT.set(night)
    _STEP.set(step)


@contextmanager
def showing_progress(console: Console) -> Iterator[NightProgress]:
    """Sets logging up for a night: JSON lines on stderr, or progress in a terminal."""
    try:
        with logging_to(console):
            if console.is_terminal:
                with _Bar(console) as bar:
                    yield bar
            else:
                yield NightProgress()
    finally:
        set_log_position(None, None)


@contextmanager
def logging_to(console: Console) -> Iterator[None]:
    """Sets logging up for what runs for long: JSON lines on stderr, or plain ones in a terminal."""
    if console.is_terminal:
        handler: logging.Handler = _Terminal(console)
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonLines())
    with _logging_to(handler):
        yield


class JsonLines(logging.Formatter):
    """One JSON object a line: at, level, logger, message, night, step; after an error its type.

    With the type of an error comes where it passed, as file, line and function.
    """

    @override
    def format(self, record: logging.LogRecord) -> str:
        at = dt.datetime.fromtimestamp(record.created, dt.UTC)
        line: dict[str, object] = {
            "at": at.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": log_text(record),
            "night": _NIGHT.get(),
            "step": _STEP.get(),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["where"] = traceback_lines(record.exc_info[2])
        return json.dumps(line, ensure_ascii=False)


def log_text(record: logging.LogRecord) -> str:
    """The text that a line may have: our own words, or the place where a library said something."""
    if any(record.name == own or record.name.startswith(f"{own}.") for own in _OWN):
        return record.getMessage()
    return f"{Path(record.pathname).name}, line {record.lineno}; what it says is left out"


def traceback_lines(trace: TracebackType | None) -> list[str]:
    """The lines of code that a traceback passed, without their values: file, line, function."""
    return [
        f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(trace)
    ]


class _Bar(NightProgress):
    """Progress in a terminal: one line a step."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description}"),
            TextColumn("{task.fields[read]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._rows = 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._end()
        self._bar.stop()

    @override
    def begin(self, step: str) -> None:
        self._end()
        self._rows = 0
        self._bar.add_task(step, total=None, read="")

    @override
    def rows(self, count: int) -> None:
        self._rows += count
        self._show(read=f"{self._rows:,} rows")

    @override
    def failed(self) -> None:
        self._show(read="[red]failed[/]")

    @override
    def error(self, text: str) -> None:
        said = escape(text)
        self._console.print(f"[bold red]error:[/] {said}", highlight=False, soft_wrap=True)

    def _end(self) -> None:
        self._show(total=1, completed=1)

    def _show(self, **fields: Any) -> None:
        """Changes the line of the last step that began."""
        if self._bar.task_ids:
            self._bar.update(self._bar.task_ids[-1], **fields)


class _Terminal(logging.Handler):
    """Plain lines above the progress."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    @override
    def emit(self, record: logging.LogRecord) -> None:
        at = dt.datetime.fromtimestamp(record.created).astimezone()
        said = log_text(record)
        if record.exc_info and record.exc_info[0] is not None:
            passed = " > ".join(traceback_lines(record.exc_info[2]))
            said += f" ({record.exc_info[0].__name__}: {passed})"
        self._console.print(
            f"{at:%H:%M:%S} {record.levelname.lower()} {said}",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip


@contextmanager
def _logging_to(handler: logging.Handler) -> Iterator[None]:
    """Lets one handler have everything: our own from INFO on, libraries' from WARNING on."""
    root = logging.getLogger()
    handlers = root.handlers[:]
    ours = [logging.getLogger(name) for name in _OWN]
    levels = {logger: logger.level for logger in (root, *ours)}
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for logger in ours:
        logger.setLevel(logging.INFO)
    flower = logging.getLogger("flwr")
    flower.handlers.clear()  # it would print its own lines beside ours
    flower.setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    hook = threading.excepthook
    threading.excepthook = _thread_failed
    try:
        yield
    finally:
        threading.excepthook = hook
        logging.captureWarnings(capture=False)
        root.handlers[:] = handlers
        for logger, level in levels.items():
            logger.setLevel(level)


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    """Where a library's thread failed; Python would print the error's text."""
    if failed.exc_value is not None:
        error = (failed.exc_type, failed.exc_value, failed.exc_traceback)
        _LOG.warning("a thread ended with an error", exc_info=error)
