"""A file's bytes, unpacked where its name says that it is packed.

Invariant: a packed file holds one table. Bytes that are packed, whatever the file's name says, are
never taken for text.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
import zlib
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, cast

from features.errors import LedgerError

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterator

_OPENERS: dict[str, Callable[[IO[bytes]], IO[bytes]]] = {
    ".gz": lambda file: cast("IO[bytes]", gzip.GzipFile(fileobj=file)),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
}
_ZIP = ".zip"
_UNREADABLE = (".zst", ".7z", ".rar", ".z", ".lz4", ".tar", ".tgz")

_KINDS = {
    b"PK\x03\x04": "an Excel workbook or zip file",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook, or one with a password",
    b"\x1f\x8b": "a gzip file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"7z\xbc\xaf": "a 7z file",
    b"%PDF": "a PDF file",
    b"PAR1": "a Parquet file",
}

_LONGEST_START = max(map(len, _KINDS))


@dataclass(frozen=True, slots=True, repr=False)
class Unpacked:
    """An open file.

    Attributes:
        data: Its bytes.
        name: What is packed in it, else its own name.
        share: Says which share of the file has been read, 0 to 1.
    """

    data: io.BufferedReader
    name: str
    share: Callable[[], float]

    @property
    def suffix(self) -> str:
        """What the name ends in, in small letters."""
        return PurePosixPath(self.name).suffix.lower()

    def kind(self) -> str | None:
        """What the bytes say that they are, where that is no text; None else."""
        start = self.data.peek(_LONGEST_START)
        return next((kind for sign, kind in _KINDS.items() if start.startswith(sign)), None)


@contextmanager
def unpacked(path: Path) -> Iterator[Unpacked]:
    """Opens a file: as it stands, or what is packed in it (.gz, .bz2, .xz, or .zip with one file).

    Raises:
        LedgerError: If it cannot be unpacked, or holds several files.
        OSError: If it cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix in _UNREADABLE:
        reason = f"{suffix} files are not unpacked here; unpack it first, or pack it as .gz or .zip"
        raise LedgerError(path.name, None, None, reason)
    size = max(path.stat().st_size, 1)
    try:
        with ExitStack() as stack:
            file = stack.enter_context(path.open("rb"))
            data: IO[bytes] = file
            name = path.name
            if suffix == _ZIP:
                data, name = _member(path, stack.enter_context(zipfile.ZipFile(file)), stack)
            elif suffix in _OPENERS:
                data, name = stack.enter_context(_OPENERS[suffix](file)), path.stem
            yield Unpacked(cast("io.BufferedReader", data), name, lambda: file.tell() / size)
    except (zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError) as error:
        reason = f"not readable as {suffix}; is it whole, and what its name says?"
        raise LedgerError(path.name, None, None, reason) from error


def _member(path: Path, archive: zipfile.ZipFile, stack: ExitStack) -> tuple[IO[bytes], str]:
    """The one file of an archive; what a Mac adds beside it does not count.

    Raises:
        LedgerError: If there is none, there are several, or it has a password.
    """
    names = [
        one.filename
        for one in archive.infolist()
        if not one.is_dir() and not one.filename.startswith("__MACOSX/")
    ]
    if len(names) != 1:
        reason = f"holds {len(names)} files; expected one: unpack it, and name a pattern"
        raise LedgerError(path.name, None, None, reason)
    try:
        return stack.enter_context(archive.open(names[0])), PurePosixPath(names[0]).name
    except (RuntimeError, NotImplementedError) as error:
        reason = "has a password, or is packed in an unusual way; unpack it first"
        raise LedgerError(path.name, None, None, reason) from error
