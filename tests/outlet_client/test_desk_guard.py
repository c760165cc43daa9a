"""The desk's door: who comes in, what is taken from them, and what every answer carries."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import pytest
from typing_extensions import override

from outlet_client import desk as desk_package
from outlet_client.bands.lookup import Answer, LookUp
from outlet_client.desk.asgi_app import PAGES, desk_app
from outlet_client.desk.messages import FORBIDDEN
from outlet_client.desk.request_guard import MOST_BYTES
from tests.outlet_client.desk_site import (
    ANNA,
    MEI,
    OKAFOR,
    PASSWORD,
    RAFAEL,
    ROLES,
    URL,
    Browser,
    Desk,
    desk,
    home,
    kept,
    open_desk,
    outlet,
    said,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from outlet_client.desk.site import Page
    from outlet_client.records.actor import Actor

__all__ = ["desk", "home", "open_desk", "outlet"]

SHOWN = [page for page in PAGES if page.get is not None]
TAKEN = [page for page in PAGES if page.post is not None]
CLOSED = [page for page in PAGES if page.roles]
_WRITTEN = Path(desk_package.__file__).with_name("templates").glob("*.html")
FIELDS = sorted(
    {name for file in _WRITTEN for name in re.findall(r'name="([a-z]+)"', file.read_text())}
    - {"csrf", "once", "draft", "viewport"}
)
"""Of all forms."""

HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
OURS = re.compile(r"/[a-z-]*(/[0-9]+)?(\?shown=[0-9]{9})?")
NASTY = {
    "control characters": "a\x00b\x1b[31m\x07",
    "a new line and a header": "a\r\nSet-Cookie: injected=1\r\n\r\n<p>injected",
    "very long": "9" * 20_000,
    "very large": "9" * 30,
    "negative": "-1",
    "other digits": "٣",
    "half a character": "%ED%A0%80",
    "markup": "<script>injected()</script>\"'{{ 7*7 }}",
    "turned round": "\u202ea\u2066",
    "the last day": "9999-12-31",
    "the first day": "0001-01-01",
    "SQL": "' OR 1=1 --",
    "a letter of many": "\ufdfa" * 500,
}


def at(page: Page) -> str:
    """A page's address, with a number in it where it has one."""
    return page.path.replace("{number:number}", "1")


def pages(some: Iterable[Page]) -> pytest.MarkDecorator:
    listed = list(some)
    return pytest.mark.parametrize("page", listed, ids=[page.path for page in listed])


def may(page: Page) -> str:
    """Somebody who may go there."""
    return next(name for name, role in ROLES.items() if not page.roles or role in page.roles)


@pytest.fixture(scope="module")
def people(open_desk: Desk) -> dict[str, Browser]:
    """Everybody's browser, signed in."""
    return {name: open_desk.signed_in(name) for name in ROLES}


@pages(CLOSED)
def test_whoever_is_not_signed_in_is_sent_to_sign_in_whatever_the_page(
    page: Page, open_desk: Desk
) -> None:
    before = kept(open_desk.home)
    browser = open_desk.browser()
    fields = {"csrf": browser.token("/sign-in"), **dict.fromkeys(FIELDS, "1"), "once": ""}
    for answer in (browser.get(at(page)), browser.post(at(page), data=fields)):
        if answer.status_code != 405:
            assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
            assert answer.text == ""
    assert kept(open_desk.home) == before


@pages(CLOSED)
@pytest.mark.parametrize("name", ROLES)
def test_another_roles_page_is_closed_by_its_address_too(
    page: Page, name: str, open_desk: Desk, people: dict[str, Browser]
) -> None:
    before = kept(open_desk.home)
    browser = people[name]
    seen = browser.get(at(page)) if page.get is not None else None
    if ROLES[name] in page.roles:
        assert seen is None or FORBIDDEN[0] not in seen.text
        return
    sent = None if page.post is None else browser.fill(at(page), dict.fromkeys(FIELDS, "1"))
    for answer in (seen, sent):
        if answer is not None:
            assert answer.status_code == 403
            assert FORBIDDEN[1] in said(answer)
    assert kept(open_desk.home) == before


@pages(SHOWN)
def test_nothing_is_done_by_looking_at_a_page(
    page: Page, open_desk: Desk, people: dict[str, Browser]
) -> None:
    browser = people[may(page)] if page.roles else open_desk.browser()
    browser.get(at(page))  # what a page reads anew from the till's files is kept once
    before = kept(open_desk.home)
    query = dict.fromkeys((*FIELDS, "before", "by", "act"), "yes") | {"phone": ANNA}
    for method, asked in product(("GET", "HEAD"), ({}, query)):
        answer = browser.request(method, at(page), params=asked)
        assert answer.status_code < 500
    assert kept(open_desk.home) == before


FORGED = {
    "without what forms of ours carry": ({"csrf": "", "once": ""}, {}),
    "with what another session's carry": ({"csrf": "another"}, {}),
    "without a key": ({"once": ""}, {}),
    "with a key that somebody made up": ({"once": "19a0.AAAAAAAAAAAAAAAAAAAAAA." + "0" * 32}, {}),
    "with the key of another form": ({"once": "another"}, {}),
    "from another address": ({}, {"origin": "http://evil.example"}),
    "from another port": ({}, {"origin": "http://localhost:9999"}),
    "from the desk's other address": ({}, {"origin": "http://127.0.0.1:8480"}),
    "from nowhere": ({}, {"origin": "null"}),
    "from another site": ({}, {"sec-fetch-site": "cross-site"}),
    "from a neighbour": ({}, {"sec-fetch-site": "same-site"}),
}


@pages(page for page in TAKEN if page.acts)
@pytest.mark.parametrize("how", FORGED)
def test_a_form_does_nothing_where_it_comes_from_elsewhere(
    page: Page, how: str, open_desk: Desk, people: dict[str, Browser]
) -> None:
    fields, headers = FORGED[how]
    if fields.get("csrf") == "another":
        other = next(name for name in ROLES if name != may(page))
        fields = {"csrf": people[other].token("/account"), "once": people[other].key(at(page))}
    browser, shown = (people[may(page)], "/account")
    if not page.roles:
        browser, shown = open_desk.browser(), "/sign-in"
    if fields.get("once") == "another":
        fields = {"once": browser.key("/another")}
    typed = {**dict.fromkeys(FIELDS, "yes"), "name": MEI, "password": PASSWORD, "phone": ANNA}
    before = kept(open_desk.home)
    answer = browser.fill(at(page), {**typed, **fields}, page=shown, headers=headers)
    assert answer.status_code == 403
    assert "Nothing was done" in said(answer)
    assert kept(open_desk.home) == before
    assert "set-cookie" not in answer.headers


def test_a_form_of_ours_is_taken_as_browsers_send_it(people: dict[str, Browser]) -> None:
    headers = {"origin": URL, "sec-fetch-site": "same-origin"}
    answer = people[MEI].fill("/account/password", {"new": "a", "again": "b"}, headers=headers)
    assert answer.status_code == 400
    assert "The two new passwords differ" in said(answer)


def test_a_sign_in_without_the_cookie_of_its_form_is_refused(open_desk: Desk) -> None:
    browser = open_desk.browser()
    fields = {"csrf": browser.token("/sign-in"), "name": MEI, "password": PASSWORD}
    browser.cookies.clear()
    assert browser.post("/sign-in", data=fields).status_code == 403
    assert browser.post("/sign-in", data={**fields, "csrf": ""}).status_code == 403


ELSEWHERE = (
    "//evil.example",
    "https://evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/log",
)


@pages(PAGES)
@pytest.mark.parametrize("name", [*ROLES, None])
def test_nobody_is_sent_anywhere_but_to_our_own_pages(
    page: Page, name: str | None, open_desk: Desk, people: dict[str, Browser]
) -> None:
    browser = open_desk.browser() if name is None else people[name]
    wishes = ("next", "url", "return", "back", "to")
    asked = dict(zip(wishes, ELSEWHERE, strict=True))
    seen = browser.get(at(page), params=asked, headers={"referer": ELSEWHERE[0]})
    sent = browser.post(at(page), params=asked, data={"csrf": "none", **asked})
    for answer in (seen, sent):
        assert OURS.fullmatch(answer.headers.get("location", "/"))


@pytest.mark.parametrize("host", ["localhost:8480", "evil.example"])
@pytest.mark.parametrize(
    "path",
    ["/sign-in/", "//evil.example/", "//evil.example/sign-in/", "/sign-in//", "/look-up/",
     "/%2f%2fevil.example/", "/\\evil.example/", "/%5cevil.example", "/allocations/1/"],
)  # fmt: skip
def test_no_address_that_is_nearly_one_of_ours_sends_anybody_on(
    host: str, path: str, open_desk: Desk
) -> None:
    url = httpx.URL(URL).copy_with(raw_path=path.encode())
    for method in ("GET", "POST", "HEAD"):
        answer = open_desk.browser().request(method, url, headers={"host": host})
        assert answer.status_code == 404
        assert "location" not in answer.headers


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost", "localhost:8481", "localhost:8480.evil.example", "127.0.0.1",
     "user@localhost:8480", "localhost:8480,evil.example", "LOCALHOST.evil:8480", "[::1]:8480", ""],
)  # fmt: skip
def test_under_another_name_the_desk_says_nothing(
    host: str, open_desk: Desk, people: dict[str, Browser]
) -> None:
    browser = people[MEI]
    for path in ("/", "/sign-in", "/look-up", "/desk.css", "/passkeys.js"):
        answer = browser.get(path, headers={"host": host})
        assert answer.status_code == 421
        assert MEI not in answer.text
        assert "set-cookie" not in answer.headers
    fields = {"csrf": browser.token("/account"), "phone": ANNA, "purpose": "sale"}
    before = kept(open_desk.home)
    assert browser.post("/look-up", data=fields, headers={"host": host}).status_code == 421
    assert kept(open_desk.home) == before


@pytest.mark.parametrize("host", ["localhost:8480", "127.0.0.1:8480", "LocalHost:8480"])
def test_under_its_own_names_it_answers(host: str, open_desk: Desk) -> None:
    answer = open_desk.browser().get("/sign-in", headers={"host": host})
    assert answer.status_code == 200


def _nothing_was_put_in(answer: httpx.Response) -> None:
    for name, value in answer.headers.raw:
        assert b"injected" not in name + value
        assert not set(value) & set(b"\r\n\0")


@pages(TAKEN)
def test_whatever_is_typed_changes_no_header_and_makes_no_mistake(page: Page, desk: Desk) -> None:
    browser, shown = desk.browser(), "/sign-in"
    if page.roles:
        browser, shown = desk.signed_in(may(page)), "/account"
    for kind, text in NASTY.items():
        typed: dict[str, Any] = dict.fromkeys(FIELDS, text)
        for fields in (typed, {**typed, **_likely(page)}):
            if page.path in ("/sign-out", "/account/password"):
                fields["csrf"] = text  # else it ends what the others need
            answer = browser.fill(at(page), fields, page=shown)
            assert answer.status_code < 500, (kind, said(answer))
            assert "<script>injected" not in answer.text
            _nothing_was_put_in(answer)
        if page.path == "/sign-in":
            desk.clock.forward(days=1)


def _likely(page: Page) -> Mapping[str, str]:
    """What lets a form come further."""
    return {
        "phone": ANNA,
        "purpose": "sale",
        "pieces": "9" * 30,
        "decision": "confirm",
        "serial": "SN-0",
        "seen": "2026-02-21",
        "kind": "access",
        "do": {"/customer": "receive"}.get(page.path, ""),
        "reference": "GMT-II" if page.path == "/allocations" else "",
    }


@pytest.mark.parametrize("kind", NASTY)
def test_whatever_stands_in_an_address_or_a_cookie_changes_no_header(
    kind: str, open_desk: Desk, people: dict[str, Browser]
) -> None:
    text = NASTY[kind][:2000]
    for browser in (people[OKAFOR], open_desk.browser()):
        for path in ("/log", "/sign-in", "/allocations/1"):
            query = dict.fromkeys(("before", "by", "act", "next"), text)
            answers = [browser.get(path, params=query)]
            answers.append(browser.get(f"{path}/{quote(text, safe='')}"))
            sent = re.sub(r"[^ -~]", "", text).replace('"', "")[:4000]
            cookie = f"desk={sent}; desk-form={sent}"
            answers.append(open_desk.browser().get(path, headers={"cookie": cookie}))
            for answer in answers:
                assert answer.status_code < 500
                assert "<script>injected" not in answer.text
                _nothing_was_put_in(answer)


@pytest.mark.parametrize("digits", [10, 19, 30, 5000])
@pytest.mark.parametrize("path", ["/allocations", "/requests"])
def test_a_number_that_no_table_has_room_for_is_no_address(
    path: str, digits: int, people: dict[str, Browser]
) -> None:
    name = RAFAEL if path == "/allocations" else OKAFOR
    assert people[name].get(f"{path}/{'9' * digits}").status_code == 404
    assert people[name].fill(f"{path}/{'9' * digits}").status_code == 404
    assert people[OKAFOR].get("/log", params={"before": "9" * digits}).status_code == 200


def test_every_answer_carries_what_keeps_a_page_apart(
    open_desk: Desk, people: dict[str, Browser]
) -> None:
    mei, nobody = people[MEI], open_desk.browser()

    def broken() -> Any:
        raise RuntimeError("a clock without hands")

    answers = {
        200: mei.get("/look-up"),
        303: mei.get("/"),
        400: mei.post("/look-up", content=b"\xff", headers={"content-type": "text/plain"}),
        401: nobody.sign_in("Nobody", "x"),
        403: mei.get("/log"),
        404: mei.get("/nothing"),
        405: mei.delete("/look-up"),
        421: mei.get("/", headers={"host": "evil.example"}),
        500: Browser(desk_app(replace(open_desk.site, clock=broken)), open_desk.site).get(
            "/sign-in"
        ),
    }
    for status, answer in answers.items():
        assert answer.status_code == status
        for name, value in HEADERS.items():
            assert answer.headers[name] == value, (status, name)
        assert answer.headers["cache-control"] == "no-store"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert "strict-transport-security" not in answer.headers  # of plain HTTP nobody takes it
    for path in ("/desk.css", "/passkeys.js"):
        answer = nobody.get(path)
        assert answer.status_code == 200
        assert all(answer.headers[name] == value for name, value in HEADERS.items())
    assert "clock" not in answers[500].text


def test_a_page_with_a_style_of_its_own_runs_nothing_and_sends_nothing(
    desk: Desk,
) -> None:
    (desk.home / "report.html").write_text("<style>p { color: red }</style><p>seven</p>")
    report = desk.signed_in(RAFAEL).get("/report")
    typed = {"phone": ANNA, "do": "show"}
    record = desk.signed_in(OKAFOR).fill("/customer", typed, page="/account")
    for answer in (report, record):
        assert answer.status_code == 200
        policy = dict(
            part.strip().partition(" ")[::2]
            for part in answer.headers["content-security-policy"].split(";")
        )
        assert policy["default-src"] == "'none'"
        assert policy["form-action"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
        assert policy.keys() == {
            "default-src", "style-src", "img-src", "base-uri", "form-action", "frame-ancestors"
        }  # fmt: skip
        assert policy["img-src"] == "data:"
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/sign-in", "/look-up", "/sign-in/passkey"])
def test_what_no_form_of_ours_sends_is_not_read(
    path: str, open_desk: Desk, people: dict[str, Browser]
) -> None:
    before = kept(open_desk.home)
    form = {"content-type": "application/x-www-form-urlencoded"}
    token = people[MEI].token("/account").encode()
    whole = b"csrf=" + token + b"&phone=" + ANNA[1:].encode() + b"&purpose=sale"
    bodies: list[tuple[bytes, Mapping[str, str]]] = [
        (b"a=" + b"x" * MOST_BYTES, form),
        (b"&".join(b"a%d=1" % number for number in range(201)), form),
        (b"name=%ff&csrf=1", form),
        (b"name=\xff\xfe", form),
        (whole, {"content-type": "text/plain"}),
        (whole, {"content-type": "application/json"}),
        (whole, {"content-type": "multipart/form-data; boundary=a"}),
        (whole, {}),
    ]
    for body, headers in bodies:
        answer = people[MEI].post(path, content=body, headers=headers)
        assert answer.status_code == 400
        assert answer.text == "No form of ours."
    assert kept(open_desk.home) == before


@pages(PAGES)
def test_a_page_is_read_or_sent_a_form_and_nothing_else(
    page: Page, open_desk: Desk, people: dict[str, Browser]
) -> None:
    before = kept(open_desk.home)
    browser = people[may(page)]
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW"):
        data = {"csrf": browser.token("/account"), "phone": ANNA, "purpose": "sale"}
        assert browser.request(method, at(page), data=data).status_code == 405
    assert kept(open_desk.home) == before
    if page.get is None:
        assert browser.get(at(page)).status_code == 405


class Talkative(LookUp):
    """A look-up that fails, and says of whom."""

    @override
    def look_up(self, phone: str | None, email: str | None, asked: Actor) -> Answer:
        raise KeyError(f"{phone} {email} {asked.by}")


def test_the_text_of_an_error_that_nobody_wrote_reaches_neither_page_nor_log(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    opened = desk.site.access
    publishers = opened.look_up._publishers
    look_up = Talkative(desk.home, opened.people, publishers, opened.settings, desk.clock)
    desk.site = replace(desk.site, access=replace(opened, look_up=look_up))
    desk.app = desk_app(desk.site)
    answer = desk.signed_in(MEI).look_up(ANNA)
    assert answer.status_code == 500
    assert "(KeyError)" in said(answer)
    assert ANNA not in answer.text
    assert ANNA not in caplog.text
    assert "/look-up: KeyError" in caplog.text
    look_up.close()


def test_a_file_that_cannot_be_read_is_not_named_to_staff(desk: Desk) -> None:
    (desk.home / "report.html").mkdir()
    answer = desk.signed_in(RAFAEL).get("/report")
    assert answer.status_code == 409
    assert "Is a directory" in said(answer)
    assert str(desk.home) not in answer.text
