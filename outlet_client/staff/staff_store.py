"""The store of the desk's staff, `staff.db`.

Invariant: of a password there is an Argon2id hash only, of a passkey its public half; and to what
somebody undertook is only added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from outlet_client.database import Store

if TYPE_CHECKING:
    from pathlib import Path

STAFF_FILE = "staff.db"

_METADATA = sa.MetaData()

STAFF = sa.Table(
    "staff",
    _METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("password", sa.Text, nullable=False),  # Argon2id, PHC string
    sa.Column("temporary", sa.Boolean, nullable=False),  # handed over; to be changed at once
    sa.Column("handle", sa.LargeBinary, nullable=False),  # random; passkeys are kept under it
    sa.Column("since", sa.Text, nullable=False),
    # Grows with every change that must end what is open under the name.
    sa.Column("generation", sa.Integer, nullable=False),
)
TRIES = sa.Table(
    "tries",
    _METADATA,
    # A keyed hash of what was typed: a password typed in the wrong field stays nowhere.
    sa.Column("who", sa.Text, primary_key=True),
    sa.Column("failed", sa.Integer, nullable=False),
    sa.Column("last", sa.Float, nullable=False),
)
PASSKEYS = sa.Table(
    "passkeys",
    _METADATA,
    sa.Column("credential", sa.LargeBinary, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, index=True),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("public_key", sa.LargeBinary, nullable=False),
    sa.Column("uses", sa.Integer, nullable=False),
    sa.Column("since", sa.Text, nullable=False),
)
UNDERTAKINGS = sa.Table(
    "undertakings",
    _METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, index=True),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)
FORMS = sa.Table(
    "forms",
    _METADATA,
    # A keyed hash of what was sent: nothing of it stays.
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("at", sa.Float, nullable=False, index=True),
    sa.Column("boot", sa.Text, nullable=False),  # of the program that took it
    sa.Column("location", sa.Text, nullable=False),  # of the page that says what came of it
    sa.Column("said", sa.Text, nullable=False),
)
"""What was sent to the desk, for as long as it could be sent again."""


class StaffStore(Store):
    """The tables behind `staff.db` of an outlet's folder; for any number of threads."""

    def __init__(self, home: Path) -> None:
        """Opens the store, making its tables where they are missing."""
        super().__init__(f"sqlite:///{home / STAFF_FILE}", _METADATA, ahead=True)
