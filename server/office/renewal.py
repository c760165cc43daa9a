"""A new token key at the office: what stands by slot begins anew, the ledger goes on.

Slots of the new network are other ones, so a kept seed would carry an answer into wrong places, and
an open seal would make tables for the wrong customers.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from server.holder.database import open_store
from server.holder.shares import renew
from server.holder.vault import SECRETS_FILE, KeyFile
from server.office.ledger_store import end_network
from server.office.notary import Notary
from server.office.publications import Publications
from server.office.store_place import office_url
from server.office.tables import OFFICE, RELAY
from server.office.vault import KEY_FILE, Vault

if TYPE_CHECKING:
    from privacy.keyring import Keyring


def renew_network(ring: Keyring, url: str) -> None:
    """Begins a new network with the same outlets, while the office is stopped.

    Safe to run again: a kill leaves a share that nobody was given yet.

    Args:
        ring: The office's.
        url: Of its store.

    Raises:
        StoreRefused: If there is none, or it is of another release; nothing is changed then.
        RefreshRefused: If a refresh of the shares runs; nothing is changed then.
    """
    open_store(url, OFFICE).dispose()
    renew(ring)
    for file in (RELAY.file, f"{RELAY.file}-journal"):  # or SQLite would roll it back into the new
        (ring.folder / file).unlink(missing_ok=True)
    folder = ring.folder
    end_network(url, Vault(folder / KEY_FILE), KeyFile(folder / SECRETS_FILE))


def sign_again(ring: Keyring) -> None:
    """Signs what the office said last of directories, books and logs with keys made anew.

    What outlets and HQ hold of before is checked with the key that the new card names besides.

    Args:
        ring: The office's.
    """
    signing, url = ring.identity().signing, office_url(ring.folder)
    with closing(Notary(url, signing)) as heads:
        heads.sign_again()
    with closing(Publications(url, signing, 0)) as said:
        said.sign_again()
