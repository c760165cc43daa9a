"""The mail that says how a night went: what is in it, how it travels, and what its failure does."""

from __future__ import annotations

import datetime as dt
import json
import re
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from outlet_client.errors import HqUnreachable, NotConfigured
from outlet_client.main import app
from outlet_client.night.health_file import Condition, Health, read_health, write_health
from outlet_client.night.night_log import NightStep
from outlet_client.night.night_mail import NightSummary, mail_night
from outlet_client.night.night_run import nightly
from outlet_client.night.outlet_standing import next_steps, standing
from outlet_client.night.step_failures import StepFailure
from outlet_client.report.mail_delivery import MailFailed, compose_mail, deliver
from outlet_client.settings import MailSettings, OutletFile
from tests.outlet_client.mail_server import BEN, MEI, PASSWORD, USER, MailServer, mail_server
from tests.outlet_client.nightly_outlet import BOOK, EVENTS, hurried, one, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage
    from pathlib import Path

    from tests.outlet_client.nightly_outlet import OneOutlet

__all__ = ["one"]

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")

AT = dt.datetime(2026, 3, 1, 1, 55, tzinfo=dt.UTC)
GOOD = NightSummary(AT, (), None)
BAD = NightSummary(AT, (StepFailure(NightStep.LEDGER, "LedgerError"),), None)
AWAY = "HQ was not reached, or broke off"
QUICK = 0.3


def settings(folder: Path, port: int, security: str = "starttls", **changes: object) -> str:
    """The section, with the server's certificate and a password."""
    file = folder / "mail.password"
    file.write_text(f"{PASSWORD}\n")
    file.chmod(0o600)
    values: dict[str, object] = {
        "host": "localhost", "port": port, "security": security, "user": USER,
        "password_file": "mail.password", "ca_file": "ca.pem", "sender": "night@shop.example",
        "to": [MEI, BEN], **changes,
    }  # fmt: skip
    kept = {name: value for name, value in values.items() if value is not None}
    lines = [f"{name} = {json.dumps(value)}" for name, value in kept.items()]
    return "[mail]\n" + "\n".join(lines) + "\n"


def configure(
    folder: Path, port: int, security: str = "starttls", **changes: object
) -> MailSettings:
    """Writes settings with a section [mail], and reads it."""
    text = settings(folder, port, security, **changes)
    (folder / "escapement.toml").write_text(f'ledger = "ledger.csv"\n{text}')
    found = MailSettings.read(folder / "escapement.toml")
    assert found is not None
    assert OutletFile.read(folder / "escapement.toml").mail == found
    return found


def mail(found: MailSettings) -> EmailMessage:
    return compose_mail(found, "Escapement O1: test", "text\n")


# --- how it travels -------------------------------------------------------------------------------


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_mail_travels_under_tls_to_the_server_of_the_certificate_only(
    tmp_path: Path, security: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getfqdn", lambda *_: "till-7.shop.internal")
    with mail_server(tmp_path, security) as server:
        strangers: list[dict[str, object]] = [{"ca_file": None}, {"host": "127.0.0.1"}]
        for change in strangers:  # not signed by whom the machine trusts; not its name
            found = configure(tmp_path, server.port, security, **change)
            with pytest.raises(MailFailed, match="certificate not trusted"):
                deliver(found, mail(found))
        assert (server.logins, server.mails) == ([], [])
        found = configure(tmp_path, server.port, security)
        deliver(found, mail(found))
    assert server.logins == [(USER, PASSWORD)]
    [(to, sent)] = server.mails
    assert (to, sent["From"], sent["Subject"]) == (
        [MEI, BEN], "night@shop.example", "Escapement O1: test",
    )  # fmt: skip
    assert server.greetings == ["[127.0.0.1]"]  # not its own name
    assert sent["Message-ID"].endswith("@shop.example>")
    assert server.over_tls == [security == "starttls"]


def test_a_server_without_tls_gets_neither_password_nor_text(tmp_path: Path) -> None:
    with mail_server(tmp_path, "none", asks=False) as server:
        found = configure(tmp_path, server.port)
        with pytest.raises(MailFailed, match="offers no STARTTLS"):
            deliver(found, mail(found))
        assert (server.logins, server.mails) == ([], [])
        found = configure(tmp_path, server.port, "none")
        deliver(found, mail(found))
        assert (len(server.logins), len(server.mails)) == (1, 1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"security": "none", "host": "mail.shop.example"}, "in the clear"),
        ({"security": "none", "host": "127.0.0.1.evil.example"}, "in the clear"),
        ({"security": "ssl"}, "security"),
        ({"password_file": None}, "both user and password_file"),
        ({"to": []}, "to"),
        ({"to": [f"{MEI}\nBcc: {BEN}"]}, "to.0"),
        ({"sender": f"Mei <{MEI}>"}, "sender"),
        ({"subject": "x"}, "subject"),
    ],
)
def test_settings_that_would_tell_others_are_refused_without_repeating_an_address(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    (tmp_path / "escapement.toml").write_text(
        'ledger = "ledger.csv"\n' + settings(tmp_path, 25, **changes)  # type: ignore[arg-type]
    )
    for read in (OutletFile.read, MailSettings.read):
        with pytest.raises(NotConfigured, match=re.escape(said)) as caught:
            read(tmp_path / "escapement.toml")
        assert "mei" not in str(caught.value).lower()


def test_a_name_that_only_looks_like_this_machine_gets_nothing_in_the_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the machine's table of names sends localhost elsewhere."""
    with mail_server(tmp_path, "none", asks=False) as server:
        found = configure(tmp_path, server.port, "none")
        monkeypatch.setattr(socket.socket, "getpeername", lambda _self: ("203.0.113.5", 25))
        with pytest.raises(MailFailed, match="another machine"):
            deliver(found, mail(found))
    assert (server.logins, server.mails) == ([], [])


def test_what_a_server_refuses_is_told_by_kind_and_never_in_its_words(tmp_path: Path) -> None:
    with mail_server(tmp_path, "starttls") as server:
        found = configure(tmp_path, server.port)
        server.refused = {BEN}
        with pytest.raises(MailFailed, match=r"refuses number 2 \(550\) of 2 in mail.to$") as some:
            deliver(found, mail(found))
        assert [to for to, _ in server.mails] == [[MEI]]
        server.refused = {MEI, BEN}
        with pytest.raises(MailFailed, match=r"number 1 \(550\), number 2 \(550\)") as everybody:
            deliver(found, mail(found))
        found = configure(tmp_path, server.port, user="who")
        with pytest.raises(MailFailed, match=r"refuses user or password \(535\)") as login:
            deliver(found, mail(found))
    for caught in (some, everybody, login):
        assert not re.search(rf"@|person|{PASSWORD}", str(caught.value))


@pytest.mark.parametrize("text", [b"", b"2"])
def test_a_server_that_hangs_or_drips_is_left_in_time(tmp_path: Path, text: bytes) -> None:
    with hanging(text) as port:
        found = configure(tmp_path, port, "none", ca_file=None)
        began = time.monotonic()
        with pytest.raises(MailFailed, match="not done in time"):
            deliver(found, mail(found), patience=QUICK)
        assert time.monotonic() - began < 10 * QUICK


@contextmanager
def hanging(text: bytes) -> Iterator[int]:
    """Listens, and says as little as it can: a byte often enough to pass a socket's limit."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                while not over.wait(QUICK / 3):
                    connection.sendall(text)

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        over.set()
        thread.join()


@pytest.mark.parametrize(
    ("mode", "content", "said"),
    [
        (0o644, "long", "run chmod 600 mail.password"),
        (0o600, "", "expected a password"),
        (0o600, "pässword", "plain ASCII"),
    ],
)
def test_a_password_that_others_read_or_no_server_takes_is_named_by_its_file(
    tmp_path: Path, mode: int, content: str, said: str
) -> None:
    found = configure(tmp_path, 25, ca_file=None)
    assert found.password_file is not None
    found.password_file.write_text(content)
    found.password_file.chmod(mode)
    with pytest.raises(MailFailed, match=said) as caught:
        deliver(found, mail(found))
    assert "pässword" not in str(caught.value)


# --- what is in it --------------------------------------------------------------------------------

STEPS = "ledger|people|answers|book|log|report|retention|no night began"
LINES = (
    r"outlet: night of \d{4}-\d\d-\d\d (complete|failed: [\w ,']+)",
    r"",
    r"To decide: (nothing|\d+ things?, see the report)",
    r"What broke:",
    rf"- ({STEPS}): [\w ,']+; [\w `;,-]+ `?escapement-outlet \w+`? [\w ]+\.",
    r"- \d+ rows? (is|are) in quarantine: `quarantine.csv` says which and why\.",
    r"- The newest row is \d+ days old: does the export still run\?",
    r"What changed( since \d{4}-\d\d-\d\d)?:( nothing)?",
    r"- \d+ ledger rows in use, \d+ read tonight\.",
    r"Rows that do not count: \d+ no events, \d+ of walk-ins",
    r"Band book: (none yet|as of \d{4}-\d\d-\d\d)",
    r"Log: last countersigned (never|\d{4}-\d\d-\d\d), findings: \d+",
    r"Report, on the outlet's machine: /[\w/.-]+/report.html",
    r"How the outlet stands: `escapement-outlet status`",
)


def add_mail(home: Path, server: MailServer, **changes: object) -> None:
    with (home / "escapement.toml").open("a") as file:
        file.write(settings(home, server.port, **changes))  # type: ignore[arg-type]


def test_a_nights_mail_holds_kinds_days_and_counts_and_nothing_of_a_customer(
    one: OneOutlet,
) -> None:
    one.write_ledger(*EVENTS, ("anna", "2026-13-01", 123456.5, "basket-77"))
    hurried(one, most_quarantined=0.5)
    with mail_server(one.home, "starttls") as server:
        add_mail(one.home, server)
        assert isinstance(run(one.anew()), HqUnreachable)
    [(_, sent)] = server.mails
    text = sent.get_content().replace("\r\n", "\n")
    day = dt.datetime.now(dt.UTC).date()
    assert sent["Subject"] == f"Escapement outlet: night of {day} failed: {AWAY}"
    for line in text.splitlines():
        assert any(re.fullmatch(form, line) for form in LINES), line
    headings = ("To decide:", "What broke:", f"answers: {AWAY}; if", "What changed", "Band book:")
    places = [text.index(one) for one in headings]
    assert places == sorted(places)
    assert f"- {len(EVENTS)} ledger rows in use, {len(EVENTS) + 1} read tonight." in text
    assert "- 1 row is in quarantine" in text
    assert "HqUnreachable" not in text
    assert len(set(lines := [one for one in text.splitlines() if one])) == len(lines)
    cells = {str(cell) for row in (*EVENTS, *BOOK) for cell in row if cell}
    for cell in (*cells, "123456", "basket-77", "2026-13-01", "127.0.0.1:1"):
        assert not re.search(rf"\b{re.escape(cell)}\b", text), cell
    health = read_health(one.home)
    assert health is not None
    assert (health.status, health.mail_error) == (Condition.FAILED, None)


def test_only_a_night_that_failed_is_mailed_where_the_settings_say_so(tmp_path: Path) -> None:
    with mail_server(tmp_path, "starttls") as server:
        configure(tmp_path, server.port, only_on_failure=True)
        mail_night(tmp_path, GOOD)
        mail_night(tmp_path, BAD)
        configure(tmp_path, server.port)
        mail_night(tmp_path, GOOD)
    subjects = [sent["Subject"].partition(": ")[2] for _, sent in server.mails]
    assert subjects == [
        "night of 2026-03-01 failed: the ledger or the client book could not be read",
        "night of 2026-03-01 complete",
    ]


def test_a_night_that_could_not_begin_is_mailed_though_its_settings_are_wrong(
    one: OneOutlet,
) -> None:
    with mail_server(one.home, "starttls") as server:
        hurried(one, keep_weeks=3)
        add_mail(one.home, server)
        with pytest.raises(NotConfigured, match="keep_weeks"):
            nightly(one.home)
    [(_, sent)] = server.mails
    assert "no night began: a setting, key or card is missing" in sent.get_content()
    assert "keep_weeks" not in sent.get_content()


# --- what its failure does ------------------------------------------------------------------------


def test_a_night_is_what_it_was_where_its_mail_fails_and_status_says_why(
    one: OneOutlet, caplog: pytest.LogCaptureFixture
) -> None:
    hurried(one)
    with mail_server(one.home, "starttls") as server:
        server.refused = {MEI, BEN}
        add_mail(one.home, server)
        assert isinstance(run(one.anew()), HqUnreachable)
    found = standing(one.home, OutletFile.read(one.home / "escapement.toml"), AT)
    assert found.mail_error is not None
    assert "refuses number 1 (550), number 2 (550) of 2 in mail.to" in found.mail_error
    [said] = [step for step in next_steps(found, AT) if "not mailed" in step]
    assert said.endswith("; `escapement-outlet mail test` tries it")
    assert "the night was not mailed: mail: localhost:" in caplog.text
    assert MEI not in f"{caplog.text}{said}"
    hurried(one)  # without [mail]
    run(one.anew())
    health = read_health(one.home)
    assert health is not None
    assert health.mail_error is None


def test_whatever_ends_a_mail_raises_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_health(tmp_path, Health(Condition.OK, night=3))
    for text in ("[mail", "[mail]\nhost = 3", '[mail]\nsender = "x"'):
        (tmp_path / "escapement.toml").write_text(text)
        mail_night(tmp_path, GOOD)
        health = read_health(tmp_path)
        assert health is not None
        assert (health.status, "escapement.toml: mail: " in str(health.mail_error)) == ("ok", True)
    with hanging(b"") as port:
        configure(tmp_path, port, "none", ca_file=None)
        mail_night(tmp_path, GOOD, patience=QUICK)
    monkeypatch.setattr("outlet_client.night.night_mail.night_text", lambda *_: 1 / 0)
    mail_night(tmp_path, GOOD)
    health = read_health(tmp_path)
    assert health is not None
    assert health.mail_error == "ZeroDivisionError"


def test_mail_test_sends_one_and_says_what_is_wrong_by_its_exit_code(tmp_path: Path) -> None:
    def tried() -> tuple[int, str]:
        done = CliRunner().invoke(app, ["mail", "test", "--home", str(tmp_path)])
        assert not re.search(rf"@|{PASSWORD}", done.output)
        return done.exit_code, " ".join(done.output.split())

    (tmp_path / "escapement.toml").write_text('ledger = "ledger.csv"\n')
    assert tried()[0] == 6
    with mail_server(tmp_path, "starttls") as server:
        configure(tmp_path, server.port)
        code, said = tried()
        assert (code, "localhost took it for 2" in said) == (0, True)
        server.refused = {BEN}
        code, said = tried()
        assert (code, "number 2 (550) of 2" in said) == (11, True)
    code, said = tried()
    assert (code, "Connection refused" in said) == (11, True)
    assert server.mails[0][1]["Subject"] == f"Escapement {tmp_path.name}: test"
