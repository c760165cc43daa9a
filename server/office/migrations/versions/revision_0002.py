"""The sets of outlets whose sums were opened are kept, so that no two tell an outlet apart.

Of sums before only the set's digest is known. The rule begins anew with this revision: a sum of a
year before it and one after it may be over sets that differ in one outlet.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

revision = "0002"
down_revision = "0001"

TABLES = sa.MetaData()
sa.Table(
    "sum_sets",
    TABLES,
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("outlets", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
)
sa.Table(
    "admitted_outlets",
    TABLES,
    sa.Column("outlet", sa.Text, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
)


def upgrade() -> None:
    """Makes the tables."""
    if context.config.attributes["schema"].role == "office":
        TABLES.create_all(op.get_bind())
