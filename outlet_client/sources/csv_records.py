"""The records of one CSV file, and where in the file they end.

Invariant: a record that cannot be read costs itself, never the ones after it; and a later reading
goes on only where the file begins, byte for byte, as it did before.

A quote that never closes would swallow every line behind it. So a record that breaks the rules of
CSV ends with its first line, and reading begins anew with the next one.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
from collections import deque
from typing import IO, TYPE_CHECKING, cast

from typing_extensions import override

from features.errors import LedgerError
from outlet_client.sources.row_batches import Mark

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from outlet_client.sources.source import Source

_BLOCK = 1 << 20

_FEW_CELLS = 3
"""Of narrower records a line within a cell may well have as many signs that part cells."""


class _Counted(io.RawIOBase):
    """A file whose bytes are counted and hashed as they are read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()
        self.count = 0
        self.last = b""

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # typeshed's Buffer is 3.12's
        block = self._file.read(len(buffer))
        buffer[: len(block)] = block
        self.sha256.update(block)
        self.count += len(block)
        self.last = block[-1:] or self.last
        return len(block)

    @override
    def close(self) -> None:
        self._file.close()
        super().close()


class _Lines:
    """Some lines, and as many behind them as their last record needs."""

    def __init__(self, block: str, newline: str, file: io.TextIOWrapper) -> None:
        self._lines: deque[str] = deque(io.StringIO(block, newline=newline))
        self._file = file
        self._taken: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self._lines and not self._taken:
            raise StopIteration
        line = self._lines.popleft() if self._lines else self._file.readline()
        if not line:
            raise StopIteration
        self._taken.append(line)
        return line

    def are_rows(self, delimiter: str, width: int) -> bool:
        """Whether the last record is several lines that each could be one: a quote went astray."""
        return len(self._taken) > 1 and all(
            line.count(delimiter) >= width - 1 for line in self._taken
        )

    def record_ended(self) -> None:
        """The next line begins another record."""
        self._taken.clear()

    def put_back(self) -> None:
        """All but the first line of a broken record."""
        self._lines.extendleft(reversed(self._taken[1:]))
        self._taken.clear()


class CsvFile:
    """One file, opened; read block by block of whole lines.

    Attributes:
        name: The file's.
        encoding: Its own name.
        delimiter: Between cells.
        newline: Ends a line, alone or behind a carriage return.
        stat: Of the file when it was opened.
    """

    def __init__(self, source: Source, path: Path) -> None:
        """Opens a file.

        Args:
            source: How it is written.
            path: Where it is.

        Raises:
            LedgerError: If its encoding or delimiter is none.
            OSError: If there is no such file.
        """
        if source.delimiter in '"\r\n\0':
            reason = f"delimiter = {source.delimiter!r}; expected such as ';'"
            raise LedgerError(path.name, None, None, reason)
        self.name = path.name
        self.encoding = _encoding(source, self.name)
        self.delimiter = source.delimiter
        self.stat = path.stat()
        self._counted = _Counted(path.open("rb", buffering=0))
        self._open_end = False
        self._bytes = io.BufferedReader(self._counted, _BLOCK)
        zipped = path.suffix == ".gz"
        self._grows = not zipped and "\n".encode(self.encoding) == b"\n"
        file = gzip.GzipFile(fileobj=self._bytes) if zipped else self._bytes
        start = file.peek(_BLOCK)
        self.newline = "\r" if b"\r" in start and b"\n" not in start else "\n"
        self._text = io.TextIOWrapper(
            cast("IO[bytes]", file), self.encoding, errors="replace", newline=self.newline
        )

    @property
    def done(self) -> int:
        """How many bytes have been read."""
        return self._counted.count

    def header(self) -> list[str]:
        """The first record.

        Raises:
            LedgerError: If there is none, or it is no text.
        """
        cells: list[str] | None = []
        line = self._text.readline().removeprefix("\ufeff")
        while line and not cells:
            cells = next(self.records(line), [])
            if cells is None:
                raise LedgerError(self.name, None, None, "the header is not readable: a bad quote")
            line = "" if cells else self._text.readline()
        names = [cell.strip() for cell in cells or []]
        if not any(names):
            raise LedgerError(self.name, None, None, "no rows; expected at least one event")
        if any("\0" in name for name in names):
            reason = f"no text in {self.encoding}; set `encoding`, or is it no CSV file?"
            raise LedgerError(self.name, None, None, reason)
        return names

    def block(self) -> str:
        """The next lines; empty at the end."""
        return self._text.read(_BLOCK * 4) + self._text.readline()

    def records(self, block: str, width: int = 0) -> Iterator[list[str] | None]:
        """A block's records, the last one to its end; None breaks the rules of CSV.

        Args:
            block: Whole lines.
            width: How many cells a record has. One of several lines of so many cells each has a
                quote in one row and its fellow in another: it would swallow the rows between.
        """
        lines = _Lines(block, self.newline, self._text)
        while True:
            try:
                for cells in csv.reader(lines, delimiter=self.delimiter, strict=True):
                    if width >= _FEW_CELLS and lines.are_rows(self.delimiter, width):
                        lines.put_back()
                        yield None
                        continue
                    lines.record_ended()
                    if cells:
                        yield cells
            except csv.Error as error:
                # What is added later may close the quote; one further up hits csv's field limit.
                self._open_end |= "end of data" in str(error)
                lines.put_back()
                yield None
            else:
                return

    def skips(self, mark: Mark) -> bool:
        """Moves behind what was read before; whether that is still there."""
        if not self._grows or mark.offset == 0 or self.stat.st_size < mark.offset:
            return False
        digest = hashlib.sha256()
        left = mark.offset
        while left and (block := self._bytes.read(min(left, _BLOCK))):
            digest.update(block)
            left -= len(block)
        if left or digest.hexdigest() != mark.sha256:
            return False
        end = b"" if mark.whole_line else self._bytes.peek(2)[:2]
        if end and not end.startswith((b"\n", b"\r\n")):
            return False  # the last record was still being written
        self._bytes.read(end.find(b"\n") + 1)
        return True

    def mark(self, rows: int) -> Mark:
        """Where the reading ended."""
        grows = self._grows and not self._open_end
        return Mark(
            size=self.stat.st_size,
            mtime_ns=self.stat.st_mtime_ns,
            offset=self._counted.count if grows else 0,
            rows=rows,
            sha256=self._counted.sha256.hexdigest() if grows else "",
            whole_line=self._counted.last == b"\n",
        )

    def close(self) -> None:
        """Lets go of the file."""
        self._text.close()
        self._bytes.close()


def _encoding(source: Source, where: str) -> str:
    """The encoding's own name; the mark at the beginning is taken off the header."""
    try:
        io.TextIOWrapper(io.BytesIO(), source.encoding).close()
        name = codecs.lookup(source.encoding).name
    except (LookupError, ValueError) as error:
        reason = f"encoding = {source.encoding!r} is none; expected such as 'utf-8' or 'cp1252'"
        raise LedgerError(where, None, None, reason) from error
    return "utf-8" if name == "utf-8-sig" else name
