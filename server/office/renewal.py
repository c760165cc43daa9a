"""A new token key at the office: what stands by slot begins anew, the ledger goes on.

Slots of the new network are other ones, so a kept seed would carry an answer into wrong places, and
an open seal would make tables for the wrong customers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.holder.shares import renew
from server.office.ledger_store import end_network
from server.office.vault import KEY_FILE, Vault

if TYPE_CHECKING:
    from privacy.keyring import Keyring

OF_A_NETWORK = ("relay.db", "publications.db")
"""What ends with a token key: registrations under it, and its directory."""


def renew_network(ring: Keyring) -> None:
    """Begins a new network with the same outlets, while the office is stopped.

    Safe to run again: a kill leaves a share that nobody was given yet.

    Args:
        ring: The office's.

    Raises:
        RefreshRefused: If a refresh of the shares runs; nothing is changed then.
    """
    renew(ring)
    for name in OF_A_NETWORK:
        for file in (name, f"{name}-journal"):  # or SQLite would roll the old one back into the new
            (ring.folder / file).unlink(missing_ok=True)
    end_network(f"sqlite:///{ring.folder / 'office.db'}", Vault(ring.folder / KEY_FILE))
