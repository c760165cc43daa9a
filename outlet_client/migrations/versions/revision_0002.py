"""The second revision: forms that were sent, what a lottery counts, no mailbox as key."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from alembic import context, op

from outlet_client.migrations.mailbox_keys import hash_mailbox_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Brings a file of the first revision to the second."""
    role = context.config.attributes["role"]
    if role in STEPS:
        STEPS[role]()
    hash_mailbox_keys(op.get_bind(), role)


def _outlet() -> None:
    added: dict[str, tuple[sa.Column[Any], ...]] = {
        "allocation_lines": (
            sa.Column("losses", sa.Integer, nullable=False, server_default="0"),
            sa.Column("rests", sa.Text, nullable=False, server_default=""),
        ),
        "nights": (sa.Column("ignored", sa.Integer), sa.Column("walk_ins", sa.Integer)),
    }
    for table, columns in added.items():
        for column in columns if _has(table) else ():
            op.add_column(table, column)
    if _has("followed_from"):  # made a moment ago, for people of another network
        return
    op.create_table(
        "followed_from",
        sa.Column("at", sa.Text, primary_key=True),
        sa.Column("batch", sa.BigInteger, nullable=False),
    )
    # Since when is not known; from now on is safe: older consents are taken for older ones.
    now = dt.datetime.now(dt.UTC).isoformat(timespec="microseconds")
    if _has("followed"):
        op.execute(
            sa.text("INSERT INTO followed_from SELECT :now, batch FROM followed").bindparams(
                now=now
            )
        )


def _has(table: str) -> bool:
    """Whether a table is there: one that was not used yet is made whole by its store."""
    return bool(sa.inspect(op.get_bind()).has_table(table))


def _staff() -> None:
    op.create_table(
        "forms",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("at", sa.Float, index=True, nullable=False),
        sa.Column("boot", sa.Text, nullable=False),
        sa.Column("location", sa.Text, nullable=False),
        sa.Column("said", sa.Text, nullable=False),
    )


STEPS: Mapping[str, Callable[[], None]] = {"outlet": _outlet, "staff": _staff}
"""By file; the tables of `rights.db` stay as they are."""
