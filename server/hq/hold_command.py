"""`escapement-hq held`: what waits for a person, and who accepted what was held back, and why."""

from __future__ import annotations

import datetime as dt
import logging
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server.holder.console import AsJson, Home, checked_words, one_line_errors, print_json, say
from server.holder.locks import NIGHT_LOCK, locked
from server.hq.errors import NightOpen, NightRuns
from server.hq.holds import Acceptance, HeldKind, HoldStore
from server.hq.night_record import NightRecords
from server.hq.registry_renewal import open_hq
from server.hq.settings import HqFile
from server.hq.tables import HQ

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server.hq.holds import Hold

HERE = Path("hq")

_LOG = logging.getLogger(__name__)

held_app = typer.Typer(help="Scorecards and calibrations that wait for a person to accept them.")


@held_app.callback(invoke_without_command=True)
def held(context: typer.Context, home: Home = HERE, as_json: AsJson = False) -> None:  # noqa: FBT002  (a flag on the command line)
    """Lists what was held back, the oldest first, with the reason, and who accepted it and why.

    Scorecards or a calibration are held back where private counts rank customers worse than before
    by more than three standard deviations. Bands go on meanwhile by those that stand.
    """
    if context.invoked_subcommand is not None:
        return
    with one_line_errors(), opened_holds(home) as store:
        waits, known = store.held(), store.holds()
        if as_json:
            print_json([{**one.as_json(), "waits": one == waits} for one in known])
            return
        for one in known:
            say(_line(one, waits))
        if not known:
            say("Nothing was held back yet.")


@held_app.command("accept")
def accept(
    night: Annotated[str, typer.Argument(help="The night that held it back.")],
    by: Annotated[str, typer.Option(help="Who accepts it: a person's name.")],
    reason: Annotated[str, typer.Option(help="Why it is right as it is.")],
    home: Home = HERE,
) -> None:
    """Lets stand what a night held back: a calibration at once, scorecards by the next night's.

    Who, when and why is kept for good. Ask outlets first what changed in their ledgers: one whose
    outcomes are wrong makes the counts worse, and HQ cannot see which it is.
    """
    with one_line_errors():
        said = Acceptance(
            int(time.time()), checked_words("--by", by), checked_words("--reason", reason)
        )
        with locked(home / NIGHT_LOCK) as free, opened_holds(home) as store:
            if not free:
                raise NightRuns
            unfinished = NightRecords(home).unfinished(dt.datetime.now(dt.UTC))
            if unfinished is not None:  # it goes on with what stood when it began
                raise NightOpen(unfinished.night)
            done = store.accept(night, said)
        _LOG.info("held: %s of night %s accepted by %s", done.kind, done.night, said.by)
        then = {
            HeldKind.CALIBRATION: "Its cuts stand: the next night seals bands by them.",
            HeldKind.SCORECARD: "The next night calibrates these scorecards.",
        }[done.kind]
        say(f"The {done.kind} of night {done.night} is accepted by {said.by}. {then}")


@contextmanager
def opened_holds(home: Path) -> Iterator[HoldStore]:
    """What was held back, of a folder; nothing there changes by opening it.

    Raises:
        HolderError: If HQ's settings or its store cannot be read.
    """
    engine = open_hq(HQ.url(home, HqFile.database_of(home / "hq.toml")))
    try:
        yield HoldStore(engine)
    finally:
        engine.dispose()


def _line(one: Hold, waits: Hold | None) -> str:
    if one.accepted is not None:
        day = dt.datetime.fromtimestamp(one.accepted.at, dt.UTC).date()
        end = f"accepted by {one.accepted.by} on {day}: {one.accepted.why}"
    elif one == waits:
        return f"WAITS: {one.said}"
    else:
        end = "never accepted: others took its place"
    return f"{one.kind} of night {one.night}: {'; '.join(one.reasons)}; {end}"
