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

KEPT_SEEDS = sa.Table(
    "kept_seeds",
    METADATA,
    sa.Column("outlet", sa.Text, primary_key=True),
    sa.Column("scorecard", sa.Text, nullable=False),
    sa.Column("plan", sa.Text, nullable=False),
    sa.Column("commitment", sa.Text, nullable=False),
    sa.Column("dimension", sa.BigInteger, nullable=False),
    sa.Column("ring_bits", sa.Integer, nullable=False),
    sa.Column("scale", sa.BigInteger, nullable=False),
    sa.Column("norm", sa.BigInteger, nullable=False),
    sa.Column("outlet_bound", sa.BigInteger, nullable=False),
    sa.Column("as_of", sa.Text, nullable=False),
    sa.Column("answered_at", sa.BigInteger, nullable=False),
    sa.Column("seed", sa.LargeBinary, nullable=False),
)
"""Each outlet's last points seed: with it, an absent outlet counts with its last answer."""

sa.Index("kept_seeds_by_age", KEPT_SEEDS.c.answered_at)

POINTS_SETS = sa.Table(
    "points_sets",
    METADATA,
    sa.Column("scorecard", sa.Text, primary_key=True),
    sa.Column("outlets", sa.Text, nullable=False),
    sa.Column("first_at", sa.BigInteger, nullable=False),
)
"""Who was in a scorecard's latest points release, and when its first was charged."""

sa.Index("points_sets_by_their_first", POINTS_SETS.c.first_at)

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

GONE = ("DROP TABLE IF EXISTS points_seeds",)
"""Of release 0.1: nothing says how old its seeds are, and its answers could be guessed."""
