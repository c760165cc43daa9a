"""Signing in at the desk: sessions, lock-outs, what a stranger learns, and what comes first."""

from __future__ import annotations

import re
import sqlite3
import time
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import pytest
from argon2 import PasswordHasher
from typing_extensions import override

from outlet_client.database import create_databases
from outlet_client.desk.asgi_app import PAGES, desk_app
from outlet_client.log_tables.rights_store import RightsStore
from outlet_client.records.access_log import LogAct
from outlet_client.staff.accounts import Accounts, Role, secret_of
from outlet_client.staff.sign_in_throttle import FIRST_WAIT, FREE_TRIES, LONGEST_WAIT
from outlet_client.staff.staff_store import StaffStore
from privacy.identity import PartyKind
from privacy.keyring import Keyring
from tests.outlet_client.authenticator import Device
from tests.outlet_client.desk_site import (
    ANNA,
    CHEAP,
    MEI,
    OKAFOR,
    PASSWORD,
    RAFAEL,
    URL,
    Browser,
    Desk,
    desk,
    hire,
    home,
    opened,
    outlet,
    said,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import httpx
    import sqlalchemy as sa

__all__ = ["desk", "home", "outlet"]

NEW = "three other words"
COOKIE = "desk"


def id_of(browser: Browser) -> str:
    return str(browser.cookies[COOKIE])


def is_in(desk: Desk, session: str) -> bool:
    """Whether a session's id opens a page."""
    headers = {"cookie": f"{COOKIE}={session}"}
    answer = desk.browser().get("/account", headers=headers)
    return answer.status_code == 200


# --- sessions -------------------------------------------------------------------------------------


def test_an_id_from_before_is_never_the_session(desk: Desk) -> None:
    theirs = id_of(desk.signed_in(RAFAEL))
    for planted in ("a" * 43, theirs, ""):
        browser = desk.browser()
        browser.cookies.set(COOKIE, planted, domain="localhost.local")
        token = desk.browser().token("/sign-in")
        headers = {"cookie": f"{COOKIE}={planted}; desk-form={token}"}
        key = desk.browser().key("/sign-in")
        fields = {"csrf": token, "once": key, "name": MEI, "password": PASSWORD}
        answer = desk.browser().post("/sign-in", data=fields, headers=headers)
        if planted == theirs:  # a form of nobody's, where somebody is signed in
            assert (answer.status_code, answer.headers["location"]) == (303, "/")
            assert "set-cookie" not in answer.headers
            continue
        made = re.search(f"{COOKIE}=([^;]+)", answer.headers["set-cookie"])
        assert made is not None
        assert made[1] != planted
        assert not is_in(desk, planted)
        assert is_in(desk, made[1])


def test_each_sign_in_makes_another_id_and_ends_that_of_the_same_browser(desk: Desk) -> None:
    browser = desk.signed_in(MEI)
    before = id_of(browser)
    fields = {"name": MEI, "password": PASSWORD}
    assert browser.fill("/sign-in", fields, page="/account").status_code == 303
    assert id_of(browser) != before
    assert not is_in(desk, before)


def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(desk: Desk) -> None:
    browser = desk.browser()
    assert "set-cookie" in browser.get("/sign-in").headers
    for cookie in (
        browser.get("/sign-in").headers["set-cookie"],
        browser.sign_in(MEI).headers["set-cookie"],
    ):
        parts = {part.strip().lower() for part in cookie.split(";")[1:]}
        assert {"httponly", "samesite=strict", "path=/"} <= parts
        assert not any(part.startswith(("domain", "max-age", "expires")) for part in parts)


def test_an_id_is_kept_nowhere_as_it_is(desk: Desk) -> None:
    session = id_of(desk.signed_in(MEI))
    assert session not in repr(desk.site.sessions._all)
    for file in desk.home.iterdir():
        if file.is_file():
            assert session.encode() not in file.read_bytes()


def test_signing_out_ends_the_session_everywhere(desk: Desk) -> None:
    browser = desk.signed_in(MEI)
    session = id_of(browser)
    assert browser.fill("/sign-out").headers["location"] == "/sign-in"
    assert not is_in(desk, session)
    assert browser.get("/look-up").headers["location"] == "/sign-in"


def test_a_changed_password_makes_another_id_and_ends_every_other_session(desk: Desk) -> None:
    one, other = desk.signed_in(MEI), desk.signed_in(MEI)
    before = id_of(one), id_of(other)
    fields = {"old": PASSWORD, "new": NEW, "again": NEW}
    assert one.fill("/account/password", fields).status_code == 303
    assert not any(is_in(desk, session) for session in before)
    assert is_in(desk, id_of(one))
    assert desk.browser().sign_in(MEI, PASSWORD).status_code == 401
    assert desk.browser().sign_in(MEI, NEW).status_code == 303


@pytest.mark.parametrize("change", ["role", "reset", "removal"])
def test_what_ends_an_account_as_it_was_ends_its_sessions_at_once(desk: Desk, change: str) -> None:
    browser = desk.signed_in(MEI)
    session = id_of(browser)
    token = browser.token("/account")
    changes: dict[str, Callable[[], object]] = {
        "role": lambda: desk.accounts.give(MEI, Role.MANAGER),
        "reset": lambda: desk.accounts.reset(MEI),
        "removal": lambda: desk.accounts.remove(MEI),
    }
    changes[change]()
    fields = {"csrf": token, "phone": ANNA, "purpose": "sale"}
    sent = browser.post("/look-up", data=fields)
    assert (sent.status_code, sent.headers["location"]) == (303, "/sign-in")
    assert not is_in(desk, session)
    assert not desk.site.sessions._all
    assert desk.log(LogAct.LOOK_UP) == []


def test_a_session_of_somebody_removed_is_not_the_session_of_their_namesake(desk: Desk) -> None:
    for _ in range(3):
        session = id_of(desk.signed_in(MEI))
        desk.accounts.remove(MEI)
        hire(desk.home, MEI, Role.MANAGER)
        assert not is_in(desk, session)


def test_a_session_ends_after_a_while_without_use(desk: Desk) -> None:
    browser = desk.signed_in(MEI)
    for _ in range(4):
        desk.clock.forward(minutes=14)
        assert browser.get("/look-up").status_code == 200
    desk.clock.forward(minutes=15, seconds=1)
    assert browser.get("/look-up").headers["location"] == "/sign-in"
    assert not desk.site.sessions._all


def test_a_session_ends_after_its_hours_however_much_it_is_used(desk: Desk) -> None:
    browser = desk.signed_in(MEI)
    for _ in range(9 * 5):
        desk.clock.forward(minutes=12)
        assert browser.get("/account").status_code == 200
    desk.clock.forward(seconds=1)
    assert browser.get("/account").status_code == 303


def test_a_page_that_is_left_alone_shows_nothing_any_more_and_keeps_no_session_open(
    desk: Desk,
) -> None:
    browser, stranger = desk.signed_in(MEI), desk.browser()
    answers = [browser.get("/look-up"), browser.look_up(ANNA), browser.get("/log")]
    assert [answer.headers["refresh"] for answer in answers] == ["900; url=/left"] * 3
    assert "refresh" not in stranger.get("/sign-in").headers
    assert "refresh" not in browser.fill("/sign-out").headers
    browser = desk.signed_in(MEI)
    for _ in range(2):
        desk.clock.forward(minutes=10)
        left = browser.get("/left")
        assert left.status_code == 200
        assert MEI not in left.text
        assert "set-cookie" not in left.headers
        assert left.headers["cache-control"] == "no-store"
    assert browser.get("/look-up").headers["location"] == "/sign-in"
    assert stranger.get("/left", headers={"host": "evil.example"}).status_code == 421


def test_a_form_from_before_a_session_ended_does_nothing(desk: Desk) -> None:
    browser = desk.signed_in(MEI)
    token = browser.token("/account")
    desk.clock.forward(minutes=16)
    browser.sign_in(MEI)
    fields = {"csrf": token, "phone": ANNA, "purpose": "sale"}
    assert browser.post("/look-up", data={**fields, "once": ""}).status_code == 403
    shown = browser.sent("/look-up", fields)
    assert "Nothing was done: this page was too old" in said(shown)
    assert f'value="{ANNA}"' in shown.text
    assert desk.log(LogAct.LOOK_UP) == []


def test_sessions_and_challenges_of_a_process_are_bounded(desk: Desk) -> None:
    sessions = [id_of(desk.signed_in(MEI)) for _ in range(7)]
    assert [is_in(desk, one) for one in sessions] == [False] * 2 + [True] * 5
    challenges = desk.site.challenges
    for number in range(20_050):
        challenges.keep(str(number), b"c", desk.clock())
    assert len(challenges._open) == 20_000


# --- what a stranger learns -----------------------------------------------------------------------


def shown_to(answer: httpx.Response, name: str) -> tuple[int, str]:
    """An answer without what is made anew each time, and without the name."""
    text = re.sub(r'name="(csrf|once)" value="[^"]*"', "", answer.text)
    text = re.sub(r'data-options="[^"]*"', "", text)
    return answer.status_code, text.replace(f'value="{name}"', "")


def test_a_wrong_password_and_a_name_that_there_is_not_look_the_same_throughout(
    desk: Desk,
) -> None:
    there, nobody = desk.browser(), desk.browser()
    for turn in range(FREE_TRIES + 3):
        one, other = (
            shown_to(browser.sign_in(name, "wrong, wrong, wrong"), name)
            for browser, name in ((there, MEI), (nobody, "Max Lin"))
        )
        assert one == other
        assert one[0] == (401 if turn < FREE_TRIES else 429)
    desk.clock.forward(seconds=FIRST_WAIT)
    for status in (401, 429):
        one, other = (
            shown_to(browser.sign_in(name, "wrong, wrong, wrong"), name)
            for browser, name in ((there, MEI), (nobody, "Max Lin"))
        )
        assert one == other
        assert one[0] == status


class Counted(PasswordHasher):
    """Counts what it is asked to verify, and at what cost."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.costs: list[str] = []

    @override
    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
        self.costs.append(str(hash).rsplit("$", 2)[0])
        return super().verify(hash, password)


def test_a_name_that_there_is_not_costs_the_very_hash_that_a_wrong_password_does(
    desk: Desk,
) -> None:
    hasher = Counted()
    secret = secret_of(Keyring(desk.home, PartyKind.OUTLET).identity())
    site = replace(desk.site, accounts=Accounts(desk.store, secret, hasher))
    browser = Browser(desk_app(site), site)
    costs = []
    for name in (MEI, "Max Lin", "", "x" * 500):
        hasher.costs.clear()
        assert browser.sign_in(name, "wrong, wrong, wrong").status_code == 401
        costs.append(list(hasher.costs))
    assert costs == [["$argon2id$v=19$m=8,t=1,p=1"]] * 4


def test_a_name_that_there_is_not_takes_as_long_to_refuse(desk: Desk) -> None:
    """The least of five each, of this process's own time, so that nothing beside it counts.

    A factor of two is let pass. Without the hash a name that there is not takes a twentieth.
    """
    hasher = PasswordHasher(time_cost=3, memory_cost=2**14, parallelism=1)
    accounts = Accounts(desk.store, b"s" * 32, hasher)
    handed = accounts.add("Mia", Role.ASSOCIATE, desk.clock())
    accounts.change_password("Mia", handed, NEW, desk.clock())
    browser = Browser(desk_app(replace(desk.site, accounts=accounts)), desk.site)
    took: dict[str, list[float]] = {"Mia": [], "Max": []}
    for name in ("Mia", "Max") * FREE_TRIES:
        browser.token("/sign-in")
        began = time.process_time()
        fields = {"name": name, "password": "wrong, wrong, wrong"}
        assert browser.fill("/sign-in", fields, page="/sign-in").status_code == 401
        took[name].append(time.process_time() - began)
    assert 0.5 < min(took["Mia"]) / min(took["Max"]) < 2


class Unwritable(RightsStore):
    """A log on a disk that is full."""

    @override
    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        raise sqlite3.OperationalError("database or disk is full")
        yield  # type: ignore[unreachable]


def test_a_lock_out_that_cannot_be_logged_tells_nobody_which_names_there_are(desk: Desk) -> None:
    with closing(Unwritable(desk.home)) as rights:
        browser = Browser(desk_app(replace(desk.site, rights=rights)), desk.site)
        pages = {
            shown_to(browser.sign_in(name, "wrong, wrong, wrong"), name)
            for name in (MEI, "Max Lin") * FREE_TRIES
        }
        assert [status for status, _ in pages] == [401]
        answer = browser.sign_in(RAFAEL)
    assert answer.status_code == 409
    assert COOKIE not in answer.cookies
    assert not desk.site.sessions._all


# --- lock-out -------------------------------------------------------------------------------------


def wrong(desk: Desk, times: int = 1, name: str = MEI) -> list[int]:
    browser = desk.browser()
    return [browser.sign_in(name, "wrong, wrong, wrong").status_code for _ in range(times)]


def test_after_some_wrong_passwords_the_right_one_has_to_wait_too(desk: Desk) -> None:
    assert wrong(desk, FREE_TRIES) == [401] * FREE_TRIES
    answer = desk.browser().sign_in(MEI)
    assert answer.status_code == 429
    assert "Wait a minute" in said(answer)
    assert COOKIE not in answer.cookies
    desk.clock.forward(seconds=FIRST_WAIT)
    assert desk.browser().sign_in(MEI).status_code == 303
    assert wrong(desk, FREE_TRIES) == [401] * FREE_TRIES  # and is forgiven


def test_waiting_opens_exactly_one_try_and_each_wait_is_twice_the_last_up_to_an_hour(
    desk: Desk,
) -> None:
    wrong(desk, FREE_TRIES)
    wait = FIRST_WAIT
    for _ in range(9):
        desk.clock.forward(seconds=wait - 1)
        assert wrong(desk) == [429]
        desk.clock.forward(seconds=1)
        assert wrong(desk, 2) == [401, 429]
        wait = min(2 * wait, LONGEST_WAIT)
    assert wait == LONGEST_WAIT


@pytest.mark.parametrize("name", ["mei lin", "MEI LIN", "  Mei   Lin ", "\uff2dei Lin"])
def test_another_spelling_of_a_name_counts_as_the_same_name(desk: Desk, name: str) -> None:
    wrong(desk, FREE_TRIES - 1)
    assert wrong(desk, 2, name) == [401, 429]
    assert desk.browser().sign_in(MEI).status_code == 429


def test_a_lock_out_outlives_a_restart(home: Path) -> None:
    with opened(home) as desk:
        wrong(desk, FREE_TRIES)
    with opened(home) as desk:
        assert desk.browser().sign_in(MEI).status_code == 429


def test_a_lock_out_is_in_the_log_and_one_of_a_name_that_there_is_not_is_not(desk: Desk) -> None:
    wrong(desk, FREE_TRIES)
    wrong(desk, FREE_TRIES, "Max Lin")
    assert [one.by for one in desk.log(LogAct.LOCK_OUT)] == [MEI]
    officer = desk.signed_in(OKAFOR)
    assert "locked out after wrong passwords (1)" in said(officer.get("/log"))


def test_the_old_password_cannot_be_guessed_from_a_session_that_was_left_open(desk: Desk) -> None:
    browser = desk.signed_in(MEI)
    fields = {"old": "wrong, wrong, wrong", "new": NEW, "again": NEW}
    answers = [browser.fill("/account/password", fields) for _ in range(FREE_TRIES + 1)]
    assert "The old password is wrong" in said(answers[0])
    assert "Too many tries have failed" in said(answers[-1])
    fields["old"] = PASSWORD
    assert "Too many tries have failed" in said(browser.fill("/account/password", fields))
    assert desk.browser().sign_in(MEI).status_code == 429
    assert [one.by for one in desk.log(LogAct.LOCK_OUT)] == [MEI]


# --- what comes first -----------------------------------------------------------------------------


def reachable(browser: Browser) -> set[str]:
    """Pages that are shown."""
    paths = {page.path for page in PAGES if page.get is not None and "{" not in page.path}
    return {path for path in paths if browser.get(path).status_code == 200}


def test_a_password_that_was_handed_over_is_changed_before_anything_else(desk: Desk) -> None:
    handed = desk.accounts.reset(MEI)
    browser = desk.signed_in(MEI, handed)
    assert reachable(browser) == {"/account", "/undertaking"}
    sent = browser.look_up(ANNA)
    assert (sent.status_code, sent.headers["location"]) == (303, "/account")
    assert browser.fill("/account/passkey", {"answer": "{}"}).headers["location"] == "/account"
    assert desk.log(LogAct.LOOK_UP) == []
    same = {"old": handed, "new": handed, "again": handed}
    assert browser.fill("/account/password", same).status_code == 400
    fields = {"old": handed, "new": NEW, "again": NEW}
    assert browser.fill("/account/password", fields).status_code == 303
    assert browser.look_up(ANNA).status_code == 200


def test_without_the_undertaking_nothing_is_reached(desk: Desk) -> None:
    secret = secret_of(Keyring(desk.home, PartyKind.OUTLET).identity())
    handed = desk.accounts.add("Mia", Role.MANAGER, desk.clock())
    Accounts(desk.store, secret, CHEAP).change_password("Mia", handed, PASSWORD, desk.clock())
    browser = desk.signed_in("Mia")
    assert reachable(browser) == {"/account", "/undertaking"}
    assert browser.look_up(ANNA).headers["location"] == "/undertaking"
    text = desk.site.undertaking
    for fields in ({}, {"agree": "yes"}, {"digest": text.digest}, {"agree": "yes", "digest": "a"}):
        assert browser.fill("/undertaking", fields).status_code == 400
    assert desk.log(LogAct.LOOK_UP, LogAct.UNDERTAKING) == []
    fields = {"agree": "yes", "digest": text.digest}
    assert browser.fill("/undertaking", fields).status_code == 303
    [given] = desk.log(LogAct.UNDERTAKING)
    assert (given.by, given.about) == ("Mia", text.version)
    assert browser.look_up(ANNA).status_code == 200


def test_another_text_is_undertaken_anew_whatever_version_it_calls_itself(home: Path) -> None:
    with opened(home) as desk:
        version = desk.site.undertaking.version
        assert desk.signed_in(MEI).get("/look-up").status_code == 200
    (home / "own.txt").write_text(f"{version}\n\nI look nobody up.\n")
    with (home / "escapement.toml").open("a") as settings:
        settings.write('undertaking = "own.txt"\n')
    with opened(home) as desk:
        browser = desk.signed_in(MEI)
        assert browser.get("/look-up").headers["location"] == "/undertaking"
        page = said(browser.get("/undertaking"))
        assert "I look nobody up." in page
        assert "the text has changed since" in page


def test_a_namesake_gives_the_undertaking_anew(desk: Desk) -> None:
    desk.clock.forward(minutes=1)
    desk.accounts.remove(MEI)
    handed = desk.accounts.add(MEI, Role.ASSOCIATE, desk.clock())
    desk.accounts.change_password(MEI, handed, PASSWORD, desk.clock())
    browser = desk.signed_in(MEI)
    assert browser.get("/look-up").headers["location"] == "/undertaking"


# --- passkeys -------------------------------------------------------------------------------------


def options(browser: Browser, page: str) -> str:
    browser.token(page)  # its forms answer what was asked last
    found = re.search(r'data-options="([^"]*)"', browser.get(page).text)
    assert found is not None
    return found[1].replace("&#34;", '"')


def with_passkey(desk: Desk, name: str = MEI) -> Device:
    browser, device = desk.signed_in(name), Device(URL)
    answer = device.create(options(browser, "/account"))
    made = browser.fill("/account/passkey", {"answer": answer, "label": "Counter tablet"})
    assert made.status_code == 303
    return device


def test_a_passkey_signs_in_also_while_the_password_is_locked_out(desk: Desk) -> None:
    device = with_passkey(desk)
    wrong(desk, FREE_TRIES)
    browser = desk.browser()
    fields = {
        "credential": device.credential.hex(),
        "answer": device.get(options(browser, "/sign-in")),
    }
    assert browser.fill("/sign-in/passkey", fields, page="/sign-in").status_code == 303
    assert browser.get("/look-up").status_code == 200
    assert [one.about for one in desk.log(LogAct.SIGN_IN)][-1] == "passkey"


def test_what_a_passkey_signed_is_taken_once(desk: Desk) -> None:
    device, browser = with_passkey(desk), desk.browser()
    answer = device.get(options(browser, "/sign-in"))
    mark = browser.token("/sign-in")
    fields = {"credential": device.credential.hex(), "answer": answer, "csrf": mark}
    headers = {"cookie": f"desk-form={mark}"}
    sent = [
        desk.browser().post(
            "/sign-in/passkey",
            data=fields | {"once": browser.key("/sign-in/passkey")},
            headers=headers,
        )
        for _ in range(2)
    ]
    assert [one.headers["location"].partition("?")[0] for one in sent] == ["/", "/sign-in"]
    cookies = [re.search(f"{COOKIE}=([^;]+)", one.headers["set-cookie"]) for one in sent]
    assert cookies[0] is not None
    assert is_in(desk, cookies[0][1])
    assert cookies[1] is None


def test_one_browsers_challenge_is_not_anothers(desk: Desk) -> None:
    device = with_passkey(desk)
    one, other = desk.browser(), desk.browser()
    other.get("/sign-in")
    fields = {"credential": device.credential.hex(), "answer": device.get(options(one, "/sign-in"))}
    assert other.fill("/sign-in/passkey", fields, page="/sign-in").status_code == 401


def test_a_challenge_is_good_for_minutes_only(desk: Desk) -> None:
    device, browser = with_passkey(desk), desk.browser()
    fields = {
        "credential": device.credential.hex(),
        "answer": device.get(options(browser, "/sign-in")),
    }
    desk.clock.forward(seconds=301)
    assert browser.fill("/sign-in/passkey", fields, page="/sign-in").status_code == 401


def test_a_passkey_of_somebody_removed_or_reset_signs_nobody_in(desk: Desk) -> None:
    mei, rafael = with_passkey(desk), with_passkey(desk, RAFAEL)
    desk.accounts.remove(MEI)
    hire(desk.home, MEI, Role.MANAGER)
    desk.accounts.reset(RAFAEL)
    for device in (mei, rafael):
        browser = desk.browser()
        answer = device.get(options(browser, "/sign-in"))
        fields = {"credential": device.credential.hex(), "answer": answer}
        refused = browser.fill("/sign-in/passkey", fields, page="/sign-in")
        assert refused.status_code == 401
        assert MEI not in refused.text


def test_a_passkey_is_made_and_taken_away_on_record_and_by_its_owner_only(desk: Desk) -> None:
    device = with_passkey(desk)
    theirs = {"credential": device.credential.hex()}
    for credential in (theirs["credential"], "not hex", ""):
        refused = desk.signed_in(RAFAEL).fill("/account/passkey/remove", {"credential": credential})
        assert refused.status_code == 409
        assert "none of yours" in said(refused)
    assert len(desk.site.passkeys.of(MEI)) == 1
    assert desk.signed_in(MEI).fill("/account/passkey/remove", theirs).status_code == 303
    assert desk.site.passkeys.of(MEI) == []
    acts = [(one.by, one.about, one.outcome) for one in desk.log(LogAct.STAFF)]
    assert acts == [(MEI, "own passkey", "added"), (MEI, "own passkey", "removed")]


def test_the_accounts_of_another_outlet_hash_a_tried_name_otherwise(tmp_path: Path) -> None:
    create_databases(tmp_path)
    with closing(StaffStore(tmp_path)) as store:
        one, other = (Accounts(store, secret, CHEAP) for secret in (b"a" * 32, b"b" * 32))
        assert one._who(MEI) != other._who(MEI)
        assert one._who(MEI) == one._who("mei  LIN")
