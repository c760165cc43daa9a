"""What a holder gave today, and who reached a quota: for people, or as JSON."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

from rich.table import Table

from privacy.identity import PartyKind

if TYPE_CHECKING:
    from rich.console import Console

    from privacy.keyring import Keyring
    from server.holder.meter import Meter
    from server.holder.settings import TokenSettings


def status(ring: Keyring, meter: Meter, settings: TokenSettings, at: float) -> dict[str, object]:
    """Today's evaluations against their quotas, and the alerts of the last 30 days.

    Args:
        ring: The holder's.
        meter: Its counts.
        settings: Its quotas.
        at: Unix seconds.
    """
    given = meter.given(at)
    return {
        "epoch": ring.token_share().epoch,
        "day": dt.datetime.fromtimestamp(at, dt.UTC).date().isoformat(),
        "network": {"given": sum(given.values()), "quota": settings.network_a_day},
        "outlets": {
            name: {
                "given": given.get(name, 0),
                "quota": settings.outlets.get(name, settings.outlet_a_day),
            }
            for name in sorted({*ring.peers(PartyKind.OUTLET), *given})
        },
        "alerts": [
            {
                "at": dt.datetime.fromtimestamp(alert.at, dt.UTC).isoformat(),
                "who": alert.who,
                "quota": alert.quota,
            }
            for alert in meter.alerts(at)
        ],
    }


def show(out: Console, ring: Keyring, meter: Meter, settings: TokenSettings, at: float) -> None:
    """Prints `status` for people."""
    given, alerts = meter.given(at), meter.alerts(at)
    table = Table("outlet", "evaluations today", "quota")
    for name in sorted({*ring.peers(PartyKind.OUTLET), *given}):
        quota = settings.outlets.get(name, settings.outlet_a_day)
        table.add_row(name, str(given.get(name, 0)), str(quota))
    table.add_row("network", str(sum(given.values())), str(settings.network_a_day))
    out.print(f"Share of the token key: epoch {ring.token_share().epoch}", highlight=False)
    out.print(table)
    for alert in alerts:
        when = dt.datetime.fromtimestamp(alert.at, dt.UTC)
        out.print(
            f"Alert {when:%Y-%m-%d %H:%M} UTC: {alert.who} reached {alert.quota} a day",
            highlight=False,
        )
    if not alerts:
        out.print("No alert in the last 30 days.", highlight=False)


def as_json(ring: Keyring, meter: Meter, settings: TokenSettings, at: float) -> str:
    """`status` as JSON text."""
    return json.dumps(status(ring, meter, settings, at), indent=2) + "\n"
