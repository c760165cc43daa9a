"""Runs tests in children of a process that has the packages loaded and none of ours.

A test run is two seconds of imports and tenths of a second of tests. This program imports what
others wrote, once, and then forks for each run: the child imports our modules as they are on disk.

python -m benchmarks.mutants.forked_tests, in the folder of a copy; one JSON request a line:
`tests`, `skip` (of names), `seconds`, `write` (bytecode), `order` (seconds a test, quickest first);
and one JSON answer a line: `outcome` (killed, survived, timeout, broken), `first` (the test that
failed), `seconds` and `durations`.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

PACKAGES = (
    "numpy", "polars", "scipy.stats", "sklearn.linear_model", "opendp.mod", "opendp.measurements",
    "grpc", "sqlalchemy", "alembic.command", "pydantic", "typer.testing", "cryptography",
    "cryptography.x509", "hypothesis.extra.numpy", "pytest", "psycopg", "phonenumbers", "rbcl",
    "dp_accounting",
)  # fmt: skip
_PASSED, _FAILED, _NOT_COLLECTED, _CRASHED = 0, 1, 2, 3
"""Exit codes of pytest; a module that a mutant keeps from being imported is not collected."""


class Watch:
    """A pytest plugin: quickest tests first, no shrinking, the same examples each time."""

    def __init__(self, order: dict[str, float]) -> None:
        self.order = order
        self.durations: dict[str, float] = {}
        self.first = ""

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Sorts by what each took without a mutant."""
        items.sort(key=lambda item: self.order.get(item.nodeid, 0.0))

    def pytest_collection_finish(self) -> None:
        """Has Hypothesis draw the same examples for each mutant, and not look for smaller ones."""
        from hypothesis import Phase, settings  # in the child only

        phases = (Phase.explicit, Phase.generate)
        settings.register_profile(
            "mutants", settings.get_profile("quick"), phases=phases, derandomize=True, database=None
        )
        settings.load_profile("mutants")

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keeps how long a test took, and the first that failed."""
        self.durations[report.nodeid] = self.durations.get(report.nodeid, 0.0) + report.duration
        if report.failed and not self.first:
            self.first = report.nodeid


def main() -> None:
    """Answers requests until there are no more."""
    sys.path.insert(0, str(Path.cwd()))
    for name in PACKAGES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # else each child's collections go through all packages' objects
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line))), flush=True)  # noqa: T201  (to our caller)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    begun = time.monotonic()
    result = Path.cwd().parent / "result.json"
    result.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        _run(request, result)
    code = _wait(child, begun + request["seconds"])
    told = json.loads(result.read_text()) if result.exists() else {"first": "", "durations": {}}
    if code is None:
        outcome = "timeout"
    elif code in (_FAILED, _NOT_COLLECTED) or code < 0:  # or ended by a signal
        outcome = "killed"
    else:
        outcome = "survived" if code == _PASSED else "broken"
    return {**told, "outcome": outcome, "seconds": time.monotonic() - begun}


def _run(request: dict[str, Any], result: Path) -> None:
    """In the child: runs the tests and ends."""
    import pytest  # loaded already

    os.setsid()
    sys.dont_write_bytecode = not request["write"]
    with Path(os.devnull).open("r+b") as nothing, (result.parent / "output.txt").open("wb") as out:
        for number, stream in enumerate((nothing, out, out)):
            os.dup2(stream.fileno(), number)
    watch = Watch(request["order"])
    options = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--tb=line", *request["tests"]]
    if request["skip"]:
        options += ["-k", f"not ({request['skip']})"]
    code = _CRASHED
    try:
        code = int(pytest.main(options, plugins=[watch]))
        result.write_text(json.dumps({"first": watch.first, "durations": watch.durations}))
    finally:
        sys.stdout.flush()
        os._exit(code)


def _wait(child: int, until: float) -> int | None:
    """The exit code, or None where it took too long and was ended with all that it started."""
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            _end_group(child)
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    _end_group(child)
    os.waitpid(child, 0)
    return None


def _end_group(child: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # nothing of it may be left
        os.killpg(child, signal.SIGKILL)


if __name__ == "__main__":
    main()
