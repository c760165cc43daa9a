"""`escapement-outlet desk`: serves the staff's pages at the outlet."""

from __future__ import annotations

import logging
from contextlib import suppress

import uvicorn

from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import ERR, HERE, OUT, Home
from outlet_client.desk.desk_server import configured, site_of
from outlet_client.errors import NotConfigured
from outlet_client.logs import logged

_LOG = logging.getLogger(__name__)


def desk(home: Home = HERE) -> None:
    """Serves the staff's pages: look-ups, allocations, sightings, log, requests."""
    say = None if ERR.is_terminal else lambda text: _LOG.error("%s", text)
    with logged(ERR), failing(say), site_of(home) as site:
        server = uvicorn.Server(configured(site))
        OUT.print(f"The desk is at {site.origins[0]}; stop with Ctrl-C.", highlight=False)
        if not site.accounts.all():
            OUT.print(
                "Nobody can sign in yet: `escapement-outlet staff add NAME --role manager`.",
                highlight=False,
            )
        with suppress(SystemExit):  # so it ends where it cannot listen
            server.run()
        if not server.started:
            listen = site.desk.settings.desk.listen
            raise NotConfigured(
                f"desk.listen: {listen} cannot be listened on; is a desk running there already?"
            )
