"""Who admitted an outlet to sums, and why, is kept beside it; of those before it is not known."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Adds the two columns."""
    if context.config.attributes["schema"].role == "office":
        for name in ("admitted_by", "why"):
            column = sa.Column(name, sa.Text, nullable=False, server_default="")
            op.add_column("admitted_outlets", column)
