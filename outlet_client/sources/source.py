"""Where one of an outlet's tables is, and how it is written.

Invariant: a source says how cells are to be read; nothing about them is guessed when they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator


class FillDown(BaseModel):
    """Cells that an order's first row says for the rest of its rows.

    Attributes:
        key: The outlet's own column that tells orders apart; a row where it is blank, or as in the
            row before, goes on with that row's order.
        columns: Own columns whose blank cells take the order's value.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str = Field(min_length=1)
    columns: tuple[str, ...]


class Source(BaseModel):
    """One table of an outlet: files or a database table, and its columns and codes.

    In `escapement.toml` a section such as `[ledger]`; a bare string stands for `source` alone.

    Attributes:
        source: A Parquet or CSV file, or a workbook (`.xlsx`, `.xlsm`, `.xlsb`, `.xls`, `.ods`),
            packed or not (`.gz`, `.bz2`, `.xz`, `.zip`); a pattern such as `exports/*.csv`; or a
            SQLAlchemy URL without its password.
        password_file: The database's password, by itself in a file.
        table: The database's table or view,
        query: or a SELECT instead; one of both for a database, none for files.
        delimiter: Between a CSV file's cells.
        encoding: Of a CSV file, as Python names it.
        decimal: What stands before cents in text; "cents" where amounts are whole numbers of them.
        dates: How days, or moments, are written in text, as strptime has it.
        columns: The outlet's own name of each canonical column; others have their canonical name.
        codes: What the outlet writes for a kind of row, a tier or a status; canonical words always
            stand for themselves.
        constants: Canonical columns that the table has not, and what stands in every row.
        changed: The outlet's own column that grows whenever a row is added or changed; a
            database's rows are read in its order, so that of rows of one line the last one stands.
        skip_rows: How many lines, or rows of a sheet, stand before the header.
        sheet: A workbook's sheet; its first one by default.
        currency: The outlet's own, as ISO 4217 has it: what amounts are kept in.
        rates: What one unit of another currency is worth in it.
        sales_side: On which side of the ledger a sale stands, where amounts carry DR or CR; those
            of the other side are below zero.
        sales_are_negative: Whether a sale has amounts and quantities below zero, and what came back
            such above it, as in an inventory's own journal.
        quantity_decimal: What stands before a quantity's fraction, where that is not `decimal`.
        where: An SQL condition over the outlet's own columns; rows for which it does not hold are
            left out.
        fill_down: Which cells an order's first row says for the rest of its rows.
        statuses: What the outlet writes in the column `status`: `counts`, `void` or `returned`.
        walk_ins: What stands in `customer_id` for nobody; a blank always does.
        accept: Doubts of `check` that somebody looked at.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(min_length=1)
    password_file: Path | None = None
    table: str | None = None
    query: str | None = None
    delimiter: str = Field(",", min_length=1, max_length=1)
    encoding: str = "utf-8-sig"
    decimal: Literal[".", ",", "cents"] = "."
    dates: str = "%Y-%m-%d"
    columns: dict[str, str] = {}
    codes: dict[str, list[str]] = {}
    constants: dict[str, str] = {}
    changed: str | None = None
    skip_rows: int = Field(0, ge=0)
    sheet: str | None = None
    currency: str | None = Field(None, pattern="^[A-Z]{3}$")
    rates: dict[str, float] = {}
    sales_side: Literal["debit", "credit"] | None = None
    sales_are_negative: bool = False
    quantity_decimal: Literal[".", ","] | None = None
    where: str | None = None
    fill_down: FillDown | None = None
    statuses: dict[Literal["counts", "void", "returned"], list[str]] = {}
    walk_ins: tuple[str, ...] = ()
    accept: tuple[str, ...] = ()
    _folder: Path | None = PrivateAttr(None)

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

    @property
    def folder(self) -> Path | None:
        """The outlet's folder; None of a table that no settings name."""
        return self._folder

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
        placed = self.model_copy(update={"source": source, "password_file": password})
        placed._folder = folder  # noqa: SLF001  (its own class)
        return placed
