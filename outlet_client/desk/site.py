"""The desk's site: its open stores, the visitor of a request, and how pages are rendered.

Invariant: a page is a function of one visit and of the site; it names a customer by what was typed
in the very form it answers, or by the outlet's own id, and by nothing else.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.background import BackgroundTask
from starlette.responses import HTMLResponse, RedirectResponse, Response

from outlet_client.bands.band_labels import LABELS
from outlet_client.page_templates import page_templates
from outlet_client.records.access_log import LogAct, record_act

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from outlet_client.customer_access import CustomerAccess
    from outlet_client.desk.drafts import DraftBox
    from outlet_client.desk.form_keys import FormKeys
    from outlet_client.desk.kept_pages import StrangersPages
    from outlet_client.desk.sessions import Challenges, Session, Sessions
    from outlet_client.desk.waiting_counts import WaitingCounts
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

_WARN_SECONDS = 120

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
        strangers: What answered forms of browsers in which nobody is signed in.
        pages: All addresses.
        waiting: How much waits for whom.
    """

    access: CustomerAccess
    rights: RightsStore
    accounts: Accounts
    passkeys: Passkeys
    sessions: Sessions
    challenges: Challenges
    strangers: StrangersPages
    form_keys: FormKeys
    drafts: DraftBox
    pages: tuple[Page, ...]
    waiting: WaitingCounts
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
        path: Of the page.
        made: When the form that was sent was made; None without one.
        told: A sentence that is shown above the page.
    """

    at: dt.datetime
    form: Mapping[str, str]
    numbers: Mapping[str, int]
    query: Mapping[str, str]
    account: Account | None
    session: Session | None
    origin: str
    cookies: Mapping[str, str] = field(default_factory=dict)
    path: str = ""
    made: dt.datetime | None = None
    told: str = ""

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
        checks_password: Whether its form holds a password, and is queued; a wrong one counts.
        opens_session: Whether its form lets somebody in; done again, it lets them in again.
        keeps_text: Whether what was typed is shown again where the form came too late.
        durable: Whether that its form was sent is remembered over a restart.
        acts: Whether its form does anything.
        shows: Which page has its form, and shows the answer; itself where empty.
    """

    path: str
    roles: frozenset[Role]
    get: View | None = None
    post: View | None = None
    before_undertaking: bool = False
    checks_password: bool = False
    opens_session: bool = False
    keeps_text: bool = False
    durable: bool = True
    acts: bool = True
    shows: str = ""

    def form_path(self, path: str) -> str:
        """The address of the page that has the form which was sent to a path."""
        return self.shows or path

    def fits(self, path: str) -> bool:
        """Whether a path is one of this page's."""
        pattern = self.path.replace("{number:number}", f"[0-9]{{1,{MOST_DIGITS}}}")
        return re.fullmatch(pattern, path) is not None


class PageResponse(HTMLResponse):
    """A page.

    `acted` is false where a form that it answers did nothing yet, and may be sent again; `still`
    says whether it may be shown again as it is.
    """

    acted: bool = True
    still: Callable[[], bool] = staticmethod(lambda: True)


class DoneResponse(RedirectResponse):
    """Sends the browser on after an act; `said` confirms it there, and names no customer."""

    said: str = ""


def render(
    template: str, site: Site, visit: Visit, status: HTTPStatus = HTTPStatus.OK, **values: Any
) -> PageResponse:
    """Renders a template as a page.

    In it `labels` are the names of the scores, `key(path)` makes the one-time key of a form,
    `may(path)` says whether whoever visits may see a page, and `waits` is how much waits for them,
    by page.
    """
    name = "" if visit.account is None else visit.account.name
    role = None if visit.account is None else visit.account.role
    text = _TEMPLATES.get_template(template).render(
        account=visit.account,
        csrf="" if visit.session is None else visit.session.csrf,
        outlet=site.access.outlet,
        labels=LABELS[site.access.settings.desk.labels],
        style=style(site.access.settings.desk.idle_minutes)[1],
        told=visit.told,
        key=lambda path: site.form_keys.make(name, path, visit.at),
        may=lambda path: any(one.path == path and role in one.roles for one in site.pages),
        waits={} if role is None else site.waiting.of(role, visit.at),
        **values,
    )
    made = PageResponse(text, status)
    if role is not None and site.waiting.is_old(role, visit.at):
        made.background = BackgroundTask(site.waiting.refresh, role, visit.at)
    return made


def number_of(text: str) -> int | None:
    """A number of at most `MOST_DIGITS` digits; None where a text is none."""
    good = len(text) <= MOST_DIGITS and text.isascii() and text.isdecimal()
    return int(text) if good else None


def redirect_to(path: str, said: str = "") -> DoneResponse:
    """Sends the browser to another page of ours, to be read with GET.

    `said` is a sentence of ours, with nothing of a customer, that confirms there what was done.
    """
    made = DoneResponse(path, HTTPStatus.SEE_OTHER)
    made.said = said
    return made


def message_page(
    site: Site, visit: Visit, status: HTTPStatus, title: str, *lines: str, back: str = "/"
) -> PageResponse:
    """A page with one message."""
    return render("message.html", site, visit, status, title=title, lines=lines, back=back)


@cache
def style(idle_minutes: float) -> tuple[bytes, str]:
    """The style sheet, and a digest of its content.

    It shows what says that a page is about to be put away, two minutes before: no script runs.
    """
    seconds = 60 * idle_minutes
    warned = max(seconds - _WARN_SECONDS, seconds / 2)
    data = (_HERE / "desk.css").read_bytes() + f":root {{ --away: {warned:.0f}s; }}\n".encode()
    return data, hashlib.sha256(data).hexdigest()[:12]


@cache
def script() -> bytes:
    """The only script, which talks to the browser's passkeys, and a digest of its content."""
    return (_HERE / "passkeys.js").read_bytes()
