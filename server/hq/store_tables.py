"""The tables of HQ's store."""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData()
RELEASES = sa.Table(
    "releases",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("release", sa.Text, nullable=False, unique=True),
    sa.Column("night", sa.Text, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.Column("envelopes", sa.Text),
    sa.Column("masked_sum", sa.LargeBinary),
    sa.Column("noise", sa.LargeBinary),
    sa.Column("outlets", sa.Text),
    sa.Column("value", sa.LargeBinary),
)
"""Releases, and how far each is."""

SEALS = sa.Table(
    "seals",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("release", sa.Text, nullable=False, unique=True),
    sa.Column("night", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("draft", sa.LargeBinary, nullable=False),
    sa.Column("seed", sa.LargeBinary),
    sa.Column("one_time", sa.LargeBinary),
    sa.Column("payload", sa.LargeBinary),
    sa.Column("signature", sa.LargeBinary),
    sa.Column("transfers", sa.LargeBinary),
    sa.Column("envelopes", sa.Text),
    sa.Column("masked_sum", sa.LargeBinary),
    sa.Column("outlets", sa.Text),
    sa.Column("set_digest", sa.Text),
    sa.Column("entries", sa.LargeBinary),
    sa.Column("book", sa.LargeBinary),
    sa.Column("book_digest", sa.Text),
    sa.Column("over", sa.Text),
)
"""Seals, and how far each is; see `seal_store`."""

SEAL_CHUNKS = sa.Table(
    "seal_chunks",
    METADATA,
    sa.Column("release", sa.Text, primary_key=True),
    sa.Column("chunk", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("choices", sa.Text, nullable=False),
    sa.Column("codes", sa.LargeBinary),
)
"""Of a seal that is open, a chunk each: the digest of HQ's choices, and what it picked."""

KEPT_ANSWERS = sa.Table(
    "kept_answers",
    METADATA,
    sa.Column("outlet", sa.Text, primary_key=True),
    sa.Column("plan", sa.Text, primary_key=True),
    sa.Column("scorecard", sa.Text, nullable=False),
    sa.Column("released", sa.Boolean, nullable=False),
    sa.Column("answered_at", sa.BigInteger, nullable=False),
    sa.Column("as_of", sa.Text, nullable=False),
    sa.Column("envelope", sa.Text, nullable=False),
    sa.Column("vector", sa.LargeBinary, nullable=False),
)
"""Each outlet's last answer to a seal: with it, an outlet that is absent counts."""

NIGHTS = sa.Table(
    "nights",
    METADATA,
    sa.Column("night", sa.Text, primary_key=True),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.Column("directory", sa.Text, nullable=False),
    sa.Column("skipped", sa.Text, nullable=False),
)
"""What each night began with."""

SCORECARDS_IN_USE = sa.Table(
    "scorecards_in_use",
    METADATA,
    sa.Column("outcome", sa.Text, primary_key=True),
    sa.Column("night", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("scorecard", sa.LargeBinary, nullable=False),
    sa.Column("second", sa.LargeBinary, nullable=False),
    sa.Column("cuts", sa.Text),
)
"""What stands: the scorecard, and its cuts once they are calibrated."""

CALIBRATIONS = sa.Table(
    "calibrations",
    METADATA,
    sa.Column("night", sa.Text, primary_key=True),
    sa.Column("outcome", sa.Text, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("release", sa.Text, nullable=False),
    sa.Column("judgement", sa.Text, nullable=False),
)
"""What each night's calibration counts said; the counts themselves are among the releases."""

SCORECARDS = sa.Table(
    "scorecards",
    METADATA,
    sa.Column("night", sa.Text, primary_key=True),
    sa.Column("outcome", sa.Text, primary_key=True),
    sa.Column("payload", sa.LargeBinary, nullable=False),
)
"""The scorecard after a night's last step so far."""

OUTDATED = ("points_answers", "points_sets", "estimates", "fine_books", "models")
"""Tables of release 0.1, which opened sums: they hold what nobody should, or of another law."""
