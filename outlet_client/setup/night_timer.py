"""The timer of an outlet's nights: systemd's units for a machine or a user, text for Windows.

The units in `units/` are the one source: `deploy/systemd` links to them, and a user's unit is what
a user's systemd can do of the machine's.
"""

from __future__ import annotations

import re
import shlex
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SERVICE, TIMER = "escapement-outlet.service", "escapement-outlet.timer"

WINDOWS_START = "2026-01-01T01:55:00Z"
"""The first night of a task on Windows: 01:55 UTC, also in summer."""

_USERS = frozenset(
    (
        "Description", "StartLimitIntervalSec", "StartLimitBurst", "Type", "Environment",
        "ExecStart", "StandardOutput", "SuccessExitStatus", "Restart", "RestartSec",
        "TimeoutStartSec", "UMask", "LimitNOFILE",
    )
)  # fmt: skip
"""Settings that a user's service has too; the others need rights over the machine."""


def unit_text(name: str) -> str:
    """A unit as it comes with this program."""
    return (resources.files("outlet_client.setup") / "units" / name).read_text(encoding="utf-8")


def units_of_machine(program: Path, home: Path, user: str) -> dict[str, str]:
    """Units for `/etc/systemd/system`, by name.

    Args:
        program: `escapement-outlet`, whole path.
        home: The outlet's folder, whole path.
        user: Whose the folder is; the night runs as this user.
    """
    service = _placed(unit_text(SERVICE), program, home)
    service = re.sub(r"(?m)^User=.*$", lambda _: f"User={user}", service)
    if home.parts[:3] != ("/", "var", "lib"):  # elsewhere systemd makes no folder of state
        service = re.sub(r"(?m)^StateDirectory(Mode)?=.*\n", "", service)
        service = service.replace(
            "ProtectSystem=strict", f"ProtectSystem=strict\nReadWritePaths={home}"
        )
    if home.parts[:2] == ("/", "home"):
        service = service.replace("ProtectHome=yes", "ProtectHome=no")
    return {SERVICE: service, TIMER: unit_text(TIMER)}


def units_of_user(program: Path, home: Path) -> dict[str, str]:
    """Units for `~/.config/systemd/user`, by name; see `units_of_machine`."""
    kept = [
        line
        for line in _placed(unit_text(SERVICE), program, home).splitlines()
        if not line
        or line.startswith("[")
        or line.partition("=")[0] in (*_USERS, "WorkingDirectory")
    ]
    return {SERVICE: "\n".join(kept) + "\n", TIMER: unit_text(TIMER)}


def windows_text(program: Path, home: Path) -> str:
    """What to type on Windows, where this program writes nothing by itself.

    The trigger's own start says UTC, so that neither the machine's time zone nor summer time moves
    the night; `schtasks` knows the machine's time only.
    """
    return (
        "On Windows, in a PowerShell of an administrator:\n"
        f"  $night = New-ScheduledTaskAction -Execute {_powershell(str(program))} "
        f"-Argument {_powershell(_arguments(home))}\n"
        "  $daily = New-ScheduledTaskTrigger -Daily -At 01:55\n"
        f"  $daily.StartBoundary = '{WINDOWS_START}'\n"
        "  Register-ScheduledTask -TaskName 'Escapement night' -Action $night -Trigger $daily\n"
        "  Start-ScheduledTask -TaskName 'Escapement night'     # once, to try it\n"
        "  Get-ScheduledTaskInfo -TaskName 'Escapement night'   # LastTaskResult: the exit code"
    )


def _arguments(home: Path) -> str:
    """What the program is started with, in Windows' own quotes."""
    return f'nightly --home "{home}"'


def _powershell(text: str) -> str:
    """A text that PowerShell takes as it stands."""
    return "'" + text.replace("'", "''") + "'"


def _placed(service: str, program: Path, home: Path) -> str:
    """A service with this machine's program and folder."""
    start = f"ExecStart={shlex.quote(str(program))} nightly --home {shlex.quote(str(home))}"
    placed = re.sub(r"(?m)^ExecStart=.*$", lambda _: start, service)
    return re.sub(r"(?m)^WorkingDirectory=.*$", lambda _: f"WorkingDirectory={home}", placed)
