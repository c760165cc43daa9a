"""`escapement-outlet install-timer`: has this machine run the outlet's nights."""

from __future__ import annotations

import getpass
import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import HERE, Home
from outlet_client.commands.output import say
from outlet_client.errors import NotConfigured
from outlet_client.setup.night_timer import TIMER, units_of_machine, units_of_user, windows_text
from privacy.identity import PartyKind
from privacy.keyring import Keyring

MACHINE = Path("/etc/systemd/system")

_CODES = (
    "A night's exit codes are in `escapement-outlet --help`: 0 is a whole night, 3 one that HQ was "
    "not reached in, which tomorrow's makes up for (systemd counts it as a success); any other "
    "wants a person."
)


def install_timer(
    system: Annotated[
        bool, typer.Option("--system", help="For the machine, as root; else for this user.")
    ] = False,
    windows: Annotated[
        bool, typer.Option("--windows", help="Prints what to type on Windows; writes nothing.")
    ] = False,
    folder: Annotated[
        Path | None, typer.Option(help="Where units go, if not systemd's own.")
    ] = None,
    home: Home = HERE,
) -> None:
    """Writes a systemd timer for the nights at 01:55 UTC, and says how it is switched on."""
    with failing():
        Keyring(home, PartyKind.OUTLET).identity()
        place, program = home.resolve(), _program()
        if windows or sys.platform == "win32":
            say(f"{windows_text(program, place)}\n{_CODES}")
            return
        if system:
            units, where, flag = units_of_machine(program, place, _owner(place)), MACHINE, ""
        else:
            config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
            units, where = units_of_user(program, place), Path(config) / "systemd" / "user"
            flag = " --user"
        where = folder or where
        where.mkdir(parents=True, exist_ok=True)
        for name, text in units.items():
            (where / name).write_text(text, encoding="utf-8")
            say(f"{where / name}: written")
        steps = [f"systemctl{flag} daemon-reload", f"systemctl{flag} enable --now {TIMER}"]
        if not system:  # else it waits until somebody logs in
            steps.append(f"loginctl enable-linger {getpass.getuser()}")
        say("\n".join(["Switch it on:", *(f"  {step}" for step in steps), _CODES]))


def _program() -> Path:
    """This program's own command.

    Raises:
        NotConfigured: If it is not beside its interpreter.
    """
    found = shutil.which("escapement-outlet", path=str(Path(sys.executable).parent))
    if found is None:
        raise NotConfigured(
            f"{Path(sys.executable).parent}: no escapement-outlet in it, expected where it is "
            "installed; install this program there, and run it from there"
        )
    return Path(found)


def _owner(home: Path) -> str:
    """Whose an outlet's folder is."""
    return home.owner()
