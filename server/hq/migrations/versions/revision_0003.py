"""What was held back until a person accepts it has a table; nothing of before was."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

revision = "0003"
down_revision = "0002"

TABLES = sa.MetaData()
sa.Table(
    "holds",
    TABLES,
    sa.Column("night", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("trained", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("accepted_at", sa.BigInteger),
    sa.Column("accepted_by", sa.Text),
    sa.Column("accepted_why", sa.Text),
)


def upgrade() -> None:
    """Makes the table."""
    if context.config.attributes["schema"].role == "hq":
        TABLES.create_all(op.get_bind())
