"""`escapement-outlet desk`: serves the staff's pages at the outlet."""

from __future__ import annotations

import logging
from contextlib import suppress

from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import HERE, Home
from outlet_client.commands.output import ERR, say
from outlet_client.errors import NotConfigured
from outlet_client.folder_locks import in_use
from outlet_client.logs import logging_to

_LOG = logging.getLogger(__name__)


def desk(home: Home = HERE) -> None:
    """Serves the staff's pages: look-ups, allocations, sightings, log, requests."""
    # Loaded here: every command would pay for it otherwise.
    import uvicorn

    from outlet_client.desk.desk_server import open_site, server_config

    report = None if ERR.is_terminal else lambda text: _LOG.error("%s", text)
    with logging_to(ERR), failing(report), in_use(home), open_site(home) as site:
        server = uvicorn.Server(server_config(site))
        say(f"The desk is at {site.origins[0]}; stop with Ctrl-C.")
        if not site.accounts.all():
            say("Nobody can sign in yet: `escapement-outlet staff add NAME --role manager`.")
        with suppress(SystemExit):  # so it ends where it cannot listen
            server.run()
        if not server.started:
            listen = site.access.settings.desk.listen
            raise NotConfigured(
                f"desk.listen: {listen} cannot be listened on; is a desk running there already?"
            )
