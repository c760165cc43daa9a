"""A network's stores on a PostgreSQL server, by the programs' own upgrade."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import sqlalchemy as sa

from server.hq.upgrade import upgrade as upgrade_hq
from server.office.upgrade import upgrade as upgrade_office

if TYPE_CHECKING:
    from pathlib import Path


def move_to_server(folder: Path, server: str) -> None:
    """Moves HQ's and the office's stores into two new databases of a server, which stay there.

    Args:
        folder: Of an enrolled network.
        server: URL of any database there, as a user who may make databases.
    """
    admin = sa.create_engine(server, isolation_level="AUTOCOMMIT", hide_parameters=True)
    run = secrets.token_hex(4)
    for role, upgrade in (("hq", upgrade_hq), ("office", upgrade_office)):
        name = f"escapement_{role}_{run}"
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        url = admin.url.set(database=name).render_as_string(hide_password=False)
        settings = folder / role / f"{role}.toml"
        settings.write_text(f'database = "{url}"\n{settings.read_text()}')
        upgrade(folder / role, lambda _said: None)
    admin.dispose()
