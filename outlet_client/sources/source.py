"""Where one of an outlet's tables is, and how it is written.

Invariant: a source says how cells are to be read; nothing about them is guessed when they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field, model_validator


class Source(BaseModel):
    """One table of an outlet: files or a database table, and its columns and codes.

    In `escapement.toml` a section such as `[ledger]`; a bare string stands for `source` alone.

    Attributes:
        source: A Parquet or CSV file (`.csv`, `.csv.gz`, `.txt`), a pattern such as
            `exports/*.csv`, or a SQLAlchemy URL without its password.
        password_file: The database's password, by itself in a file.
        table: The database's table or view,
        query: or a SELECT instead; one of both for a database, none for files.
        delimiter: Between a CSV file's cells.
        encoding: Of a CSV file, as Python names it.
        decimal: What stands before cents in text.
        dates: How days, or moments, are written in text, as strptime has it.
        columns: The outlet's own name of each canonical column; others have their canonical name.
        codes: What the outlet writes for a kind of row, a tier or a status; canonical words always
            stand for themselves.
        constants: Canonical columns that the table has not, and what stands in every row.
        changed: The outlet's own column that grows whenever a row is added or changed; a
            database's rows are read in its order, so that of rows of one line the last one stands.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(min_length=1)
    password_file: Path | None = None
    table: str | None = None
    query: str | None = None
    delimiter: str = Field(",", min_length=1, max_length=1)
    encoding: str = "utf-8-sig"
    decimal: Literal[".", ","] = "."
    dates: str = "%Y-%m-%d"
    columns: dict[str, str] = {}
    codes: dict[str, list[str]] = {}
    constants: dict[str, str] = {}
    changed: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"source": str(value)} if isinstance(value, str | Path) else value

    @property
    def is_database(self) -> bool:
        """Whether it is a SQLAlchemy URL."""
        return "://" in self.source

    @property
    def name(self) -> str:
        """For people: a file's name, or a table's; never a URL."""
        return (self.table or "query") if self.is_database else Path(self.source).name

    def url(self) -> sa.URL:
        """The database's address, with the password."""
        url = sa.make_url(self.source)
        if self.password_file is None:
            return url
        return url.set(password=self.password_file.read_text().strip())

    def at(self, folder: Path) -> Self:
        """The same with paths relative to a folder."""
        password = None if self.password_file is None else folder / self.password_file
        source = self.source if self.is_database else str(folder / self.source)
        if self.is_database and self.source.startswith("sqlite"):
            url = sa.make_url(self.source)
            database = url.database or ""
            source = str(url.set(database=str(folder / database))) if database else source
        return self.model_copy(update={"source": source, "password_file": password})
