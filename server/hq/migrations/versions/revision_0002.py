"""Scorecards wait for their calibration beside those that stand; who was ever in a seal is kept.

Until now a scorecard took the place of the last when it was trained. One without cuts is moved to
where it waits: what it replaced is gone, so bands are sealed again once it is calibrated. Of seals
before only those that are there still say who was in them.
"""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import context, op

revision = "0002"
down_revision = "0001"

TABLES = sa.MetaData()
_WAITS = sa.Table(
    "scorecards_to_calibrate",
    TABLES,
    sa.Column("outcome", sa.Text, primary_key=True),
    sa.Column("night", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("scorecard", sa.LargeBinary, nullable=False),
    sa.Column("second", sa.LargeBinary, nullable=False),
)
_SEALED = sa.Table("sealed_outlets", TABLES, sa.Column("outlet", sa.Text, primary_key=True))

_COLUMNS = [column.name for column in _WAITS.columns]
_STANDS = sa.table("scorecards_in_use", *map(sa.column, [*_COLUMNS, "cuts"]))
_SEALS = sa.table("seals", sa.column("outlets"), sa.column("set_digest"))


def upgrade() -> None:
    """Makes the two tables, and fills them with what is known."""
    connection = op.get_bind()
    if context.config.attributes["schema"].role != "hq":
        return
    TABLES.create_all(connection)
    uncut = _STANDS.c.cuts.is_(None)
    waiting = sa.select(*(_STANDS.c[name] for name in _COLUMNS)).where(uncut)
    connection.execute(_WAITS.insert().from_select(_COLUMNS, waiting))
    connection.execute(_STANDS.delete().where(uncut))
    sets = connection.scalars(sa.select(_SEALS.c.outlets).where(_SEALS.c.set_digest.is_not(None)))
    names = {name for outlets in sets if outlets for name in json.loads(outlets)}
    if names:
        connection.execute(_SEALED.insert(), [{"outlet": name} for name in sorted(names)])
