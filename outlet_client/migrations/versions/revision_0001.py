"""The first revision: of the releases before databases had any, and of an empty file."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

from outlet_client.migrating import adopt

revision = "0001"
down_revision = None

# --- tables, as of this revision ------------------------------------------------------------------

OUTLET = sa.MetaData()
sa.Table(
    "allocation_decisions",
    OUTLET,
    sa.Column("proposal", sa.Integer, primary_key=True),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("given", sa.JSON, nullable=False),
    sa.Column("passed_over", sa.JSON, nullable=False),
)
sa.Table(
    "allocation_lines",
    OUTLET,
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
)
sa.Table(
    "allocation_policies",
    OUTLET,
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
)
sa.Table(
    "allocation_proposals",
    OUTLET,
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
    sqlite_autoincrement=True,
)
sa.Table(
    "answers",
    OUTLET,
    sa.Column("release", sa.Text, primary_key=True),
    sa.Column("plan", sa.Text, nullable=False),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("rho", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("outlet", sa.Text, nullable=False),
    sa.Column("ring_bits", sa.Integer, nullable=False),
    sa.Column("vector", sa.LargeBinary, nullable=False),
    sa.Column("salt", sa.LargeBinary, nullable=False),
    sa.Column("sealed_seed", sa.LargeBinary, nullable=False),
    sa.Column("commitment", sa.Text, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
)
sa.Table(
    "client_contested",
    OUTLET,
    sa.Column("key", sa.Text, primary_key=True),
)
sa.Table(
    "client_decisions",
    OUTLET,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("one", sa.Text, nullable=False),
    sa.Column("other", sa.Text, nullable=False),
    sa.Column("same", sa.Boolean, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
)
sa.Table(
    "client_entries",
    OUTLET,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("typed", sa.Text, nullable=False),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("customer", sa.Text, nullable=False),
    sa.Column("phone", sa.Text),
    sa.Column("email", sa.Text),
    sa.Column("former", sa.Boolean, nullable=False),
    sa.UniqueConstraint("origin", "typed"),
    sa.Index("client_entries_customer", "customer"),
    sa.Index("client_entries_email", "email", "customer"),
    sa.Index("client_entries_phone", "phone", "customer"),
)
sa.Table(
    "client_pairs",
    OUTLET,
    sa.Column("one", sa.Text, primary_key=True),
    sa.Column("other", sa.Text, primary_key=True),
    sa.Column("shared", sa.Text, nullable=False),
)
sa.Table(
    "client_persons",
    OUTLET,
    sa.Column("customer", sa.Text, primary_key=True),
    sa.Column("person", sa.Text, index=True, nullable=False),
)
sa.Table(
    "client_state",
    OUTLET,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
sa.Table(
    "consent_keys",
    OUTLET,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("also", sa.Text, primary_key=True, index=True),
)
sa.Table(
    "consents",
    OUTLET,
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("notice", sa.Text, nullable=False),
    sa.Column("recorded_at", sa.Text, nullable=False),
    sa.Column("recorded_by", sa.Text, nullable=False),
    sa.Column("withdrawn_at", sa.Text),
    sa.PrimaryKeyConstraint("key", "recorded_at", "notice"),
)
sa.Table(
    "days_asked",
    OUTLET,
    sa.Column("day", sa.Text, primary_key=True),
)
sa.Table(
    "directory_losses",
    OUTLET,
    sa.Column("day", sa.Text, primary_key=True),
    sa.Column("lost", sa.Integer, nullable=False),
)
sa.Table(
    "fine_plan",
    OUTLET,
    sa.Column("payload", sa.LargeBinary, nullable=False),
)
sa.Table(
    "followed",
    OUTLET,
    sa.Column("batch", sa.BigInteger, nullable=False),
    sa.Column("number", sa.BigInteger, nullable=False, server_default="0"),
)
sa.Table(
    "held_losses",
    OUTLET,
    sa.Column("since", sa.Text, nullable=False),
    sa.Column("lost", sa.Integer, nullable=False),
)
sa.Table(
    "latest_days",
    OUTLET,
    sa.Column("what", sa.Text, primary_key=True),
    sa.Column("day", sa.Text, nullable=False),
)
sa.Table(
    "ledger_heads",
    OUTLET,
    sa.Column("length", sa.BigInteger, primary_key=True),
    sa.Column("head", sa.Text, nullable=False),
)
sa.Table(
    "nights",
    OUTLET,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("started", sa.Text, nullable=False),
    sa.Column("starts", sa.Integer, nullable=False),
    sa.Column("step", sa.Text),
    sa.Column("tonight", sa.JSON),
    sa.Column("answered", sa.Integer),
    sa.Column("asked", sa.Integer, nullable=False),
    sa.Column("evaluated", sa.Integer, nullable=False),
    sa.Column("messages", sa.Integer, nullable=False),
    sa.Column("registered", sa.Integer, nullable=False),
    sa.Column("withdrawn", sa.Integer, nullable=False),
    sa.Column("rows", sa.Integer),
    sa.Column("quarantined", sa.Integer),
    sa.Column("ended", sa.Text),
    sa.Column("outcome", sa.Text),
    sa.Column("error", sa.Text),
)
sa.Table(
    "people",
    OUTLET,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, index=True, nullable=False),
    sa.Column("token", sa.LargeBinary),
    sa.Column("slot_key", sa.LargeBinary),
    sa.Column("secret", sa.LargeBinary),
    sa.Column("batch", sa.BigInteger),
    sa.Column("withdrawal_batch", sa.BigInteger),
    sa.Column("slot", sa.BigInteger),
    sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
    sa.Column("since", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("not_before", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("again", sa.BigInteger),
)
sa.Table(
    "registration_resyncs",
    OUTLET,
    sa.Column("statement", sa.Text, primary_key=True),
    sa.Column("after", sa.BigInteger, nullable=False),
    sa.Column("upto", sa.BigInteger, nullable=False),
    sa.Column("heard", sa.Text, nullable=False),
    sa.Column("people", sa.BigInteger),
    sa.Column("by", sa.Text),
)
sa.Table(
    "scorecards",
    OUTLET,
    sa.Column("place", sa.Integer, primary_key=True),
    sa.Column("as_of", sa.Text, nullable=False),
    sa.Column("card", sa.LargeBinary, nullable=False),
)
sa.Table(
    "submissions",
    OUTLET,
    sa.Column("batch", sa.BigInteger, primary_key=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("delivered", sa.Boolean, nullable=False),
    sa.Column("epoch", sa.LargeBinary, nullable=False, server_default=sa.text("x''")),
)
sa.Table(
    "withdrawals",
    OUTLET,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("at", sa.Text, nullable=False),
)
RIGHTS = sa.MetaData()
sa.Table(
    "corrections",
    RIGHTS,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("event", sa.Text, index=True, nullable=False),
    sa.Column("customer", sa.Text, index=True, nullable=False),
    sa.Column("dated", sa.Date, nullable=False),
    sa.Column("changes", sa.JSON, nullable=False),
    sa.Column("struck", sa.Boolean, nullable=False),
    sa.Column("alike", sa.Integer, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)
sa.Table(
    "log",
    RIGHTS,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("act", sa.Text, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("key", sa.Text, index=True, nullable=False),
    sa.Column("about", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sa.Index("log_of_whom", "by", "at", "act"),
)
sa.Table(
    "log_anchor",
    RIGHTS,
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
)
sa.Table(
    "log_heads",
    RIGHTS,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.Column("length", sa.Integer),
)
sa.Table(
    "requests",
    RIGHTS,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("key", sa.Text, index=True, nullable=False),
    sa.Column("received", sa.Date, nullable=False),
    sa.Column("due", sa.Date, nullable=False),
    sa.Column("taken_by", sa.Text, nullable=False),
    sa.Column("about", sa.Text, nullable=False),
    sa.Column("answered", sa.Text),
    sa.Column("answered_by", sa.Text),
    sa.Column("answer", sa.Text),
    sqlite_autoincrement=True,
)
sa.Table(
    "sightings",
    RIGHTS,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("serial", sa.Text, index=True, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("date", sa.Date, nullable=False),
    sa.Column("seen", sa.Date, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("words", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)
STAFF = sa.MetaData()
sa.Table(
    "passkeys",
    STAFF,
    sa.Column("credential", sa.LargeBinary, primary_key=True),
    sa.Column("name", sa.Text, index=True, nullable=False),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("public_key", sa.LargeBinary, nullable=False),
    sa.Column("uses", sa.Integer, nullable=False),
    sa.Column("since", sa.Text, nullable=False),
)
sa.Table(
    "staff",
    STAFF,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("password", sa.Text, nullable=False),
    sa.Column("temporary", sa.Boolean, nullable=False),
    sa.Column("handle", sa.LargeBinary, nullable=False),
    sa.Column("since", sa.Text, nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
)
sa.Table(
    "tries",
    STAFF,
    sa.Column("who", sa.Text, primary_key=True),
    sa.Column("failed", sa.Integer, nullable=False),
    sa.Column("last", sa.Float, nullable=False),
)
sa.Table(
    "undertakings",
    STAFF,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, index=True, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)

# --- steps ----------------------------------------------------------------------------------------

_TABLES = {"outlet": OUTLET, "rights": RIGHTS, "staff": STAFF}


def upgrade() -> None:
    """Makes a file of the first revision."""
    connection, role = op.get_bind(), context.config.attributes["role"]
    ended = role == "outlet" and not sa.inspect(connection).has_table("withdrawals")
    adopt(connection, role, _TABLES[role])
    if ended:
        _note_withdrawals(connection)


def _note_withdrawals(connection: sa.Connection) -> None:
    """Takes over the withdrawals of a file from before they had a table."""
    consents, withdrawals = OUTLET.tables["consents"], OUTLET.tables["withdrawals"]
    over = consents.c.withdrawn_at
    ended = sa.select(consents.c.key, sa.func.max(over)).where(over.is_not(None))
    insert = withdrawals.insert().from_select(["key", "at"], ended.group_by(consents.c.key))
    connection.execute(insert)
