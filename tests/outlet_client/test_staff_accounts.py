"""Accounts of the desk's staff: names, passwords, and what guessing costs."""

from __future__ import annotations

import datetime as dt
import re
import threading
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Literal

import pytest
from argon2 import PasswordHasher, Type, extract_parameters
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from outlet_client.desk.desk_server import open_site
from outlet_client.records.actor import MOST_CHARACTERS as LONGEST_NAME
from outlet_client.records.actor import NotAsked, folded_name
from outlet_client.staff import accounts as module
from outlet_client.staff import sign_in_throttle
from outlet_client.staff.accounts import (
    LEAST_CHARACTERS,
    MOST_CHARACTERS,
    Accounts,
    Role,
    SignInRefused,
    StaffRefused,
)
from outlet_client.staff.sign_in_throttle import FREE_TRIES, LONGEST_WAIT, MustWait
from outlet_client.staff.staff_store import StaffStore
from tests.outlet_client.desk_site import CHEAP, MEI, NOON, PASSWORD, home, kept, outlet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("databases")

__all__ = ["home", "outlet"]

WRONG, NEW = "wrong, wrong, wrong", "three other words"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StaffStore]:
    with closing(StaffStore(tmp_path)) as made:
        yield made


@pytest.fixture
def accounts(store: StaffStore) -> Accounts:
    return Accounts(store, b"s" * 32, CHEAP)


def settled(accounts: Accounts, name: str = MEI) -> None:
    accounts.change_password(name, accounts.add(name, Role.ASSOCIATE, NOON), PASSWORD, NOON)


def outcome(accounts: Accounts, name: str, password: str, at: dt.datetime = NOON) -> str:
    try:
        return accounts.sign_in(name, password, at).name
    except (SignInRefused, MustWait) as error:
        return type(error).__name__


# --- what a hash costs ----------------------------------------------------------------------------


def test_the_desk_hashes_at_the_cost_that_rfc_9106_asks_for(home: Path) -> None:
    with open_site(home) as site:
        cost = extract_parameters(site.accounts._nobodys)
        assert site.accounts._hasher is module._HASHER
    assert cost == module._HASHER._parameters  # a name that there is not costs the same
    assert cost.type is Type.ID
    assert cost.memory_cost >= 64 * 1024
    assert cost.time_cost >= 3
    assert (cost.salt_len, cost.hash_len) >= (16, 32)


def test_making_accounts_known_hashes_nothing(store: StaffStore) -> None:
    class Never(PasswordHasher):
        @override
        def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
            raise AssertionError("a command that needs no hash waits for one")

    assert Accounts(store, b"s" * 32, Never()).all() == []


def test_a_password_is_in_no_file(accounts: Accounts, tmp_path: Path) -> None:
    handed = accounts.add(MEI, Role.ASSOCIATE, NOON)
    accounts.change_password(MEI, handed, PASSWORD, NOON)
    outcome(accounts, MEI, WRONG)
    data = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert not any(text.encode() in data for text in (handed, PASSWORD, WRONG))


def test_a_password_to_hand_over_is_long_and_has_no_letters_that_look_alike(
    accounts: Accounts,
) -> None:
    made = {accounts.add(f"N{number}", Role.MANAGER, NOON) for number in range(50)}
    assert len(made) == 50
    for password in made:
        assert re.fullmatch(r"([a-hjkmnp-z2-9]{4}-){3}[a-hjkmnp-z2-9]{4}", password)
    assert len({letter for password in made for letter in password}) == 32


# --- names ----------------------------------------------------------------------------------------

SPELLINGS = {
    "Élodie": ["élodie", "ÉLODIE", "E\u0301lodie", "e\u0301LODIE", "  Élodie "],
    "MÜLLER": ["müller", "Müller", "MU\u0308LLER"],
    "Jörg  Groß": ["jörg gross", "JÖRG GROSS", "Jörg\tGroß"],
    "Σοφία": ["σοφία", "ΣΟΦΊΑ"],
    "\uff2dei Lin": ["Mei Lin", "mei lin"],
    "Ivo": ["IVO", "ivo"],
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_name_signs_in_however_it_is_written_and_is_one_account(
    accounts: Accounts, name: str
) -> None:
    settled(accounts, name)
    kept_as = " ".join(name.split())
    for spelling in (name, *SPELLINGS[name]):
        assert outcome(accounts, spelling, PASSWORD) == kept_as
        assert accounts.named(spelling).name == kept_as
        with pytest.raises(StaffRefused, match="there is an account"):
            accounts.add(spelling, Role.MANAGER, NOON)
        with pytest.raises(StaffRefused, match="there is an account"):
            accounts.free(spelling)
    for turn in range(FREE_TRIES):
        outcome(accounts, [name, *SPELLINGS[name]][turn % 3], WRONG)
    assert outcome(accounts, name, PASSWORD) == "MustWait"


@given(name=st.text(min_size=1, max_size=30))
def test_how_accents_and_blanks_are_written_is_no_matter(name: str) -> None:
    folded = folded_name(name)
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert folded_name(unicodedata.normalize(form, name)) == folded
    assert folded_name(f"\t{name}  ") == folded
    assert folded_name("  ".join(name.split(" "))) == folded


@pytest.mark.parametrize("name", ["", "   ", "a\x00b", "a\x1b[31mb", "a\u202eb", "x" * 81])
def test_what_is_no_name_makes_no_account(accounts: Accounts, name: str) -> None:
    assert len(name) <= LONGEST_NAME + 1
    with pytest.raises(NotAsked):
        accounts.add(name, Role.MANAGER, NOON)
    with pytest.raises(NotAsked):
        accounts.free(name)
    assert accounts.all() == []


@pytest.mark.parametrize("name", ["' OR 1=1 --", "%", "_", "*", "", "\x00", "\ud7ff", "x" * 70_000])
def test_a_name_is_compared_and_never_a_pattern(accounts: Accounts, name: str) -> None:
    settled(accounts)
    assert outcome(accounts, name, PASSWORD) == "SignInRefused"


def test_an_account_made_anew_is_another_one(accounts: Accounts) -> None:
    seen = set()
    for _ in range(10):
        settled(accounts)
        found = accounts.find(MEI)
        assert found is not None
        seen.add((found.generation, found.handle))
        accounts.remove(MEI)
    assert len({generation for generation, _ in seen}) == 10
    assert len({handle for _, handle in seen}) == 10


CHANGES: list[Callable[[Accounts], object]] = [
    lambda accounts: accounts.reset("Max"),
    lambda accounts: accounts.give("Max", Role.MANAGER),
    lambda accounts: accounts.remove("Max"),
    lambda accounts: accounts.named("Max"),
]


@pytest.mark.parametrize("change", CHANGES, ids=["reset", "role", "removal", "search"])
def test_nobody_is_changed_who_is_not_there(
    accounts: Accounts, tmp_path: Path, change: Callable[[Accounts], object]
) -> None:
    settled(accounts)
    before = kept(tmp_path)
    with pytest.raises(StaffRefused, match="no account Max"):
        change(accounts)
    assert kept(tmp_path) == before


# --- passwords ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "new",
    ["short words" * 0 + "a b c d e f"[: LEAST_CHARACTERS - 1], "", "abcdefg " * 33, "abab" * 9,
     "aaaaaaaaaaaa", f"I am {MEI} here", f"i am {MEI.lower()} here", PASSWORD],
)  # fmt: skip
def test_a_weak_password_is_refused_and_the_old_one_stays(accounts: Accounts, new: str) -> None:
    settled(accounts)
    with pytest.raises(StaffRefused):
        accounts.change_password(MEI, PASSWORD, new, NOON)
    assert outcome(accounts, MEI, PASSWORD) == MEI


@pytest.mark.parametrize("length", [LEAST_CHARACTERS, MOST_CHARACTERS])
def test_a_password_may_have_any_characters(accounts: Accounts, length: int) -> None:
    settled(accounts)
    new = ("\x00 é\u202e🕰<'\"%" * length)[:length]
    accounts.change_password(MEI, PASSWORD, new, NOON)
    assert outcome(accounts, MEI, new) == MEI
    assert outcome(accounts, MEI, new[:-1]) == "SignInRefused"
    assert outcome(accounts, MEI, new + "a") == "SignInRefused"


def test_a_changed_password_is_in_the_log_before_it_is_changed(accounts: Accounts) -> None:
    settled(accounts)

    def full() -> None:
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        accounts.change_password(MEI, PASSWORD, NEW, NOON, full)
    assert outcome(accounts, MEI, PASSWORD) == MEI


class Meanwhile(PasswordHasher):
    """Lets something happen while a new password is hashed."""

    def __init__(self, what: Callable[[], object]) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self._what = what

    @override
    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self._what()
        return super().hash(password, salt=salt)


@pytest.mark.parametrize("how", ["reset", "made anew"])
def test_who_knew_the_old_password_does_not_win_it_back_while_it_is_reset(
    accounts: Accounts, store: StaffStore, how: str
) -> None:
    settled(accounts)
    handed: list[str] = []

    def change() -> None:
        if how == "reset":
            handed.append(accounts.reset(MEI))
        else:
            accounts.remove(MEI)
            handed.append(accounts.add(MEI, Role.MANAGER, NOON))

    theirs = Accounts(store, b"s" * 32, Meanwhile(change))
    with pytest.raises(StaffRefused, match="was changed just now"):
        theirs.change_password(MEI, PASSWORD, NEW, NOON)
    assert outcome(accounts, MEI, NEW) == "SignInRefused"
    assert outcome(accounts, MEI, handed[0]) == MEI


# --- guessing -------------------------------------------------------------------------------------


class Together(PasswordHasher):
    """Lets two passwords be checked at the very same time, where two are."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self._both = threading.Barrier(2)

    @override
    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
        with suppress(threading.BrokenBarrierError):
            self._both.wait(0.2)
        return super().verify(hash, password)


def test_tries_at_once_are_counted_each(accounts: Accounts, store: StaffStore) -> None:
    settled(accounts)
    for _ in range(FREE_TRIES - 1):
        outcome(accounts, MEI, WRONG)
    others = Accounts(store, b"s" * 32, Together())
    with ThreadPoolExecutor(8) as many:
        sign_in_throttle = [many.submit(outcome, others, MEI, WRONG) for _ in range(7)]
        found = sorted(one.result(30) for one in sign_in_throttle)
    assert found == ["MustWait"] * 6 + ["SignInRefused"]
    assert outcome(accounts, MEI, PASSWORD) == "MustWait"


def test_several_programs_count_together(accounts: Accounts, tmp_path: Path) -> None:
    settled(accounts)
    for _ in range(FREE_TRIES):
        with closing(StaffStore(tmp_path)) as other:
            outcome(Accounts(other, b"s" * 32, CHEAP), MEI, WRONG)
    assert outcome(accounts, MEI, PASSWORD) == "MustWait"


def test_whoever_tries_whenever_they_may_has_forty_passwords_looked_at_a_day_at_most(
    accounts: Accounts,
) -> None:
    settled(accounts)
    at, looked_at, waits = NOON, 0, list[float]()
    while at < NOON + dt.timedelta(days=1):
        try:
            accounts.sign_in(MEI, WRONG, at)
        except SignInRefused:
            looked_at += 1
        except MustWait as error:
            waits.append(error.seconds)
            at += dt.timedelta(seconds=error.seconds)
    assert max(waits) == LONGEST_WAIT
    assert FREE_TRIES < looked_at <= 40


def test_what_failed_is_forgotten_after_a_day_or_by_signing_in(accounts: Accounts) -> None:
    settled(accounts)
    for _ in range(FREE_TRIES - 1):
        outcome(accounts, MEI, WRONG)
    assert outcome(accounts, MEI, PASSWORD) == MEI
    for _ in range(FREE_TRIES):
        assert outcome(accounts, MEI, WRONG) == "SignInRefused"
    later = NOON + dt.timedelta(days=1, seconds=1)
    for _ in range(FREE_TRIES):
        assert outcome(accounts, MEI, WRONG, later) == "SignInRefused"


def test_a_new_password_ends_a_lock_out_and_a_role_does_not(accounts: Accounts) -> None:
    settled(accounts)
    for _ in range(FREE_TRIES):
        outcome(accounts, MEI, WRONG)
    accounts.give(MEI, Role.MANAGER)
    assert outcome(accounts, MEI, PASSWORD) == "MustWait"
    assert outcome(accounts, MEI, accounts.reset(MEI)) == MEI


def test_names_that_are_tried_take_bounded_room_and_wash_no_lock_out_away(
    accounts: Accounts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_in_throttle, "MOST_TRIED", 15)
    settled(accounts)
    for _ in range(FREE_TRIES):
        outcome(accounts, MEI, WRONG)
        outcome(accounts, "Max", WRONG)
    at = NOON
    for number in range(40):
        at += dt.timedelta(milliseconds=10)
        outcome(accounts, f"N{number}", WRONG, at)
        assert len(kept(tmp_path)["staff.db: tries"]) <= 15
    for name in (MEI, "Max"):
        assert outcome(accounts, name, PASSWORD, at) == "MustWait"


@given(seconds=st.floats(0.001, LONGEST_WAIT))
def test_whoever_waits_as_long_as_they_are_told_has_waited_long_enough(seconds: float) -> None:
    said = str(MustWait(seconds))
    minutes = re.search(r"Wait (a|\d+) minutes?,", said)
    assert minutes is not None
    told = 60 * (1 if minutes[1] == "a" else int(minutes[1]))
    assert seconds <= told < seconds + 60
