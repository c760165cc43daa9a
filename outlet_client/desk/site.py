"""The desk's site: its open stores, the visitor of a request, and how pages are rendered.

Invariant: a page is a function of one visit and of the site; it names a customer by what was typed
in the very form it answers, or by the outlet's own id, and by nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.responses import HTMLResponse, RedirectResponse, Response

from outlet_client.page_templates import page_templates
from outlet_client.records.access_log import LogAct, record_act

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from outlet_client.customer_access import CustomerAccess
    from outlet_client.desk.sessions import Challenges, Session, Sessions
    from outlet_client.log_tables.rights_store import RightsStore
    from outlet_client.services import Services
    from outlet_client.staff.accounts import Account, Accounts, Role
    from outlet_client.staff.agreed_texts import Text
    from outlet_client.staff.passkeys import Passkeys

_HERE = Path(__file__).parent
_TEMPLATES = page_templates(_HERE / "templates")

COOKIE = "desk"
"""Of the session; `__Host-desk` over TLS."""

OWN_STYLE = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
"""For pages that are files of their own, with a style in them and nothing that runs."""

MOST_DIGITS = 9
"""Of a number in a path, a query or a form."""


@dataclass(frozen=True, slots=True, repr=False)
class Site:
    """The open stores and settings that pages are made from; one a process.

    Attributes:
        origins: The addresses under which browsers know the desk, such as http://localhost:8480;
            the first is the one for passkeys.
        services: Opens HQ's and the office's services, for a first-time look-up.
        pinned_total: The network's token key.
    """

    access: CustomerAccess
    rights: RightsStore
    accounts: Accounts
    passkeys: Passkeys
    sessions: Sessions
    challenges: Challenges
    undertaking: Text
    notice: Text
    origins: tuple[str, ...]
    services: Callable[[], AbstractContextManager[Services]]
    pinned_total: bytes
    clock: Callable[[], dt.datetime]

    @property
    def home(self) -> Path:
        """The outlet's folder."""
        return self.access.home

    def log(
        self, at: dt.datetime, act: LogAct, by: str, *, about: str = "", outcome: str = ""
    ) -> None:
        """Adds an act to the log; it is durable when this returns."""
        with self.rights.transaction() as connection:
            record_act(connection, at, act, by, about=about, outcome=outcome)

    @contextmanager
    def logged(
        self, at: dt.datetime, act: LogAct, by: str, *, about: str, outcome: str
    ) -> Iterator[None]:
        """Adds an act to the log and lets it be done; where either fails, it is not in the log."""
        with self.rights.transaction() as connection:
            record_act(connection, at, act, by, about=about, outcome=outcome)
            yield

    @property
    def is_secure(self) -> bool:
        """Whether it is reached over TLS."""
        return self.origins[0].startswith("https:")

    @property
    def cookie(self) -> str:
        """The session cookie's name."""
        return self.cookie_of(COOKIE)

    def cookie_of(self, name: str) -> str:
        """A cookie's name; with this prefix browsers take it over TLS only, and from here only."""
        return f"__Host-{name}" if self.is_secure else name


@dataclass(frozen=True, slots=True, repr=False)
class Visit:
    """One request of a known visitor.

    Attributes:
        numbers: What stands in the path.
        query: What stands behind the path; never anything of a customer.
        account: Whose; None where nobody is signed in.
        origin: The address under which the browser knows the desk.
    """

    at: dt.datetime
    form: Mapping[str, str]
    numbers: Mapping[str, int]
    query: Mapping[str, str]
    account: Account | None
    session: Session | None
    origin: str
    cookies: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Who visits.

        Raises:
            LookupError: If nobody is signed in; such a page is not reached then.
        """
        if self.account is None:
            raise LookupError("visit: nobody is signed in")
        return self.account.name

    def typed(self, name: str) -> str:
        """A field as typed, without spaces around it; "" where there is none."""
        return self.form.get(name, "").strip()

    def number(self, name: str) -> int | None:
        """A field that is a number; None where it is none, or a very large one."""
        return number_of(self.typed(name))


View = Callable[[Site, Visit], Response]


@dataclass(frozen=True, slots=True)
class Page:
    """One address of the desk, with who may see it.

    Attributes:
        roles: Who may go there; empty where nobody has to be signed in.
        before_undertaking: Whether it can be reached before the undertaking was given and a
            temporary password changed.
    """

    path: str
    roles: frozenset[Role]
    get: View | None = None
    post: View | None = None
    before_undertaking: bool = False
    checks_password: bool = False


def render(
    template: str, site: Site, visit: Visit, status: HTTPStatus = HTTPStatus.OK, **values: Any
) -> HTMLResponse:
    """Renders a template as a page."""
    text = _TEMPLATES.get_template(template).render(
        account=visit.account,
        csrf="" if visit.session is None else visit.session.csrf,
        outlet=site.access.outlet,
        style=style()[1],
        **values,
    )
    return HTMLResponse(text, status)


def number_of(text: str) -> int | None:
    """A number of at most `MOST_DIGITS` digits; None where a text is none."""
    good = len(text) <= MOST_DIGITS and text.isascii() and text.isdecimal()
    return int(text) if good else None


def redirect_to(path: str) -> RedirectResponse:
    """Sends the browser to another page of ours, to be read with GET."""
    return RedirectResponse(path, HTTPStatus.SEE_OTHER)


def message_page(
    site: Site, visit: Visit, status: HTTPStatus, title: str, *lines: str, back: str = "/"
) -> HTMLResponse:
    """A page with one message."""
    return render("message.html", site, visit, status, title=title, lines=lines, back=back)


@cache
def style() -> tuple[bytes, str]:
    """The style sheet, and a digest of its content."""
    data = (_HERE / "desk.css").read_bytes()
    return data, hashlib.sha256(data).hexdigest()[:12]


@cache
def script() -> bytes:
    """The only script, which talks to the browser's passkeys, and a digest of its content."""
    return (_HERE / "passkeys.js").read_bytes()
