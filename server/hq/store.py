"""HQ's store: what its releases are, and what they came to."""

from __future__ import annotations

from server.holder.database import durable_engine
from server.hq.kept_answers import KeptAnswers
from server.hq.model_store import ModelStore
from server.hq.release_store import ReleaseStore
from server.hq.seal_store import SealStore
from server.hq.store_tables import METADATA


class HqStore(ReleaseStore, SealStore, KeptAnswers, ModelStore):
    """HQ's state behind one SQLAlchemy URL."""

    def __init__(self, url: str) -> None:
        """Opens the store, making its tables where they are missing."""
        super().__init__(durable_engine(url, METADATA))

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()
