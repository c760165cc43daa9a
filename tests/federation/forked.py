"""A network's programs as processes of their own, forked from one that has imported them already.

Importing takes a program two to three seconds, a night one or two, so most of a test's time would
go there. The processes are as real as the console scripts': own memory, own folder, TLS on
loopback. The sandbox's own tests, and that of Ctrl-C here, start the console scripts.
"""

from __future__ import annotations

import importlib
import multiprocessing as mp
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

from typing_extensions import override

from sandbox.processes import ENVIRONMENT, Processes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.context import ForkServerContext, ForkServerProcess

    import numpy as np
    import numpy.typing as npt

    from features.events import Vector
    from sandbox.network import Settings
    from sandbox.world import World

PROGRAMS = {
    "escapement-hq": "server.hq.main",
    "escapement-office": "server.office.main",
    "escapement-outlet": "outlet_client.main",
}


@dataclass(frozen=True, slots=True)
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """What it printed, on one line, as it would be without a narrow terminal's breaks."""
        return " ".join(f"{self.out} {self.err}".split())


class Child:
    """A forked program, with what is used of `subprocess.Popen`."""

    def __init__(self, process: ForkServerProcess, args: list[str]) -> None:
        self._process = process
        self.args = args

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()


@cache
def _context() -> ForkServerContext:
    os.environ.update(ENVIRONMENT)  # the fork server keeps what it was started with
    context = mp.get_context("forkserver")
    context.set_forkserver_preload(list(PROGRAMS.values()))
    return context


def _program(module: str, arguments: list[str], out: str, err: str, patch: str) -> None:
    """Becomes a program: what its console script does, in a process that has it imported."""
    os.setsid()
    for number, name, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, out, os.O_WRONLY | os.O_CREAT | os.O_APPEND),
        (2, err, os.O_WRONLY | os.O_CREAT | os.O_APPEND),
    ):
        opened = os.open(name, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the fork server ignores it
    sys.argv = [module, *arguments]
    exec(patch, {})  # noqa: S102  (the test's own lines)
    importlib.import_module(module).app(arguments)


class Forked(Processes):
    """`Processes`, forked."""

    @classmethod
    @override
    def enrol(
        cls,
        folder: Path,
        world: World,
        outcomes: Mapping[str, Vector],
        training: npt.NDArray[np.bool_],
        settings: Settings,
    ) -> Self:
        return cast("Self", super().enrol(folder, world, outcomes, training, settings))

    @override
    def start(self, script: str, *arguments: str, home: Path) -> subprocess.Popen[bytes]:
        return self.start_patched("", script, *arguments, home=home)

    def start_patched(
        self, patch: str, script: str, *arguments: str, home: Path
    ) -> subprocess.Popen[bytes]:
        """Starts a program after some lines of Python."""
        log = str(home / f"{arguments[0]}.log")
        made = _started(script, [*arguments, "--home", str(home)], log, log, patch)
        process = cast("subprocess.Popen[bytes]", made)
        self.running[f"{home.name} {arguments[0]}"] = process
        return process

    def start_dying(
        self, where: str, when: str, number: int, script: str, *arguments: str, home: Path
    ) -> subprocess.Popen[bytes]:
        """Starts a program that will be killed around the n-th call of a method; see `dying`."""
        patch = f"from tests.federation.dying import die\ndie({where!r}, {when!r}, {number})"
        return self.start_patched(patch, script, *arguments, home=home)

    def command(self, script: str, *arguments: str, home: Path) -> Done:
        """Runs a command to its end."""
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder) / "out", Path(folder) / "err"
            given = [*arguments, "--home", str(home)]
            code = _started(script, given, str(out), str(err), "").wait(timeout=120)
            return Done(code, out.read_text(), err.read_text())

    def at_outlet(self, outlet: str, *arguments: str) -> Done:
        """Runs one of an outlet's commands to its end."""
        return self.command("escapement-outlet", *arguments, home=self.outlet(outlet))


def _started(script: str, arguments: list[str], out: str, err: str, patch: str) -> Child:
    process = _context().Process(
        target=_program, args=(PROGRAMS[script], arguments, out, err, patch), daemon=True
    )
    process.start()
    return Child(process, [script, *arguments])
