"""Where a table is, as settings name it: relative to their folder, and never with a password.

Invariant: no address that leaves this module carries a password.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from outlet_client.errors import NotConfigured

if TYPE_CHECKING:
    from outlet_client.sources.source import Source

PASSWORD_FILE = "ledger.password"  # noqa: S105  (a file's name)


def database_url(text: str, asked: str | None) -> sa.URL:
    """A database's address.

    Args:
        text: As it was typed.
        asked: The password that was asked for; None where none was.

    Raises:
        NotConfigured: If it is none, or carries a password where it would be written down.
    """
    try:
        url = sa.make_url(text.replace("postgres://", "postgresql://", 1))
        url.get_dialect()
    except (ArgumentError, ImportError, ValueError) as error:
        raise NotConfigured(
            "URL: not readable; expected such as postgresql://user@host/database or "
            "sqlite:///file.db, with a driver that is installed here"
        ) from error
    if {"password", "passfile"} & set(url.query):
        raise NotConfigured("URL: a password behind the ?; write it as user:password@host instead")
    if url.get_backend_name() == "sqlite" and url.database:
        url = url.set(database=str(Path(url.database).absolute()))
    return url if asked is None else url.set(password=asked)


def without_password(source: Source, url: sa.URL) -> Source:
    """A database's source whose password is in a file of its own; others as they are."""
    if url.password is None or not source.is_database:
        return source
    bare = sa.URL.create(
        url.drivername, url.username, None, url.host, url.port, url.database, url.query
    )
    return source.model_copy(
        update={
            "source": bare.render_as_string(hide_password=False),
            "password_file": Path(PASSWORD_FILE),
        }
    )


def relative_to(source: Source, home: Path) -> Source:
    """A source as the settings in a folder name it."""
    folder = home.resolve()
    if not source.is_database:
        return source.model_copy(update={"source": _from(folder, source.source)})
    url = sa.make_url(source.source)
    if url.get_backend_name() == "sqlite" and url.database:
        url = url.set(database=_from(folder, url.database))
    return source.model_copy(update={"source": url.render_as_string(hide_password=False)})


def _from(folder: Path, file: str) -> str:
    path = Path(file).absolute()
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)
