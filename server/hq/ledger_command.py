"""`escapement-hq ledger`: HQ's copy of the office's ledger, for an office that lost its own."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from privacy.identity import PartyKind
from privacy.keyring import Keyring, write_private
from server.holder.console import Home, one_line_errors, say
from server.holder.locks import NIGHT_LOCK, locked
from server.hq.errors import NightRuns
from server.hq.registry import Registry
from server.hq.settings import HqFile
from server.hq.tables import HQ

HERE = Path("hq")

ledger_app = typer.Typer(no_args_is_help=True, help="HQ's copy of the privacy office's ledger.")


@ledger_app.command("export")
def export(file: Path, home: Home = HERE) -> None:
    """Writes HQ's copy of the office's ledger, for `escapement-office ledger reconcile`.

    There is no secret in it: names of nights and releases, and what each cost.
    """
    with one_line_errors(), closing(_opened(home)) as registry:
        copy = registry.ledger_copy()
        write_private(file, copy.encode())
        say(f"{file}: {len(copy.entries)} entries; give it to the privacy office.")


@ledger_app.command("accept")
def accept(
    file: Annotated[Path, typer.Argument(help="Where HQ's old copy is kept.")],
    home: Home = HERE,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,  # noqa: FBT002  (a flag on the command line)
) -> None:
    """Begins HQ's copy anew, where the office said that its ledger is lost for good.

    Only where `escapement-office ledger reconcile FILE` cannot be done with HQ's copy any more. The
    old copy is written to a file first.
    """
    with one_line_errors(), closing(_opened(home)) as registry:
        copy = registry.ledger_copy()
        if not yes:
            typer.confirm(
                f"Could the office not bring these {len(copy.entries)} entries back, and did it "
                "charge a whole year?",
                abort=True,
            )
        with locked(home / NIGHT_LOCK) as free:
            if not free:
                raise NightRuns
            write_private(file, copy.encode())
            registry.forget_ledger()
        say(f"{file}: the old copy. The next night takes the office's ledger as it is.")


def _opened(home: Path) -> Registry:
    Keyring(home, PartyKind.HQ).identity()
    return Registry(HQ.url(home, HqFile.read(home / "hq.toml").database))
