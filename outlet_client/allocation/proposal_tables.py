"""The tables of proposals and of decisions about them, in `outlet.db`.

Invariant: no column holds a phone or an e-mail, and no statement changes or deletes a row.
"""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData()
POLICIES = sa.Table(
    "allocation_policies",
    METADATA,
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
)
PROPOSALS = sa.Table(
    "allocation_proposals",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("made_at", sa.Text, nullable=False),
    sa.Column("policy", sa.Text, nullable=False),
    sa.Column("reference", sa.Text, nullable=False),
    sa.Column("tier", sa.Text, nullable=False),
    sa.Column("pieces", sa.Integer, nullable=False),
    sa.Column("ties", sa.Text, nullable=False),
    sa.Column("seed", sa.Text, nullable=False),
    sa.Column("drawn", sa.Boolean, nullable=False),
    sa.Column("book_version", sa.BigInteger),
    sa.Column("book_as_of", sa.Text, nullable=False),
    sqlite_autoincrement=True,  # an id is never used twice
)
LINES = sa.Table(
    "allocation_lines",
    METADATA,
    sa.Column("proposal", sa.Integer, primary_key=True),
    sa.Column("rank", sa.Integer, primary_key=True),
    sa.Column("customer", sa.Text, nullable=False),
    sa.Column("also", sa.JSON, nullable=False),
    sa.Column("since", sa.Date, nullable=False),
    sa.Column("eligibility", sa.Text, nullable=False),
    sa.Column("flipper_risk", sa.Text, nullable=False),
    sa.Column("no_band", sa.Text, nullable=False),
    sa.Column("decision", sa.Text, nullable=False),
    sa.Column("say", sa.Text, nullable=False),
    sa.Column("rule", sa.Integer, nullable=False),
    sa.Column("proposed", sa.Boolean, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("losses", sa.Integer, nullable=False, server_default="0"),
    sa.Column("rests", sa.Text, nullable=False, server_default=""),
)
DECISIONS = sa.Table(
    "allocation_decisions",
    METADATA,
    sa.Column("proposal", sa.Integer, primary_key=True),  # decided once
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("given", sa.JSON, nullable=False),
    sa.Column("passed_over", sa.JSON, nullable=False),
)
