"""Consents of people: renewed, given after a withdrawal, imported and exported as files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

from outlet_client.commands.consents import export_consents
from outlet_client.errors import ConsentRefused
from outlet_client.people.consents import Recorded
from outlet_client.people.people_store import People, State
from privacy.registrations import RegistrationAct, nonce_of
from tests.outlet_client.consent_imports import import_consents
from tests.outlet_client.registering_outlet import ANNA, BEN, NOON, Outlet, outlet, registered

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["outlet"]


def test_consent_after_a_withdrawal_gives_a_fresh_secret(outlet: Outlet) -> None:
    first, _ = outlet.lists(ANNA)
    outlet.clock.later()
    outlet.people.withdraw(outlet.key(ANNA))
    outlet.sends(2)
    outlet.sees(2, {})
    assert outlet.consents(ANNA) is Recorded.NEW
    [act] = registered(outlet.sends(3))
    assert act.shown != first


def test_consent_while_a_withdrawal_is_under_way_waits_for_it(outlet: Outlet) -> None:
    nonce, _ = outlet.lists(ANNA)
    outlet.clock.later()
    outlet.people.withdraw(outlet.key(ANNA))
    assert outlet.consents(ANNA) is Recorded.NEW
    assert outlet.state(ANNA) is State.WITHDRAWING
    assert nonce_of(outlet.sends(2)[0].shown) == nonce
    outlet.sees(2, {})
    assert outlet.state(ANNA) is State.EVALUATED
    assert outlet.sends(3)[0].act is RegistrationAct.REGISTER


def test_a_second_consent_is_history_and_moves_nobody(outlet: Outlet) -> None:
    outlet.lists(ANNA)
    assert outlet.consents(ANNA) is Recorded.NEW
    assert outlet.state(ANNA) is State.LISTED
    assert len(outlet.people.consents()) == 2
    outlet.clock.later()
    outlet.people.withdraw(outlet.key(ANNA))
    assert outlet.people.consents()["withdrawn_at"].null_count() == 0


def test_a_consent_that_is_imported_again_does_not_undo_a_withdrawal(
    outlet: Outlet, tmp_path: Path
) -> None:
    file = tmp_path / "consents.csv"
    row = {"phone": "8123 4567", "email": "", "notice": "n", "recorded_at": "2026-03-01T10:00:00Z"}
    pl.DataFrame([{**row, "recorded_by": "mei"}]).write_csv(file)
    counts = [import_consents(file, outlet.people, "SG", NOON) for _ in range(2)]
    assert counts[0][Recorded.NEW] == 1
    assert counts[1] == {Recorded.NEW: 0, Recorded.ALREADY: 1, Recorded.TOO_OLD: 0}
    outlet.people.withdraw(outlet.key(ANNA))
    import_consents(file, outlet.people, "SG", NOON)
    assert outlet.state(ANNA) is State.WITHDRAWN
    file.write_text(file.read_text().replace("T10:00", "T09:00"))
    assert import_consents(file, outlet.people, "SG", NOON)[Recorded.TOO_OLD] == 1
    assert outlet.state(ANNA) is State.WITHDRAWN


def test_consents_from_a_spreadsheet_are_read_as_it_wrote_them(
    outlet: Outlet, tmp_path: Path
) -> None:
    file = tmp_path / "einwilligungen.csv"
    text = "phone;email;notice;recorded_at;recorded_by\r\n"
    text += "".join(
        f"+65 9123 45{n:02d};;Datenschutz für Kunden;2026-03-01;Zoë\r\n" for n in range(20)
    )
    file.write_bytes(text.encode("cp1252"))
    assert import_consents(file, outlet.people, "SG", NOON)[Recorded.NEW] == 20
    assert set(outlet.people.consents()["recorded_by"]) == {"Zoë"}


def test_exported_consents_are_what_can_be_imported(outlet: Outlet, tmp_path: Path) -> None:
    outlet.consents(ANNA)
    outlet.consents(BEN)
    identifiers = {outlet.key(ANNA): ANNA}
    assert export_consents(tmp_path / "out.csv", outlet.people, identifiers) == (1, 1)
    assert (tmp_path / "out.csv").stat().st_mode & 0o077 == 0
    other = People("sqlite://", b"t" * 32)
    counts = import_consents(tmp_path / "out.csv", other, "SG", outlet.clock.later())
    assert counts[Recorded.NEW] == 1
    assert other.without_token() == [other.local_key(ANNA)]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"phone": "4567", "email": "ben@"}, "row 2, phone"),
        ({"notice": " "}, "row 2, notice"),
        ({"recorded_at": "1 March"}, "row 2, recorded_at"),
        ({"recorded_at": "2026-03-02"}, "row 2, recorded_at: in the future"),
        ({"recorded_by": ""}, "row 2, recorded_by"),
    ],
)
def test_a_bad_row_is_named_without_its_contents_and_nothing_is_recorded(
    outlet: Outlet, tmp_path: Path, change: dict[str, str], place: str
) -> None:
    good = {
        "phone": "+6581234567",
        "email": "",
        "notice": "n",
        "recorded_at": "2026-03-01",
        "recorded_by": "mei",
    }
    pl.DataFrame([good, {**good, **change}]).write_csv(tmp_path / "bad.csv")
    with pytest.raises(ConsentRefused, match=place) as caught:
        import_consents(tmp_path / "bad.csv", outlet.people, "SG", NOON)
    assert "4567" not in str(caught.value)
    assert "March" not in str(caught.value)
    assert outlet.people.consents().is_empty()
    pl.DataFrame([good]).drop("notice").write_csv(tmp_path / "bad.csv")
    with pytest.raises(ConsentRefused, match="column notice: missing"):
        import_consents(tmp_path / "bad.csv", outlet.people, "SG", NOON)
