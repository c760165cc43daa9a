"""The desk's web server: the stores it opens, and its TLS and port.

Invariant: without a certificate it listens on 127.0.0.1 only; what it needs is opened once, and
closed however it ends; its log names no customer and no address that was visited.
"""

from __future__ import annotations

import datetime as dt
import gc
import logging
import ssl
import sys
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

import uvicorn

from outlet_client.customer_access import open_customer_access
from outlet_client.desk.asgi_app import PAGES, desk_app
from outlet_client.desk.connection_limits import LimitedHttp
from outlet_client.desk.drafts import DraftBox
from outlet_client.desk.form_keys import FormKeys
from outlet_client.desk.kept_pages import StrangersPages
from outlet_client.desk.sessions import Challenges, Sessions
from outlet_client.desk.site import Site
from outlet_client.desk.waiting_work import open_counts
from outlet_client.errors import NotConfigured
from outlet_client.log_tables.rights_store import RightsStore
from outlet_client.moments import now
from outlet_client.services import services_of
from outlet_client.staff.accounts import Accounts, secret_of
from outlet_client.staff.agreed_texts import NOTICE, UNDERTAKING, read_text
from outlet_client.staff.passkeys import Passkeys
from outlet_client.staff.staff_store import StaffStore
from privacy.identity import PartyKind
from privacy.keyring import Keyring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_LOG = logging.getLogger(__name__)

MOST_AT_ONCE = 64
"""Connections; a desk has a handful of browsers."""

_TURN_SECONDS = 0.0005
"""For how long one thread computes while another waits; Python's own is ten times as long.

A look-up gives its turn away some sixty times, and would wait so long for each beside a client
book that is read.
"""

_CALL_SECONDS = 10.0
_DRAFT = dt.timedelta(hours=1)
"""How much longer than a session a form may live, on its way through a sign-in."""


@contextmanager
def open_site(home: Path, clock: Callable[[], dt.datetime] = now) -> Iterator[Site]:
    """Opens the stores that the pages are made from."""
    ring = Keyring(home, PartyKind.OUTLET)
    with ExitStack() as stack:
        opened = stack.enter_context(open_customer_access(home, clock))
        staff = stack.enter_context(closing(StaffStore(home)))
        rights = stack.enter_context(closing(RightsStore(home)))
        waiting = stack.enter_context(open_counts(opened, rights))
        settings = opened.settings.desk
        secret = secret_of(ring.identity())
        longest = dt.timedelta(hours=settings.session_hours)
        yield Site(
            access=opened,
            rights=rights,
            accounts=Accounts(staff, secret),
            passkeys=Passkeys(staff),
            sessions=Sessions(
                dt.timedelta(minutes=settings.idle_minutes),
                longest,
            ),
            challenges=Challenges(),
            strangers=StrangersPages(),
            form_keys=FormKeys(staff, secret, longest + _DRAFT),
            drafts=DraftBox(secret),
            pages=PAGES,
            waiting=waiting,
            undertaking=read_text(settings.undertaking or UNDERTAKING),
            notice=read_text(settings.notice or NOTICE),
            origins=settings.origins,
            services=lambda: closing(services_of(ring, _CALL_SECONDS)),
            pinned_total=ring.token_key(),
            clock=clock,
        )


def server_config(site: Site) -> uvicorn.Config:
    """The web server's configuration.

    From now on the process's threads take short turns, and what it has loaded is not searched for
    garbage.

    Raises:
        NotConfigured: If certificate or key cannot be read.
    """
    sys.setswitchinterval(_TURN_SECONDS)
    settings = site.access.settings.desk
    made = uvicorn.Config(
        desk_app(site),
        host=settings.host,
        port=settings.port,
        ssl_certfile=None if settings.certificate is None else str(settings.certificate),
        ssl_keyfile=None if settings.key is None else str(settings.key),
        http=LimitedHttp,
        log_config=None,
        access_log=False,  # it would name addresses; what was done is in the outlet's own log
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MOST_AT_ONCE,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=3,
        ws="none",
        lifespan="off",
    )
    try:
        made.load()
    except (OSError, ssl.SSLError) as error:
        raise NotConfigured(
            f"desk: certificate {settings.certificate} or key {settings.key} cannot be used "
            f"({type(error).__name__}); expected PEM files that belong together"
        ) from error
    gc.collect()
    gc.freeze()  # else now and then a look-up waits while all that was loaded so far is searched
    return made
