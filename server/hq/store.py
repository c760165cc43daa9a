"""HQ's store: what its releases are, and what they came to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.holder.vault import SECRETS_FILE, KeyFile
from server.hq.holds import HoldStore
from server.hq.kept_answers import KeptAnswers
from server.hq.model_store import ModelStore
from server.hq.registry_renewal import open_hq
from server.hq.release_store import ReleaseStore
from server.hq.seal_store import SealStore
from server.hq.sealed_outlets import SealedOutlets
from server.hq.tables import HQ

if TYPE_CHECKING:
    from pathlib import Path

    import sqlalchemy as sa


class HqStore(ReleaseStore, SealStore, SealedOutlets, KeptAnswers, ModelStore, HoldStore):
    """HQ's state behind one SQLAlchemy URL."""

    _engine: sa.Engine

    def __init__(self, url: str, keys: KeyFile | None = None) -> None:
        """Opens the store.

        Args:
            url: Such as `sqlite:///hq.db`, or `sqlite://` for memory.
            keys: Of what dies with a seal; beside a SQLite store where None.

        Raises:
            StoreRefused: If there is none, or it is another role's or release's.
            RegistryOutdated: If it is of release 0.1, which listed tokens.
        """
        keys = keys or KeyFile.beside(url)
        engine = open_hq(url)
        ReleaseStore.__init__(self, engine)
        SealStore.__init__(self, engine, keys)
        self.end_unreadable()

    @classmethod
    def of(cls, home: Path, database: str) -> HqStore:
        """Opens the store of a folder.

        Args:
            home: HQ's folder.
            database: The setting of that name.
        """
        return cls(HQ.url(home, database), KeyFile(home / SECRETS_FILE))

    def forget_over(self, at: float) -> None:
        """Deletes what nights left behind that nobody can take up any more.

        What stays for good is what an audit reads: scorecards, calibrations, evaluations.

        Args:
            at: Now, in Unix seconds.
        """
        self.forget_seals(self.forget_nights(at))
        self.forget_old_answers(at)

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()
