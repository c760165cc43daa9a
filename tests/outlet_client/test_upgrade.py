"""Into a network in which tokens stay at outlets: what an outlet of 0.1 keeps, and what goes."""

from __future__ import annotations

import datetime as dt
import re
import secrets
import sqlite3
import tarfile
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import CliRunner

from outlet_client.commands import upgrade as upgrade_command
from outlet_client.contribution.answer_store import AnswerStore
from outlet_client.database import DATABASES, REVISION, create_databases
from outlet_client.errors import NotConfigured
from outlet_client.log_tables.hash_chain import Link, next_link
from outlet_client.main import app
from outlet_client.night.night_steps import Nightly
from outlet_client.people import network_change
from outlet_client.people.people_store import People, State
from outlet_client.records.log_audit import audit_log
from outlet_client.settings import OutletFile, OutletSettings
from privacy.envelopes import SigningKey
from privacy.identity import Card, PartyKind
from privacy.keyring import Keyring
from privacy.loss import Rho
from privacy.purposes import Purpose
from privacy.two_key_sum import Contribution, Parts, mask_share
from server.holder.shares import renew
from tests.outlet_client.desk_site import kept
from tests.outlet_client.fake_network import Holder, serve_network, stop_servers
from tests.outlet_client.questions import plan_of, seal_of
from tests.outlet_client.test_token_box import spellings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.outlet_client.fake_network import FakeNetwork

DUMPS = Path(__file__).parents[1] / "stores" / "0.1"
NIGHT = dt.datetime(2026, 12, 2, 2, tzinfo=dt.UTC)
"""After the nights of the dumps."""

MAILS = {"C000003": "one@example.com", "C000008": "two@example.com"}
"""Customers of the dump whose identifiers are given here: its keys were thrown away."""

IN_PLACE_OF = {
    "cbe129ef6384a6b77c0e1a88983754d6522f77c50df1a273b2f9eaba98719fc7": "C000003",
    "9c863d6adbfaf28a960fda899f1493c1f0384fc3cc9bb9df2269370eb36cc6e7": "C000008",
}
KNOWN, EVALUATED, SENT, WITHDRAWING, BACK, BURIED = (
    "3541154f218a58b893a394d21280d360fdb138e7bcf31d7fdbef6b04794d0d08",
    "9bb31f4b4dba5f3fe788417022878d7797b7cb27e34ad565e511834d464fad8b",
    "b6c2cea355831437c692902ee9f7adb42ed0862c034e3261f14e41cadb616965",
    "25fa3a2456a2f36e8fa700ca5c60c4acedcfadd798c4cb481c900c09ae9fa980",
    "2dbaa9fec3b17afa0377c008a13ea069788128d787c87782fbbb5aa26d4cc5a3",
    "20cf0d70bcc8599bfacc694cb3387026d429871a115028bb6c19c96769ed5a14",
)
"""People of the dump, all listed there, whom these tests put into other states."""

WITHDRAWN = "03d1f294aa3fa662cd24a238a1aab05da318801cc77beb200283656a76a421a4"
STATES = f"""
UPDATE people SET state = 'known', token = NULL, fingerprint = NULL, secret = NULL, batch = NULL,
    slot = NULL WHERE key = '{KNOWN}';
UPDATE people SET state = 'evaluated', batch = 3, slot = NULL WHERE key = '{EVALUATED}';
UPDATE people SET state = 'sent', batch = 2, slot = NULL WHERE key = '{SENT}';
UPDATE people SET state = 'withdrawing' WHERE key IN ('{WITHDRAWING}', '{BACK}');
UPDATE people SET state = 'buried' WHERE key = '{BURIED}';
UPDATE consents SET withdrawn_at = '2026-11-30T02:12:00.000000+00:00'
    WHERE key IN ('{WITHDRAWING}', '{BACK}', '{BURIED}');
INSERT INTO withdrawals SELECT key, withdrawn_at FROM consents WHERE withdrawn_at IS NOT NULL
    AND key != '{WITHDRAWN}';
INSERT INTO consents VALUES
    ('{BACK}', 'sandbox-1', '2026-11-30T02:13:00.000000+00:00', 'mei', NULL);
INSERT INTO client_decisions (one, other, same, by, at) VALUES ('C000001', 'C000002', 0, 'mei', '');
INSERT INTO submissions VALUES (3, randomblob(500), 0);
"""  # noqa: S608  (our own)

CHANGED = {
    "outlet.db: people", "outlet.db: submissions", "outlet.db: followed", "outlet.db: answers",
    "rights.db: log",
}  # fmt: skip
"""What an upgrade changes: the log by a line about the backup."""

MARKS = {
    f"{file}.db: {table}" for file in ("outlet", "rights", "staff")
    for table in ("store", "alembic_version")
}  # fmt: skip
NEW = {
    "outlet.db: directory_losses", "outlet.db: held_losses", "outlet.db: registration_resyncs",
    "outlet.db: latest_days", "outlet.db: fine_plan", "outlet.db: followed_from",
    "staff.db: forms", "rights.db: wishes",
}  # fmt: skip


class OldOutlet:
    """An outlet's folder as two nights of release 0.1 left it, in a network that was renewed."""

    def __init__(self, place: Path) -> None:
        self.rings = rings = {kind: Keyring(place / kind.value, kind) for kind in PartyKind}
        for kind, ring in rings.items():
            where = "" if kind is PartyKind.OUTLET else "127.0.0.1:9"
            ring.create(kind.value, where, dt.datetime.now(dt.UTC), service_address=where)
        self.ring, self.home = rings[PartyKind.OUTLET], rings[PartyKind.OUTLET].folder
        for kind in (PartyKind.HQ, PartyKind.OFFICE):
            data = rings[kind].public_file.read_bytes()
            self.ring.trust(Card.decode(data, kind), data)
        self.old_key = self.ring.token_key()
        lines = "".join(f"{name},,{mail}\n" for name, mail in MAILS.items())
        for name, text in {
            "escapement.toml": 'ledger = "ledger.csv"\nclients = "clients.csv"\n',
            "clients.csv": f"customer_id,phone,email\n{lines}",
            "book.bin": "a book of the old network",
            f"directory-{'ab' * 16}.bin": "a directory of the old network",
        }.items():
            (self.home / name).write_text(text)
        create_databases(self.home)
        with closing(People.open(self.home, self.ring.identity())) as people:
            self.keys = {
                old: people.local_key(f"mailto:{MAILS[name]}") for old, name in IN_PLACE_OF.items()
            }
        for name in DATABASES:
            (self.home / name).unlink()
        for store in ("outlet", "rights", "staff"):
            self._load(store)
        self.secrets = self._secrets()

    def _load(self, store: str) -> None:
        dump = (DUMPS / f"o1-{store}.sql").read_text()
        for old, key in self.keys.items():
            dump = dump.replace(old, key)
        with closing(sqlite3.connect(self.home / f"{store}.db")) as database:
            database.executescript(dump)
            if store == "outlet":
                database.executescript(STATES)
                self.deleted = self._leave_deleted(database)

    @staticmethod
    def _leave_deleted(database: sqlite3.Connection) -> list[bytes]:
        """Tokens of rows that are gone, and that SQLite did not overwrite."""
        database.execute("PRAGMA secure_delete = OFF")
        gone = [secrets.token_bytes(32) for _ in range(200)]
        rows = [(f"gone {number}", one, one[::-1]) for number, one in enumerate(gone)]
        insert = "INSERT INTO people (key, state, token, secret) VALUES (?, 'known', ?, ?)"
        database.executemany(insert, rows)
        database.commit()
        database.execute("DELETE FROM people WHERE key LIKE 'gone %'")
        database.commit()
        return gone

    def _secrets(self) -> list[bytes]:
        """What must not be in the store any more: tokens, secrets, what was to be handed in."""
        query = "SELECT token, fingerprint, secret FROM people"
        with closing(sqlite3.connect(self.home / "outlet.db")) as database:
            found = [one for row in database.execute(query) for one in row]
            found += [one for (one,) in database.execute("SELECT sealed FROM submissions")]
        data = (self.home / "outlet.db").read_bytes()
        return [one for one in found if one] + [one for one in self.deleted if one in data]

    def renews(self) -> None:
        """HQ and the privacy office renew the token key."""
        for kind in (PartyKind.HQ, PartyKind.OFFICE):
            renew(self.rings[kind])

    def run(self, *words: object) -> tuple[int, str]:
        said = [str(word) for word in (*words, "--home", self.home)]
        done = CliRunner().invoke(app, said)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, " ".join(done.output.split())

    def upgrade(self) -> str:
        files = (self.rings[kind].public_file for kind in (PartyKind.HQ, PartyKind.OFFICE))
        hq, office = files
        code, said = self.run("upgrade", "--hq", hq, "--office", office)
        assert code == 0, said
        return said

    def people(self) -> People:
        made = People.open(self.home, self.ring.identity())
        made._clock = lambda: NIGHT
        return made

    def states(self) -> dict[str, str]:
        with closing(sqlite3.connect(self.home / "outlet.db")) as database:
            return dict(database.execute("SELECT key, state FROM people"))

    def result(self) -> dict[str, list[tuple[object, ...]]]:
        """All that stands in the databases, but the log's lines about backups."""
        found = kept(self.home)
        found["rights.db: log"] = [row for row in found["rights.db: log"] if row[2] != "export"]
        return found


@pytest.fixture
def old(tmp_path: Path) -> OldOutlet:
    made = OldOutlet(tmp_path)
    made.renews()
    return made


@pytest.fixture(scope="module")
def after(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[object, ...]]]:
    """What an upgrade that nothing disturbs leaves."""
    made = OldOutlet(tmp_path_factory.mktemp("undisturbed"))
    made.renews()
    made.upgrade()
    return with_names(made, made.result())


def with_names(
    old: OldOutlet, found: dict[str, list[tuple[object, ...]]]
) -> dict[str, list[tuple[object, ...]]]:
    """The same with the keys of the dump in place of those of this very folder."""
    names = {key: old for old, key in old.keys.items()}
    return {
        table: [
            tuple(names.get(cell, cell) if isinstance(cell, str) else cell for cell in row)
            for row in rows
        ]
        for table, rows in found.items()
        if table != "outlet.db: submissions"
    }


# --- what stays -----------------------------------------------------------------------------------


def test_consents_withdrawals_decisions_events_staff_and_the_log_stay(old: OldOutlet) -> None:
    before = kept(old.home)
    assert "35 people with a standing consent" not in (said := old.upgrade())
    assert "32 people with a standing consent wait for a token, 3 without one stay away" in said
    after = kept(old.home)
    assert set(after) == set(before) | NEW | MARKS
    for mark in MARKS:
        assert after[mark] == [(REVISION,) if "alembic" in mark else (mark.partition(".")[0],)]
    for table in set(before) - CHANGED:
        found = zip(after[table], before[table], strict=True)  # columns may have been added
        assert [row[: len(own)] for row, own in found] == before[table], table
    assert all(after[table] == [] for table in NEW)
    log = len(before["rights.db: log"])
    assert after["rights.db: log"][:log] == before["rights.db: log"]
    [added] = after["rights.db: log"][log:]
    assert added[2:] == ("export", added[3], "", "", "a backup", "", added[8])
    assert len(before["outlet.db: consents"]) == 36
    assert before["staff.db: staff"]


def test_the_logs_chain_is_whole_and_nothing_is_found_that_was_not_before(old: OldOutlet) -> None:
    office = old.rings[PartyKind.OFFICE].identity().card.verify_key

    def audited() -> tuple[int, list[str]]:
        with closing(sqlite3.connect(old.home / "rights.db")) as store:
            [[number, start]] = store.execute("SELECT number, hash FROM log_anchor").fetchall()
            link = Link(number, start)
            cells = 'at, act, "by", purpose, "key", about, outcome'
            rows = store.execute(f"SELECT hash, {cells} FROM log ORDER BY number").fetchall()  # noqa: S608  (our own)
        for hash_, *row in rows:
            link = next_link(link, row)
            assert link.hash == hash_
        found = audit_log(old.home, office, "O1", NIGHT)  # of an office whose key was thrown away
        return link.number, [one.text for one in found.findings]

    before, findings = audited()
    old.upgrade()
    assert audited() == (before + 1, findings)


def test_who_has_a_standing_consent_is_known_and_others_stay_away(old: OldOutlet) -> None:
    before = old.states()
    old.upgrade()
    states = old.states()
    assert list(states) == list(before)  # in the order in which they came
    gone = {WITHDRAWN: "withdrawn", WITHDRAWING: "withdrawn", BURIED: "buried"}
    assert {key: state for key, state in states.items() if state != "known"} == gone
    assert states[KNOWN] == states[EVALUATED] == states[SENT] == states[BACK] == "known"
    with closing(old.people()) as people:
        assert people.counts()[State.KNOWN] == 32
        assert people.in_no_directory() == 0
        assert people.withdraw(KNOWN) is State.WITHDRAWN  # nothing of them left
        rows = kept(old.home)["outlet.db: people"]
    assert {row[2:] for row in rows} == {(None,) * 6 + (0, 0, 0, None)}


def test_a_new_consent_brings_back_who_stayed_away(old: OldOutlet) -> None:
    old.upgrade()
    with closing(old.people()) as people:
        for key in (WITHDRAWN, WITHDRAWING, BURIED):
            people.record_consent(key, "n", "mei", NIGHT)
            person = people.person(key)
            assert person is not None
            assert (person.state, person.slot_key) == (State.KNOWN, None)


def test_no_byte_of_an_old_token_secret_or_message_is_in_the_store(old: OldOutlet) -> None:
    place = old.home / "outlet.db"
    data = place.read_bytes()
    assert len(old.secrets) > 150
    assert old.secrets[-1] in old.deleted
    assert all(secret in data for secret in old.secrets)
    old.upgrade()
    data = b"".join(file.read_bytes() for file in old.home.glob("outlet.db*"))
    for secret in old.secrets:
        assert not any(spelled in data for spelled in spellings(secret) if len(spelled) > 7)
    assert not list(old.home.glob("directory-*.bin"))
    assert not (old.home / "book.bin").exists()


def test_what_was_spent_before_is_counted_and_what_was_answered_is_known(old: OldOutlet) -> None:
    rows = kept(old.home)["outlet.db: answers"]
    costs = {purpose: Fraction(0) for _, _, purpose, *_ in rows}
    for _, _, purpose, cost, *_ in rows:
        costs[purpose] += Fraction(str(cost))
    of_events = costs.pop("points")  # with noise for events, which is nobody's promise any more
    expected = Rho(sum(costs.values()))
    assert expected > 0 < of_events
    old.upgrade()
    after = kept(old.home)["outlet.db: answers"]
    assert [row[: len(before)] for row, before in zip(after, rows, strict=True)] == rows
    store = AnswerStore(f"sqlite:///{old.home / 'outlet.db'}")
    with closing(store), store.transaction() as answers:
        assert answers.spent(int(NIGHT.timestamp())) == expected
        assert answers.connection.exec_driver_sql("SELECT DISTINCT salt FROM answers").all() == [
            (b"",)
        ]


def test_answers_of_the_new_network_are_kept_beside_the_old_ones(old: OldOutlet) -> None:
    old.upgrade()
    plan, seal = plan_of(Purpose.MOMENTS, 4, 1.0, "2026-06-01"), seal_of(3, "2026-12-02")
    digest, other, key = "d1" * 32, "d2" * 32, SigningKey.generate()
    share = mask_share(Contribution(np.ones((2, 4))), plan, digest, "O1", key)
    sealed = mask_share(Parts(np.ones((2, 3), np.int64), np.arange(2)), seal, other, "O1", key)
    at = int(NIGHT.timestamp())
    store = AnswerStore(f"sqlite:///{old.home / 'outlet.db'}")
    with closing(store):
        with store.transaction() as answers:
            before = answers.spent(at)
            answers.add(plan, digest, share, at)
            answers.add(seal, other, sealed, at)
        with store.transaction() as answers:
            again = answers.answer(plan, digest), answers.answer(seal, other)
            cost = plan.rho()
            assert cost is not None
            assert answers.spent(at) == Rho(before + cost)
    for made, found in zip((share, sealed), again, strict=True):
        assert found is not None
        assert (found.salt, found.envelope) == (made.salt, made.envelope)
        assert (found.vector.dtype, found.vector.tolist()) == (
            made.vector.dtype,
            made.vector.tolist(),
        )


FLOORS = """\
ledger = "ledger.csv"

[floors]  # ours: not least_event_noise
least_quorum = 4
least_event_noise = 0.123
"""


def test_a_floor_that_is_gone_is_refused_and_an_upgrade_takes_it_out(
    old: OldOutlet,
) -> None:
    place = old.home / "escapement.toml"
    place.write_text(FLOORS)
    with pytest.raises(NotConfigured, match=r"line 5: least_event_noise is gone.*delete that line"):
        OutletFile.read(place)
    said = old.upgrade()
    assert "took out floors.least_event_noise, which means nothing any more" in said
    assert 'put region = "SG" in, which was meant where nothing was said; is it yours?' in said
    left = FLOORS.replace("least_event_noise = 0.123\n", "")
    assert place.read_text() == f'region = "SG"\n{left}'
    assert OutletFile.read(place).floors == OutletSettings(least_quorum=4)


def test_points_cannot_be_without_noise_since_they_have_none(old: OldOutlet) -> None:
    place = old.home / "escapement.toml"
    place.write_text('ledger = "l.csv"\n[floors]\nnoiseless = ["training", "points"]\n')
    with pytest.raises(NotConfigured, match="points are sealed and have no noise; take them out"):
        OutletFile.read(place)
    place.write_text('ledger = "l.csv"\n[floors]\nnoiseless = ["training"]\n')
    assert OutletFile.read(place).floors.noiseless == {Purpose.TRAINING}


def test_the_backup_holds_the_folder_as_it_was_before(old: OldOutlet, tmp_path: Path) -> None:
    before = kept(old.home)
    assert "delete it when all is well" in old.upgrade()
    copy = old.home / upgrade_command.BACKUP
    assert copy.stat().st_mode & 0o077 == 0
    with tarfile.open(copy) as archive:
        archive.extractall(tmp_path / "again", filter="data")
    again = kept(tmp_path / "again")
    for table in set(before) - {"rights.db: log"}:
        assert again[table] == before[table]
    assert Keyring(tmp_path / "again", PartyKind.OUTLET).token_key() == old.old_key


# --- before, twice, and killed --------------------------------------------------------------------

LOOK = ("--phone", "+6581234567", "--purpose", "sale")


@pytest.mark.parametrize(
    "words",
    [
        ("status",), ("nightly",), ("lookup", *LOOK), ("reasons", *LOOK), ("consent", "show"),
        ("withdraw", "--phone", "+6581234567"), ("directory", "show"), ("duplicates",),
        ("directory", "accept", "--by", "mei"), ("customer", "show", "--phone", "+6581234567"),
        ("allocate", "--reference", "R1", "--pieces", "1"), ("desk",), ("serve",),
    ],
    ids=lambda words: " ".join(words[:2]),
)  # fmt: skip
def test_before_the_upgrade_a_command_says_what_to_do_and_changes_nobody(
    old: OldOutlet, words: tuple[str, ...]
) -> None:
    before = kept(old.home)
    code, said = old.run(*words)
    assert code == 1
    assert ".db: got revision none of the tables" in said
    assert "an earlier release made it. Run `escapement-outlet upgrade`" in said
    after = kept(old.home)
    assert {table: after[table] for table in before} == before


def test_doctor_says_what_to_do_too(old: OldOutlet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outlet_client.commands.doctor.REACH_SECONDS", 0.1)
    code, said = old.run("doctor")
    assert code == 1
    assert "✗ directory: outlet.db: got revision none of the tables" in said


def test_an_upgrade_out_of_the_old_network_needs_the_new_public_files(old: OldOutlet) -> None:
    before = kept(old.home)
    code, said = old.run("upgrade")
    assert code == 1
    assert "outlet.db: of a network in which HQ held tokens, as release 0.1 made them" in said
    assert "run `escapement-outlet upgrade` with HQ's and the privacy office's new" in said
    assert kept(old.home) == before


def test_a_second_upgrade_changes_nothing(old: OldOutlet) -> None:
    old.upgrade()
    (old.home / "book.bin").write_text("a book of the new network")
    found, files = kept(old.home), {file.name for file in old.home.iterdir()}
    assert old.upgrade() == "outlet.db is of this network already."
    assert kept(old.home) == found
    assert {file.name for file in old.home.iterdir()} == files


def test_cards_of_another_party_or_kind_are_refused_and_nothing_is_moved(
    old: OldOutlet, tmp_path: Path
) -> None:
    before = old.states()
    strange = Keyring(tmp_path / "strange", PartyKind.HQ)
    strange.create("hq", "127.0.0.1:9", NIGHT, "127.0.0.1:9")
    hq, office = (old.rings[k].public_file for k in (PartyKind.HQ, PartyKind.OFFICE))
    altered = tmp_path / "altered.json"
    altered.write_text(re.sub(r'"token_key": "..', '"token_key": "00', hq.read_text()))
    for one, other, reason in (
        (strange.public_file, office, "hq hq: another card is trusted; `replace` it"),
        (altered, office, "card: not signed by its own key"),
        (office, hq, "card: got one of office, expected one of hq"),
        (tmp_path / "none", office, "No such file"),
    ):
        code, said = old.run("upgrade", "--hq", one, "--office", other)
        assert (code != 0, reason in said) == (True, True), said
        assert old.states() == before
        assert old.ring.token_key() == old.old_key


class Killed(BaseException):
    """As if the process had ended there."""


def killing(where: Callable[..., Any], turn: int = 1, *, before: bool = True) -> Callable[..., Any]:
    """The same function, killed at one of its calls, before or after it did its work."""
    calls = 0

    def killed(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == turn and before:
            raise Killed
        done = where(*args, **kwargs)
        if calls == turn:
            raise Killed
        return done

    return killed


KILLS: dict[str, tuple[object, str, int, bool]] = {
    "before the backup": (upgrade_command, "copy_folder", 1, True),
    "within the backup": (tarfile.TarFile, "add", 5, True),
    "after the backup": (upgrade_command, "copy_folder", 1, False),
    "between the cards": (Keyring, "trust", 2, True),
    "after the cards": (Keyring, "trust", 2, False),
    "before a file of the old network goes": (Path, "unlink", 1, True),
    "after it went": (Path, "unlink", 1, False),
    "before people are moved": (network_change, "_move", 1, True),
    "before that is committed": (network_change, "_move", 1, False),
    "once it is committed": (upgrade_command, "move_people", 1, False),
    "before the file is overwritten": (upgrade_command, "overwrite_deleted", 1, True),
    "after it was overwritten": (upgrade_command, "overwrite_deleted", 1, False),
}


@pytest.mark.parametrize("when", KILLS)
def test_killed_at_any_step_and_run_again_it_ends_the_same(
    old: OldOutlet,
    after: dict[str, list[tuple[object, ...]]],
    monkeypatch: pytest.MonkeyPatch,
    when: str,
) -> None:
    place, name, turn, before = KILLS[when]
    with monkeypatch.context() as patched:
        patched.setattr(place, name, killing(getattr(place, name), turn, before=before))
        with pytest.raises(Killed):
            old.upgrade()
    old.upgrade()
    assert with_names(old, old.result()) == after
    data = b"".join(file.read_bytes() for file in old.home.glob("outlet.db*"))
    assert not any(secret in data for secret in old.secrets)
    assert not list(old.home.glob("directory-*.bin"))
    assert not (old.home / "book.bin").exists()
    assert old.ring.token_key() != old.old_key
    assert not list(old.home.glob("before-upgrade.unfinished*"))
    with tarfile.open(old.home / upgrade_command.BACKUP) as archive:
        assert {"identity.json", "outlet.db", "rights.db", "staff.db"} <= set(archive.getnames())


# --- the nights after it --------------------------------------------------------------------------


@pytest.fixture
def network(old: OldOutlet) -> Iterator[FakeNetwork]:
    """HQ and the office with their new shares; the outlet has moved."""
    old.upgrade()
    hq, office = old.rings[PartyKind.HQ], old.rings[PartyKind.OFFICE]
    at_hq, at_office = Holder(), Holder()
    at_hq.share, at_office.share = hq.token_share(), office.token_share()
    made, _ = serve_network(hq.identity(), office.identity(), old.ring.identity(), at_hq, at_office)
    yield made
    made.services.close()
    stop_servers()


def test_the_nights_after_it_ask_for_tokens_of_the_new_key_and_list_people_again(
    old: OldOutlet, network: FakeNetwork
) -> None:
    people = old.people()
    night = Nightly(old.home, people, network.services, [])
    with closing(night):
        assert network.pinned == old.ring.token_key() != old.old_key
        night.introduce()
        assert night.refusals == []
        assert night.introduced is not None
        assert (night.introduced.evaluated, night.introduced.registered) == (2, 2)
        keys = {network.key(f"mailto:{mail}") for mail in MAILS.values()}
        assert {act.key for act in network.opened(1) if any(act.key)} == keys
        assert {act.since for act in network.opened(1)} == {0}
        network.shown(people)
        assert people.counts()[State.LISTED] == 2
        assert "2 listed" in old.run("status")[1]
