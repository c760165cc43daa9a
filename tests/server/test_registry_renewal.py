"""A registry that lists tokens is not opened, and a new token key leaves none of them behind."""

from __future__ import annotations

import datetime as dt
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from typer.testing import CliRunner

from privacy.identity import Card, PartyKind
from privacy.keyring import Keyring
from server.holder.database import create_stores
from server.holder.errors import RefreshRefused
from server.holder.shares import PENDING_FILE, refresh, renew
from server.hq.errors import RegistryOutdated
from server.hq.main import app
from server.hq.model_store import StandingModel
from server.hq.night_assembly import run_night
from server.hq.registry import Registry
from server.hq.registry_renewal import erase
from server.hq.store import HqStore
from server.hq.tables import HQ, HQ_METER
from tests.builders import store_at
from tests.server.hq_sealing import HqBench
from tests.server.registrations import Hq, OfficeOf, Register, Withdraw, nonce
from tests.server.test_holder import introduce

if TYPE_CHECKING:
    from click.testing import Result

DUMP = (Path(__file__).parents[2] / "tests/stores/0.1/hq-hq.sql").read_text()


@pytest.fixture
def ring(tmp_path: Path) -> Keyring:
    """HQ's folder, without a database yet."""
    ring = Keyring(tmp_path / "hq", PartyKind.HQ)
    ring.create("hq", "h:1", dt.datetime.now(dt.UTC), service_address="127.0.0.1:0")
    create_stores(ring.folder, [HQ_METER])
    office = Keyring(tmp_path / "office", PartyKind.OFFICE)
    office.create("dpo", "h:2", dt.datetime.now(dt.UTC))
    introduce(ring, office)
    return ring


@pytest.fixture
def database(ring: Keyring) -> Path:
    """HQ's database as release 0.1 left it."""
    file = ring.folder / "hq.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(DUMP)
    return file


def run(ring: Keyring, *words: str, answer: str = "") -> Result:
    return CliRunner().invoke(app, [*words, "--home", str(ring.folder)], input=answer)


def secrets_of(dump: str) -> list[bytes]:
    """The tokens, nonces, fingerprints and tags of the slots of release 0.1."""
    rows = re.findall(r"""INSERT INTO "slots" VALUES\((.*)\);""", dump)
    return [bytes.fromhex(found) for row in rows for found in re.findall(r"X'([0-9A-F]+)'", row)]


def test_a_registry_of_release_0_1_is_refused_with_what_to_do(
    ring: Keyring, database: Path
) -> None:
    before = database.read_bytes()
    with pytest.raises(RegistryOutdated, match=r"hq\.db: .*`escapement-hq tokens renew`.*docs/upg"):
        Registry(f"sqlite:///{database}")
    assert database.read_bytes() == before
    with pytest.raises(RegistryOutdated):
        run_night(ring.folder, "n1", None)
    for words in (["serve"], ["night"]):
        said = run(ring, *words)
        assert said.exit_code == 2  # as of wrong settings
        assert said.output.startswith("error: ")
        assert "tokens renew" in said.output


def test_a_renewal_leaves_no_token_of_release_0_1_in_hqs_folder(
    ring: Keyring, database: Path
) -> None:
    hidden = secrets_of(DUMP)
    assert len(hidden) > 200
    assert all(one in database.read_bytes() for one in hidden)
    share, certificate = ring.token_share(), ring.identity().card.certificate

    said = run(ring, "tokens", "renew", "--yes")
    assert said.exit_code == 0, said.output
    for word in ("escapement-office tokens renew", str(ring.public_file), "Fingerprint: "):
        assert word in said.output
    kept = b"".join(file.read_bytes() for file in ring.folder.rglob("*") if file.is_file())
    assert not [one for one in hidden if one in kept]
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA freelist_count").fetchone() == (0,)

    card = Card.decode(ring.public_file.read_bytes(), PartyKind.HQ)
    assert card == ring.identity().card
    assert card.certificate == certificate
    assert card.token_key == ring.token_share().public.hex() != share.public.hex()
    assert ring.token_share().epoch == 0

    registry, store = (
        Registry(f"sqlite:///{database}"),
        HqStore(f"sqlite:///{database}"),
    )
    assert registry.directory().slots == registry.last_batch() == 0
    assert registry.network() is registry.latest_book() is registry.latest_directory() is None
    assert store.models(("y_loyal", "y_flipped")) == []  # of another catalogue: trained anew
    assert store.standing_seal() is None


def test_a_renewal_asks_before_it_erases(ring: Keyring, database: Path) -> None:
    before, share = database.read_bytes(), ring.token_share().public
    said = run(ring, "tokens", "renew", answer="n\n")
    assert said.exit_code == 1
    assert f"in {database}?" in said.output
    assert (database.read_bytes(), ring.token_share().public) == (before, share)
    assert run(ring, "tokens", "renew", answer="y\n").exit_code == 0
    assert ring.token_share().public != share


def die(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("step", ["renew", "erase"])
def test_a_renewal_that_was_killed_before_its_end_is_demanded_again(
    ring: Keyring, database: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(f"server.hq.main.{step}", die)
        run(ring, "tokens", "renew", "--yes")
    with pytest.raises(RegistryOutdated):
        Registry(f"sqlite:///{database}")
    assert run(ring, "tokens", "renew", "--yes").exit_code == 0
    Registry(f"sqlite:///{database}").close()


def test_a_renewal_that_was_killed_before_it_made_the_file_smaller_left_no_token_in_it(
    ring: Keyring, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("server.hq.registry_renewal._shrink", die)
        run(ring, "tokens", "renew", "--yes")
    Registry(f"sqlite:///{database}").close()  # nobody would be told to run it again
    data = database.read_bytes()
    assert not [one for one in secrets_of(DUMP) if one in data]


def test_a_registry_of_this_release_is_erased_alike_and_its_scorecards_stay(
    ring: Keyring,
) -> None:
    file = ring.folder / "hq.db"
    store = HqStore(store_at(f"sqlite:///{file}", HQ))
    standing = StandingModel("y_loyal", "n1", 5, b"a scorecard", np.eye(2), (-4, 10))
    store.save_models([standing])
    sealed = HqBench(url=f"sqlite:///{file}")
    seal = sealed.seal()
    vectors = [share.vector.tobytes() for share in sealed.given.values()]
    hq = Hq(Registry(store_at(f"sqlite:///{file}", HQ)))
    hq.apply(Register(0, 0))
    hq.apply(Withdraw(0, 0), Register(1, 1))
    directory = OfficeOf().announce(hq.registry)
    hq.registry.draft(1, directory.digest, b"a book that was signed")
    hq.registry.close()
    before = file.read_bytes()
    assert all(one in before for one in (nonce(1), sealed.entries(seal).body, *vectors))
    assert run(ring, "tokens", "renew", "--yes").exit_code == 0
    entries = sealed.entries(seal).body
    for hidden in (
        nonce(1), directory.keys[1].tobytes(), b"a book that was signed", entries, *vectors
    ):  # fmt: skip
        assert hidden not in file.read_bytes()
    store = HqStore(store_at(f"sqlite:///{file}", HQ))
    assert store.standing_seal() is None
    found = store.model("y_loyal")
    assert found is not None
    assert (found.scorecard, found.cuts) == (b"a scorecard", (-4, 10))
    again = Registry(store_at(f"sqlite:///{file}", HQ))
    assert (again.directory().slots, again.last_batch(), again.drafted(directory.digest)) == (
        0, 0, None
    )  # fmt: skip


def test_a_renewal_without_keys_or_database_says_so_or_goes_on(tmp_path: Path) -> None:
    empty = Keyring(tmp_path / "nothing", PartyKind.HQ)
    said = run(empty, "tokens", "renew", "--yes")
    assert said.exit_code == 1
    assert "no keys" in said.output
    fresh = Keyring(tmp_path / "fresh", PartyKind.HQ)
    fresh.create("hq", "h:1", dt.datetime.now(dt.UTC))
    assert run(fresh, "tokens", "renew", "--yes").exit_code == 0


def test_a_renewal_ends_a_refresh_that_was_begun(ring: Keyring) -> None:
    class Gone:
        def refresh_share(self, epoch: int, delta: bytes) -> tuple[int, bytes]:
            if delta:
                raise RefreshRefused("gone")
            return epoch, ring.token_share().public

    with pytest.raises(RefreshRefused, match="gone"):
        refresh(ring, Gone())
    pending = ring.folder / PENDING_FILE
    assert pending.exists()
    share = renew(ring)
    assert not pending.exists()
    assert ring.token_share().public == share.public


def test_sums_that_release_0_1_left_unfinished_are_asked_for_anew(database: Path) -> None:
    """Its envelopes are of another form; a night that read them would end for ever."""
    old = '{"fresh": [{"outlet": "O1", "vector_digest": "00"}], "carried": []}'
    with closing(sqlite3.connect(database)) as connection:
        (release,) = connection.execute("SELECT release FROM releases LIMIT 1").fetchone()
        unfinished = "UPDATE releases SET value = NULL, envelopes = ?, masked_sum = ?, noise = ?"
        connection.execute(f"{unfinished} WHERE release = ?", (old, b"12345678", bytes(8), release))
        connection.commit()
    erase(f"sqlite:///{database}")
    store = HqStore(f"sqlite:///{database}")
    known = store.checkpoint(release)
    assert known is not None
    assert (known.aggregate, known.noise, known.values) == (None, None, None)
    with closing(sqlite3.connect(database)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        finished = connection.execute("SELECT count(*) FROM releases WHERE value IS NOT NULL")
        assert finished.fetchone()[0] > 5
    assert {"kept_answers", "seals", "seal_chunks", "scorecards_in_use"} <= tables
    assert not {"points_answers", "points_sets", "estimates", "fine_books", "models"} & tables
    HqStore(f"sqlite:///{database}").close()


def test_what_release_0_1_opened_of_slots_is_gone_once_its_registry_is_erased(
    database: Path,
) -> None:
    """Noisy sums a slot, estimates, bands and cuts of another law; what was charged stays."""
    with closing(sqlite3.connect(database)) as connection:
        of_points = "FROM releases WHERE release LIKE '%-points'"
        opened = [bytes(value) for (value,) in connection.execute(f"SELECT value {of_points}")]
        opened += [bytes(one) for (one,) in connection.execute("SELECT payload FROM estimates")]
        opened += [bytes(one) for (one,) in connection.execute("SELECT bands FROM models")]
        others = connection.execute("SELECT count(*) FROM releases").fetchone()[0]
    assert len(opened) >= 4
    assert all(one in database.read_bytes() for one in opened if len(one) < 2000)
    erase(f"sqlite:///{database}")
    HqStore(f"sqlite:///{database}").close()
    data = database.read_bytes()
    pieces = {one[at : at + 64] for one in opened for at in range(0, len(one), 64)}
    assert not [piece for piece in pieces if len(set(piece)) > 2 and piece in data]
    with closing(sqlite3.connect(database)) as connection:
        left = connection.execute("SELECT release FROM releases").fetchall()
    assert 0 < len(left) < others
    assert not [name for (name,) in left if name.endswith("-points")]
