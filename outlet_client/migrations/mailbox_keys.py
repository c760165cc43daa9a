"""Customers' keys that are mailboxes, in databases of releases that kept them in clear.

Invariant: when a file has this release's tables, no column of customers in it holds a mailbox; what
stands there instead is what the ledger and the client book are read under.
"""

from __future__ import annotations

import json
from pathlib import Path

import sqlalchemy as sa

from outlet_client.sources.customer_keys import ensure_secret, stored_key

COLUMNS = {
    "outlet": (
        ("client_entries", "customer"),
        ("client_decisions", "one"),
        ("client_decisions", "other"),
        ("allocation_lines", "customer"),
    ),
    "rights": (("corrections", "customer"),),
}
"""Where a customer's key stands, by file; tables that were not used yet are not there."""

_MADE_AGAIN = ("client_persons", "client_pairs")
"""What is made of the entries whenever they changed."""


def hash_mailbox_keys(connection: sa.Connection, role: str) -> int:
    """Hashes all of them; makes the outlet's secret if there are any, and it has none.

    Args:
        connection: To the file, in its folder.
        role: Its name without its ending.

    Returns:
        How many different ones there were.
    """
    home = Path(connection.engine.url.database or "").parent
    found: set[str] = set()
    connection.exec_driver_sql("PRAGMA secure_delete = ON")
    there = set(sa.inspect(connection).get_table_names())
    for table, column in COLUMNS.get(role, ()):
        if table not in there:
            continue
        keys = connection.exec_driver_sql(
            f"SELECT DISTINCT {column} FROM {table} WHERE {column} LIKE '%@%'"  # noqa: S608  (names of ours)
        )
        for (key,) in keys.fetchall():
            ensure_secret(home)
            found.add(key)
            connection.exec_driver_sql(
                f"UPDATE {table} SET {column} = ? WHERE {column} = ?",  # noqa: S608  (names of our own)
                (stored_key(home, key), key),
            )
    if "allocation_lines" in there and found:
        _hash_lists(connection, home)
    if "client_entries" in there and found:
        for table in _MADE_AGAIN:
            connection.exec_driver_sql(f"DELETE FROM {table}")  # noqa: S608  (a name of our own)
        connection.exec_driver_sql(
            "INSERT OR REPLACE INTO client_state (name, value) VALUES ('grouped', 'no')"
        )
    return len(found)


def _hash_lists(connection: sa.Connection, home: Path) -> None:
    """Those who count as one with the customer of an allocation's line."""
    query = "SELECT rowid, also FROM allocation_lines WHERE also LIKE '%@%'"
    for row, also in connection.exec_driver_sql(query).fetchall():
        hashed = json.dumps([stored_key(home, key) for key in json.loads(also)])
        update = "UPDATE allocation_lines SET also = ? WHERE rowid = ?"
        connection.exec_driver_sql(update, (hashed, row))
