"""The tables of the office's store.

What is asked during a night is found through an index, so that no question takes longer the more
nights there were.
"""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData()

LEDGER = sa.Table(
    "ledger",
    METADATA,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("act", sa.Text, nullable=False),
    sa.Column("night", sa.Text, nullable=False),
    sa.Column("release", sa.Text, nullable=False),
    sa.Column("purpose", sa.Text),
    sa.Column("rho", sa.Text, nullable=False),
    sa.Column("noiseless", sa.Boolean, nullable=False),
    sa.Column("previous", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False, unique=True),
)
"""What was reserved, charged and closed, in the order of its hash chain."""

NIGHTS = sa.Table(
    "nights",
    METADATA,
    sa.Column("night", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False, unique=True),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.Column("expires", sa.BigInteger, nullable=False),
)
"""Signed night plans."""

RELEASES = sa.Table(
    "releases",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("release", sa.Text, nullable=False, unique=True),
    sa.Column("digest", sa.Text, nullable=False, unique=True),
    sa.Column("night", sa.Text, nullable=False),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("directory", sa.Text, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.Column("expires", sa.BigInteger, nullable=False),
    sa.Column("key", sa.LargeBinary),
    sa.Column("set_digest", sa.Text),
    sa.Column("answer", sa.LargeBinary),
)
"""Signed release plans, and how far each release is."""

sa.Index("releases_of_a_night", RELEASES.c.night)
sa.Index("releases_with_a_key", RELEASES.c.night, sqlite_where=RELEASES.c.key.is_not(None))

SEALS = sa.Table(
    "seals",
    METADATA,
    sa.Column("plan", sa.Text, sa.ForeignKey("releases.digest"), primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("transfers", sa.LargeBinary, nullable=False),
    sa.Column("key", sa.LargeBinary),
    sa.Column("secrets", sa.LargeBinary),
    sa.Column("seeds", sa.LargeBinary),
    sa.Column("set_at", sa.BigInteger),
)
"""What a seal has more than a release: its state, wrapped secrets, and when its set was stored."""

sa.Index("seals_by_kind", SEALS.c.kind, SEALS.c.set_at)
sa.Index("seals_with_secrets", SEALS.c.plan, sqlite_where=SEALS.c.secrets.is_not(None))

SEAL_CHUNKS = sa.Table(
    "seal_chunks",
    METADATA,
    sa.Column("plan", sa.Text, sa.ForeignKey("seals.plan"), primary_key=True),
    sa.Column("chunk", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("choices", sa.Text, nullable=False),
    sa.Column("verified", sa.Boolean, nullable=False),
)
"""The digest of HQ's choices of each chunk, and whether their check was passed."""

BAND_TERMS = sa.Table(
    "band_terms",
    METADATA,
    sa.Column("scorecard", sa.Text, nullable=False),
    sa.Column("cuts", sa.Text, nullable=False),
    sa.Column("since", sa.BigInteger, nullable=False),
    sa.Column("calibrated", sa.Boolean, nullable=False),
)
"""One row: by which scorecards bands are and where they begin, since when, and whether a
calibration was answered since."""

SEALED_OUTLETS = sa.Table(
    "sealed_outlets",
    METADATA,
    sa.Column("outlet", sa.Text, primary_key=True),
)
"""Who was ever in the set of a seal, of whatever kind. Nothing deletes a row."""

KEPT_SEEDS = sa.Table(
    "kept_seeds",
    METADATA,
    sa.Column("outlet", sa.Text, primary_key=True),
    sa.Column("plan", sa.Text, nullable=False),
    sa.Column("commitment", sa.Text, nullable=False),
    sa.Column("scorecard", sa.Text, nullable=False),
    sa.Column("scores", sa.Integer, nullable=False),
    sa.Column("modulus", sa.Integer, nullable=False),
    sa.Column("dimension", sa.BigInteger, nullable=False),
    sa.Column("as_of", sa.Text, nullable=False),
    sa.Column("answered_at", sa.BigInteger, nullable=False),
    sa.Column("seed", sa.LargeBinary, nullable=False),
)
"""Each outlet's last seed for bands: with it, an absent outlet counts with its last answer."""

sa.Index("kept_seeds_by_age", KEPT_SEEDS.c.answered_at)

LATEST_DAYS = sa.Table(
    "latest_days",
    METADATA,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("day", sa.Text, nullable=False),
)
"""The latest last day of what was signed, ISO 8601, by the kind of day."""

_REFUSED = "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
_MISPLACED = "WHEN NEW.sequence <> COALESCE((SELECT MAX(sequence) FROM ledger), -1) + 1"
TRIGGERS = (
    f"CREATE TRIGGER IF NOT EXISTS ledger_no_update BEFORE UPDATE ON ledger {_REFUSED}",
    f"CREATE TRIGGER IF NOT EXISTS ledger_no_delete BEFORE DELETE ON ledger {_REFUSED}",
    f"CREATE TRIGGER IF NOT EXISTS ledger_at_end BEFORE INSERT ON ledger {_MISPLACED} {_REFUSED}",
    "DROP TRIGGER IF EXISTS ledger_in_order",  # of release 0.1: it counted all entries
)
"""The ledger is append-only for whoever holds a connection too: no row is changed or deleted, nor
put in another's place."""

GONE = ("DROP TABLE IF EXISTS points_seeds", "DROP TABLE IF EXISTS points_sets")
"""Of release 0.1: nothing says how old its seeds are, and sets of points have no rule any more."""
