"""What HQ's `doctor` and `status` say of the office: its ledger, its directory, its card."""

from __future__ import annotations

import datetime as dt
import shutil
from contextlib import ExitStack, closing
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from privacy.budget import LedgerForked
from privacy.directory import Directory, DirectoryChanges
from privacy.identity import PartyKind, Renewed
from privacy.loss import Rho
from privacy.plans import PlannedReleases
from privacy.purposes import Purpose
from server.holder.doctor import Standing, look_at
from server.hq.errors import OfficeUnreachable
from server.hq.health import hq_checks
from server.hq.hq_status import HqStatus
from server.hq.night_record import NightJournal, NightRecords
from server.hq.office_client import OfficeClient
from server.hq.registry import Registry
from server.hq.report import NightReport
from server.hq.tables import HQ
from server.office.health import office_checks
from tests.privacy.slots import rows_of
from tests.server.registrations import NETWORK
from tests.server.test_holder import Parties

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from server.holder.doctor import Finding

NOW = dt.datetime(2026, 3, 1, 2, tzinfo=dt.UTC)
LEDGER, DIRECTORY, OFFICE = "the office's ledger", "the office's directory", "the privacy office"


class Apart:
    """HQ and an office, each with its folder, and what HQ's doctor finds."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.stack = stack
        self.parties = Parties(folder, stack)
        self.hq, self.office = self.parties.hq, self.parties.office
        self.serving = ExitStack()
        stack.callback(self.stop)

    def serve(self) -> None:
        self.parties.stack = self.serving
        self.parties.run(PartyKind.OFFICE)

    def stop(self) -> None:
        self.serving.close()

    def client(self, registry: Registry | None = None) -> OfficeClient:
        card = self.hq.peer(PartyKind.OFFICE)
        made = OfficeClient.connect(self.hq.identity(), card, 20.0, registry)
        return self.stack.enter_context(closing(made))

    def registry(self) -> Registry:
        made = Registry(HQ.url(self.hq.folder))
        return self.stack.enter_context(closing(made))

    def plan(self, night: str) -> None:
        """Has the office enter a night into its ledger, and HQ copy the entry."""
        cut_off = str(dt.datetime.now(dt.UTC).date() - dt.timedelta(days=180))
        lines = [PlannedReleases(Purpose.EVALUATION, 1, Rho(Fraction("1e-6")))]
        self.client(self.registry()).sign_night(night, cut_off, lines)

    def findings(self) -> dict[str, Finding]:
        return {one.name: one for one in look_at(hq_checks(self.hq.folder))}


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[Apart]:
    with ExitStack() as stack:
        yield Apart(tmp_path, stack)


# --- the ledger and the directory ---------------------------------------------------------------


def test_a_ledger_that_went_back_is_a_fault_and_doctor_takes_nothing_into_the_copy(
    apart: Apart,
) -> None:
    apart.serve()
    apart.plan("n1")
    apart.stop()
    file, copy = apart.office.folder / "office.db", apart.office.folder / "yesterday"
    shutil.copy(file, copy)
    apart.serve()
    before = apart.registry().ledger_position()
    assert apart.findings()[LEDGER].standing is Standing.OK
    apart.plan("n2")
    after = apart.registry().ledger_position()
    assert after.length > before.length
    apart.stop()
    shutil.copy(copy, file)
    apart.serve()
    found = apart.findings()
    assert found[LEDGER].standing is Standing.FAULT
    assert f"does not go on from entry {after.length}" in found[LEDGER].text
    assert "escapement-office ledger reconcile FILE" in found[LEDGER].text
    assert found[DIRECTORY].standing is Standing.NOTE
    assert apart.registry().ledger_position() == after


def test_what_doctor_sees_of_a_longer_ledger_is_not_kept(apart: Apart) -> None:
    apart.serve()
    apart.plan("n1")
    known, longer = apart.registry().ledger_position(), Registry("sqlite://")
    assert known.length == 1
    assert apart.client(longer).check_ledger() == known
    assert longer.ledger_position().length == 0


def test_an_hq_that_is_an_older_copy_is_told_to_take_the_offices_directory_over(
    apart: Apart,
) -> None:
    apart.serve()
    assert apart.findings()[DIRECTORY].standing is Standing.OK
    directory = Directory(1, rows_of(1, 2, 3))
    client = apart.client()
    client.collect_batch(1)  # the relay goes on after it
    changes = DirectoryChanges.between(Directory.empty(), directory)
    client.countersign_directory(NETWORK, changes, {}, None)
    found = apart.findings()
    assert found[LEDGER].standing is Standing.OK
    assert found[DIRECTORY].standing is Standing.FAULT
    assert "countersigned one of batch 1, HQ's registry is of batch 0" in found[DIRECTORY].text
    assert "run `escapement-hq restored`" in found[DIRECTORY].text


# --- an old card ----------------------------------------------------------------------------------


def test_who_has_an_old_card_of_the_office_is_told_to_replace_it(apart: Apart) -> None:
    before = apart.office.identity()
    apart.office.renew(dt.datetime.now(dt.UTC), Renewed())
    apart.office.finish()
    apart.serve()
    found = apart.findings()
    assert found[OFFICE].standing is Standing.FAULT
    said = f"{before.card.address} shows another certificate than its card here: run"
    assert said in found[OFFICE].text
    assert "`escapement-hq office replace FILE`" in found[OFFICE].text
    assert [one.name for one in found.values() if one.standing is Standing.FAULT] == [OFFICE]
    with pytest.raises(OfficeUnreachable, match=said):
        apart.client().last_directory()
    apart.stop()
    with pytest.raises(OfficeUnreachable, match="UNAVAILABLE"):
        apart.client().last_directory()


# --- one fault, said once -------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["no_such = 1\n", "listen = \n"], ids=["a typo", "no TOML"])
def test_a_mistake_in_the_settings_is_one_fault(apart: Apart, text: str) -> None:
    for ring, file, checks in (
        (apart.hq, "hq.toml", hq_checks),
        (apart.office, "office.toml", office_checks),
    ):
        (ring.folder / file).write_text(text)
        found = look_at(checks(ring.folder))
        faults = [one for one in found if one.standing is Standing.FAULT and file in one.text]
        assert [one.name for one in faults] == ["settings"]
        notes = [one.text for one in found if "not looked at" in one.text]
        assert "not looked at until this is right: settings" in notes


# --- status ---------------------------------------------------------------------------------------


class Told:
    """HQ's records of nights, and what its status says of them."""

    def __init__(self, home: Path) -> None:
        self.home, self.records, self.at = home, NightRecords(home), NOW

    def night(self, name: str, report: NightReport | Exception) -> None:
        self.at += dt.timedelta(days=1)
        begun = self.records.begin(name, "2025-09-01", "2026-03-01", self.at)
        journal = NightJournal(self.records, begun)
        if isinstance(report, Exception):
            journal.fault(report)
        else:
            journal.over(report)

    def status(self) -> HqStatus:
        return HqStatus.of(self.home, self.at)


def test_status_names_a_forked_ledger_until_a_night_finds_it_right(apart: Apart) -> None:
    told = Told(apart.hq.folder)
    told.night("n1", NightReport("n1", ended="complete", ledger=""))
    assert told.status().wrong == ()
    forked = NightReport("n2")
    forked.note_refusal(LedgerForked("ledger: it went back"), resumable=False)
    told.night("n2", forked)
    (wrong,) = told.status().wrong
    assert wrong.startswith("ledger: it went back (found in night n2;")
    assert told.status().complete == told.records.find("n1")
    told.night("n3", OfficeUnreachable("UNAVAILABLE"))  # which says nothing of the ledger
    assert told.status().wrong == (wrong,)
    told.night("n4", NightReport("n4", ended="complete", ledger=""))
    assert told.status().wrong == ()
    told.night("n5", LedgerForked("ledger: it went back again"))
    assert told.status().wrong[0].startswith("ledger: it went back again (found in night n5;")


def test_status_says_when_bands_are_sealed_again(apart: Apart) -> None:
    told = Told(apart.hq.folder)
    assert told.status().as_json()["next_seal"] is None
    told.night("n1", NightReport("n1", ended="complete", next_seal="2026-03-08"))
    told.night("n2", OfficeUnreachable("UNAVAILABLE"))
    assert told.status().as_json()["next_seal"] == "2026-03-08"
    out = Console(record=True, width=200)
    told.status().show(out)
    assert "Bands: sealed again from 2026-03-08 on" in out.export_text()
