"""A copy of the project, in which one module at a time has a fault, and its test server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from benchmarks.mutants.mutations import Mutant

FOLDERS = ("server", "outlet_client", "features", "privacy", "sandbox", "tests", "benchmarks")
LONGEST = 900.0
"""Seconds for a module's tests without a mutant."""


class TestsFail(Exception):
    """A module's tests fail without a mutant, so they can tell nothing."""

    __test__ = False


class Copy:
    """A folder with the project's code and tests, and a process that runs them."""

    def __init__(self, root: Path, folder: Path) -> None:
        """Copies the code and starts the process.

        Args:
            root: The project's.
            folder: An empty one.
        """
        self._code = folder / "code"
        for name in FOLDERS:
            ignored = shutil.ignore_patterns("__pycache__", "peers")
            shutil.copytree(root / name, self._code / name, ignore=ignored)
        shutil.copy(root / "pyproject.toml", self._code)
        (self._code / "docs").symlink_to(root / "docs")  # some tests read a page
        if (root.parent / "shared").is_dir():
            (folder / "shared").symlink_to(root.parent / "shared")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.mutants.forked_tests"],
            cwd=self._code,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": ""},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait()

    def time_tests(self, tests: Sequence[str], skip: str) -> dict[str, float]:
        """How long each test takes without a mutant.

        Raises:
            TestsFail: If one fails.
        """
        answer = self._ask(tests, skip, LONGEST, {}, write=True)
        if answer["outcome"] != "survived":
            output = (self._code.parent / "output.txt").read_text(errors="replace")
            raise TestsFail(f"{', '.join(tests)}: {answer['outcome']} without a mutant\n{output}")
        durations: dict[str, float] = answer["durations"]
        return durations

    def try_mutant(
        self, mutant: Mutant, tests: Sequence[str], skip: str, order: dict[str, float]
    ) -> dict[str, Any]:
        """Runs tests against a mutant, quickest first, until one fails.

        After ten seconds and four times what they take without it, it hangs: that shows too.
        """
        path = self._code / mutant.path
        original = path.read_bytes()
        for stale in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
            stale.unlink()  # as long, and as of the same second, as the mutant's would be
        try:
            path.write_text(mutant.source)
            return self._ask(tests, skip, 10 + 4 * sum(order.values()), order, write=False)
        finally:
            path.write_bytes(original)

    def _ask(
        self,
        tests: Sequence[str],
        skip: str,
        seconds: float,
        order: dict[str, float],
        *,
        write: bool,
    ) -> dict[str, Any]:
        request = {
            "tests": list(tests), "skip": skip, "seconds": seconds, "order": order, "write": write
        }  # fmt: skip
        pipes = self._process.stdin, self._process.stdout
        if pipes[0] is None or pipes[1] is None:
            raise TestsFail("the test server has no pipes")
        pipes[0].write(json.dumps(request) + "\n")
        pipes[0].flush()
        answer: dict[str, Any] = json.loads(pipes[1].readline())
        return answer
