"""The tables about people in `outlet.db`: consents, where people stand, the client book's entries.

Invariant: no column holds a phone or an e-mail.
"""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData()
"""Of the tables about people in `outlet.db`."""

CONSENTS = sa.Table(
    "consents",
    METADATA,
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("notice", sa.Text, nullable=False),
    sa.Column("recorded_at", sa.Text, nullable=False),
    sa.Column("recorded_by", sa.Text, nullable=False),
    # When it ended: withdrawn here, or seen to be withdrawn elsewhere.
    sa.Column("withdrawn_at", sa.Text),
    sa.PrimaryKeyConstraint("key", "recorded_at", "notice"),
)
WITHDRAWALS = sa.Table(
    "withdrawals",
    METADATA,
    # Also of keys without a consent: one that is older must not be recorded later.
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("at", sa.Text, nullable=False),
)
TYPED_TOGETHER = sa.Table(
    "consent_keys",
    METADATA,
    # A phone and an e-mail of one consent: to withdraw by either is to withdraw it.
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("also", sa.Text, primary_key=True, index=True),
)
PEOPLE = sa.Table(
    "people",
    METADATA,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("token", sa.LargeBinary),
    sa.Column("fingerprint", sa.LargeBinary),
    sa.Column("secret", sa.LargeBinary),
    sa.Column("batch", sa.BigInteger),
    sa.Column("withdrawal_batch", sa.BigInteger),
    sa.Column("slot", sa.BigInteger),
    # What was sent in vain: the registration, or since a withdrawal that withdrawal.
    sa.Column("tries", sa.Integer, nullable=False, default=0, server_default="0"),
    # The last batch followed when the consent was recorded, or withdrawn.
    sa.Column("since", sa.BigInteger, nullable=False, default=0, server_default="0"),
)
SUBMISSIONS = sa.Table(
    "submissions",
    METADATA,
    sa.Column("batch", sa.BigInteger, primary_key=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("delivered", sa.Boolean, nullable=False),
)
FOLLOWED = sa.Table("followed", METADATA, sa.Column("batch", sa.BigInteger, nullable=False))
ASKED = sa.Table("days_asked", METADATA, sa.Column("day", sa.Text, primary_key=True))
ENTRIES = sa.Table(
    "client_entries",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    # An HMAC of the row as it was typed, so that a row is normalised once.
    sa.Column("typed", sa.Text, nullable=False),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("customer", sa.Text, nullable=False),
    sa.Column("phone", sa.Text),
    sa.Column("email", sa.Text),
    # Changed since, or gone: kept for withdrawals only.
    sa.Column("former", sa.Boolean, nullable=False),
    sa.UniqueConstraint("origin", "typed"),
    sa.Index("client_entries_customer", "customer"),
    sa.Index("client_entries_phone", "phone", "customer"),
    sa.Index("client_entries_email", "email", "customer"),
)
PERSONS = sa.Table(
    "client_persons",
    METADATA,
    # Only who is joined to somebody; everybody else is a person of their own.
    sa.Column("customer", sa.Text, primary_key=True),
    sa.Column("person", sa.Text, nullable=False, index=True),
)
CONTESTED = sa.Table("client_contested", METADATA, sa.Column("key", sa.Text, primary_key=True))
PAIRS = sa.Table(
    "client_pairs",
    METADATA,
    sa.Column("one", sa.Text, primary_key=True),
    sa.Column("other", sa.Text, primary_key=True),
    sa.Column("shared", sa.Text, nullable=False),
)
DECISIONS = sa.Table(
    "client_decisions",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("one", sa.Text, nullable=False),
    sa.Column("other", sa.Text, nullable=False),
    sa.Column("same", sa.Boolean, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
)
STATE = sa.Table(
    "client_state",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

CURRENT: sa.ColumnElement[bool] = ~ENTRIES.c.former
KEYS = (ENTRIES.c.phone, ENTRIES.c.email)
