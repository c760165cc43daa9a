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
"""Each outlet's last masked points: with them, an absent outlet counts with its last answer."""

OUTDATED_ANSWERS = "points_answers"
"""The same in release 0.1, whose envelopes nobody takes any more."""

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

POINTS_SETS = sa.Table(
    "points_sets",
    METADATA,
    sa.Column("scorecard", sa.Text, primary_key=True),
    sa.Column("outlets", sa.Text, nullable=False),
)
"""Who was in a scorecard's latest points release."""

ESTIMATES = sa.Table(
    "estimates",
    METADATA,
    sa.Column("night", sa.Text, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
)
"""What is known of every slot from score tables so far, as of a night; as sensitive as they are."""

FINE_BOOKS = sa.Table(
    "fine_books",
    METADATA,
    sa.Column("night", sa.Text, primary_key=True),
    sa.Column("payload", sa.LargeBinary, nullable=False),
)
"""A night's fine book, masked; thrown away when the next one is made."""

MODELS = sa.Table(
    "models",
    METADATA,
    sa.Column("outcome", sa.Text, primary_key=True),
    sa.Column("night", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("scorecard", sa.LargeBinary, nullable=False),
    sa.Column("second", sa.LargeBinary, nullable=False),
    sa.Column("cuts", sa.Text),
    sa.Column("bands", sa.LargeBinary),
    sa.Column("banded_as_of", sa.Text, nullable=False),
    sa.Column("banded_by", sa.Text, nullable=False),
)
"""What stands: the scorecard, its cuts once they are calibrated, each slot's latest band."""

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
