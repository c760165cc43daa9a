"""How the tests run: drawn examples, temporary files in memory, slow tests first, a budget.

Wherever pytest is started from, `make test` included: nothing here needs an option.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from _pytest.nodeid import coerce_node_id
from hypothesis import settings
from typer.main import get_command

if TYPE_CHECKING:
    from collections.abc import Iterator

settings.register_profile("quick", max_examples=25, deadline=None)  # benchmarks/ measure speed
settings.register_profile("long", max_examples=200, deadline=None)
settings.load_profile("quick")  # `make test-long` asks for the other

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
MEMORY, ROOM = Path("/dev/shm"), 2 * 2**30  # noqa: S108  (pytest makes a folder of our own in it)
"""A disk in memory, and the free bytes at which it is used; containers often have 64 MiB."""

FIRST = ("federation", "browser", "sandbox", "statistical")
"""Folders of whole networks and long samples. Begun last, one would keep a worker when the others
have nothing left to do."""

BUDGET = 15.0
"""Seconds that a test may take on a quiet machine; `slow` marks those that need more."""


def pytest_configure(config: pytest.Config) -> None:
    """Puts temporary files in memory, and lets each program's commands be made once."""
    _use_memory(config)
    patch = pytest.MonkeyPatch()
    patch.setattr("typer.testing._get_command", cache(get_command))  # else anew at every call
    config.add_cleanup(patch.undo)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Puts slow folders first, and leaves what is `long` to `make test-long`."""
    if config.getoption("--hypothesis-profile") != "long":
        long = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
    items.sort(key=_turn)
    for item in items:
        _name_group(item)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Names tests that took longer than the budget and are not marked as slow.

    It only tells: on a machine that does other things as well a test of 3 seconds takes 20.
    """
    over = sorted(_over_budget(terminalreporter), reverse=True)
    if over:
        terminalreporter.section(f"over the budget of {BUDGET:g} s, without the mark `slow`")
        for seconds, name in over:
            terminalreporter.line(f"{seconds:6.1f} s  {name}")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real ledgers, `../shared/data` from the project's root."""
    if not SHARED.is_dir():
        reason = "the real ledgers are not here: expected ../shared/data beside the project"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return SHARED


def _use_memory(config: pytest.Config) -> None:
    """Uses a disk in memory, where there is room and nobody said otherwise.

    SQLite waits for the disk at every commit, and a night commits hundreds of times.
    """
    if "TMPDIR" in os.environ or config.option.basetemp:
        return
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM:
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


def _name_group(item: pytest.Item) -> None:
    """Puts a test's group behind its name, by which xdist keeps a group on one worker.

    xdist 3.8 writes it where pytest 9 does not read it any more, and so groups nothing.
    """
    mark = item.get_closest_marker("xdist_group")
    if mark is not None and "PYTEST_XDIST_WORKER" in os.environ and "@" not in item.nodeid:
        item._id = coerce_node_id(f"{item.nodeid}@{mark.args[0]}")


def _turn(item: pytest.Item) -> int:
    folder = item.nodeid.split("/")[1] if "/" in item.nodeid else ""
    return FIRST.index(folder) if folder in FIRST else len(FIRST)


def _over_budget(reporter: pytest.TerminalReporter) -> Iterator[tuple[float, str]]:
    for report in (*reporter.stats.get("passed", ()), *reporter.stats.get("failed", ())):
        if report.duration > BUDGET and "slow" not in report.keywords:
            yield report.duration, report.nodeid
