"""The third revision: wishes that customers tell at the desk."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Brings a file of the second revision to the third."""
    # A file that was not used yet is made whole by its store.
    used = sa.inspect(op.get_bind()).has_table("log")
    if context.config.attributes["role"] == "rights" and used:
        op.create_table(
            "wishes",
            sa.Column("number", sa.Integer, primary_key=True),
            sa.Column("key", sa.Text, index=True, nullable=False),
            sa.Column("customer", sa.Text, index=True, nullable=False),
            sa.Column("reference", sa.Text, nullable=False),
            sa.Column("since", sa.Date, nullable=False),
            sa.Column("at", sa.Text, nullable=False),
            sa.Column("by", sa.Text, nullable=False),
            sa.Column("closed", sa.Text),
            sa.Column("closed_by", sa.Text),
            sa.Column("reason", sa.Text),
            sqlite_autoincrement=True,
        )
