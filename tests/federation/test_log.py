"""An outlet's log and a real office: killed between storing and answering, and backups."""

from __future__ import annotations

import datetime as dt
import json
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from outlet_client.night.night_steps import Nightly
from outlet_client.people.people_store import People
from outlet_client.records.access_log import LogAct, record_act_in
from outlet_client.services import OFFICE, services_of
from privacy.identity import PartyKind
from privacy.keyring import Keyring
from tests.federation.dying import KILLED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from outlet_client.records.countersigning import LogStanding
    from tests.federation.forked import Forked

pytestmark = pytest.mark.federation

NOTARY = "server.office.notary:Notary.countersign"


def night(home: Path) -> LogStanding:
    """The step of a night that has the log countersigned, after somebody worked that day."""
    record_act_in(home, dt.datetime.now(dt.UTC), LogAct.SIGN_IN, "mei")
    ring = Keyring(home, PartyKind.OUTLET)
    services = services_of(ring)
    services.reach(OFFICE)
    made = Nightly(home, People.open(home, ring.identity()), services, [])
    with closing(made):
        made.countersign()
    assert made.log is not None
    return made.log


def verified(network: Forked, outlet: str = "O1") -> tuple[int, dict[str, object]]:
    done = network.at_outlet(outlet, "log", "verify", "--json")
    found: dict[str, object] = json.loads(done.out)
    return done.code, found


def test_an_office_killed_before_and_after_it_stored_a_statement_leaves_no_gap(
    enrol: Callable[..., Forked],
) -> None:
    network = enrol()
    home, office = network.outlet("O1"), network.folder / "office"
    for when in ("before", "after", "after", "before"):
        dying = network.start_dying(NOTARY, when, 1, "escapement-office", "serve", home=office)
        lost = night(home)
        assert dying.wait(timeout=60) == KILLED
        assert (lost.entries, lost.at, lost.findings) == (0, None, ())
    network.start_office()
    found = night(home)
    assert (found.entries, found.findings) == (5, ())
    code, told = verified(network)
    assert (code, told["statements"], told["countersigned"]) == (0, 2, 5)


def test_a_backup_that_was_brought_back_is_told_of_by_the_next_night_and_nights_go_on(
    enrol: Callable[..., Forked], tmp_path: Path
) -> None:
    network = enrol()
    network.start_office()
    home = network.outlet("O1")
    for _ in range(2):
        night(home)
    copy = tmp_path / "backup.tar.gz"
    assert network.at_outlet("O1", "backup", str(copy)).code == 0
    for _ in range(3):
        assert night(home).findings == ()
    home.rename(tmp_path / "lost")
    assert network.at_outlet("O1", "restore", str(copy)).code == 0
    assert verified(network)[0] == 0
    for _ in range(2):
        [found] = night(home).findings
        assert found.text.startswith(
            "statements 3 to 5 of the privacy office are missing here: this log was restored from "
            "a backup, or cut; what was logged between "
        )
    code, told = verified(network)
    assert (code, told["statements"], told["countersigned"]) == (9, 7, 5)
    logs = network.command(
        "escapement-office", "outlets", "logs", "--json", home=network.folder / "office"
    )
    assert [one["statements"] for one in json.loads(logs.out)] == [7, 0, 0]
