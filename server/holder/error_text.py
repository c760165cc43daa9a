"""What a database's or the system's error is caused by, and what to do about it.

Invariant: no text holds a cell of data. SQLite's own messages name tables and columns at most;
PostgreSQL's may quote a row, so of those only the code is read, and of a row that was refused the
names of its table and rule.
"""

from __future__ import annotations

import errno
import sqlite3

from sqlalchemy.exc import SQLAlchemyError

from features.errors import FeatureError
from privacy.errors import PrivacyError
from server.holder.errors import HolderError

_FULL = "the disk is full; make room, then run it again"
_READ_ONLY = "the disk, or the file, is read-only; make it writable for this user"
_LOCKED = (
    "another program is writing to it; run it again when that has ended, or when `serve` is stopped"
)
_DAMAGED = "it is damaged; stop this program and restore the last backup"
_OLDER = "it is of another release than this program; run this program's `upgrade`"
_NOT_ALLOWED = "this user may not do that; give it the right, or its owner's name"
_UNREACHABLE = "no connection; is its server up, and are address and password right?"
_FEW_FILES = "too many open files; raise the limit (LimitNOFILE in a systemd unit)"

_SQLITE: dict[int, str] = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: "the file is no database, or is damaged; restore the last backup",
    sqlite3.SQLITE_CANTOPEN: (
        "the file cannot be opened; is its folder there, and this user's, and the disk not "
        "read-only?"
    ),
    sqlite3.SQLITE_PERM: _NOT_ALLOWED,
    sqlite3.SQLITE_AUTH: _NOT_ALLOWED,
    sqlite3.SQLITE_IOERR: "the disk failed; is it failing, or a quota of it full?",
    sqlite3.SQLITE_NOMEM: "there is not enough memory",
}
"""By primary code. SQLITE_ERROR and SQLITE_CONSTRAINT are told from their messages."""

_MISSING = ("no such table", "no such column", "has no column named")

_POSTGRES: dict[str, str] = {
    "53100": _FULL,
    "53200": "its server has not enough memory",
    "53300": "its server has too many connections; raise max_connections there",
    "25006": _READ_ONLY,
    "55P03": _LOCKED,
    "57014": _LOCKED,
    "40001": _LOCKED,
    "40P01": _LOCKED,
    "42P01": _OLDER,
    "42703": _OLDER,
    "42501": _NOT_ALLOWED,
    "XX001": _DAMAGED,
    "XX002": _DAMAGED,
    "3D000": "its server has no database of this name; make it, or correct the URL",
}
_POSTGRES_CLASSES: dict[str, str] = {
    "08": _UNREACHABLE,
    "28": "its server refuses this user or password; correct the URL, or pg_hba.conf there",
    "57": "its server stops or starts; run it again when it is up",
    "58": "its server's disk failed",
}
"""By SQLSTATE, or by its first two characters."""

_RAISED = "P0001"
"""A trigger of ours refused: its text is our own."""

_SYSTEM: dict[int, str] = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: "the disk quota is full; make room, then run it again",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "no permission; is it this user's?",
    errno.EPERM: "no permission; is it this user's?",
    errno.EMFILE: _FEW_FILES,
    errno.ENFILE: _FEW_FILES,
    errno.ENOENT: "it is not there",
    errno.EIO: "the disk failed",
}


def error_text(error: BaseException) -> str:
    """The text of an error, as a log or a record may hold it.

    Of our own errors their text, of a database's and the system's the cause, and of any other the
    name of its type: its text may hold a cell of data.
    """
    if isinstance(error, (PrivacyError, HolderError, FeatureError)):
        return str(error)
    if isinstance(error, SQLAlchemyError):
        return database_error_text(error)
    if isinstance(error, OSError):
        return _system_error_text(error)
    return type(error).__name__


def database_error_text(error: SQLAlchemyError) -> str:
    """The cause of a database's error and what to do, without any cell of data."""
    cause = getattr(error, "orig", None)
    if isinstance(cause, sqlite3.Error):
        return f"database: {_sqlite_cause(cause)}"
    if isinstance(cause, OSError):
        return f"database: {_system_error_text(cause)}"
    if hasattr(cause, "sqlstate"):
        return f"database: {_postgres_cause(cause)}"
    return f"database: {type(error).__name__}"


def _sqlite_cause(cause: sqlite3.Error) -> str:
    said = str(cause)
    code = getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    known = _SQLITE.get(code & 0xFF)  # without its extension
    if known is not None:
        return f"{known} ({getattr(cause, 'sqlite_errorname', said)})"
    if any(missing in said for missing in _MISSING):
        return f"{said}: {_OLDER}"
    return said


def _postgres_cause(cause: object) -> str:
    state = getattr(cause, "sqlstate", None)
    if state is None:  # it never came to a session
        return _UNREACHABLE
    known = _POSTGRES.get(state) or _POSTGRES_CLASSES.get(state[:2])
    if known is not None:
        return f"{known} (SQLSTATE {state})"
    diagnosis = getattr(cause, "diag", None)
    if state == _RAISED:
        return str(getattr(diagnosis, "message_primary", None) or type(cause).__name__)
    names = (getattr(diagnosis, name, None) for name in ("table_name", "constraint_name"))
    where = ", ".join(name for name in names if name)
    return f"{type(cause).__name__}{f' of {where}' if where else ''} (SQLSTATE {state})"


def _system_error_text(error: OSError) -> str:
    """Errors that we raise ourselves have no number, and say enough."""
    if error.errno is None:
        return str(error)
    said = _SYSTEM.get(error.errno) or error.strerror or errno.errorcode.get(error.errno, "")
    return f"{error.filename}: {said}" if error.filename else said
