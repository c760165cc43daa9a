"""Which of a file's headings says what of a wish."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outlet_client.allocation.wish_files import COLUMNS, NEEDED, WHO
from outlet_client.errors import WishesRefused
from outlet_client.setup.file_columns import FileKind, mapped_source

if TYPE_CHECKING:
    from pathlib import Path

    from outlet_client.setup.file_columns import FileForm
    from outlet_client.sources.source import Source

_WISHES = FileKind(COLUMNS, NEEDED, WHO, WishesRefused)


def wish_source(file: Path, told: FileForm, home: Path) -> Source:
    """A file of wishes with its headings mapped; customers' keys are those of the outlet's folder.

    Raises:
        LedgerError: If there is no such file, or it cannot be read.
        WishesRefused: If a heading that was told is not there, or one that is needed is not found;
            naming all of them.
    """
    return mapped_source(file.absolute(), told, _WISHES).at(home.absolute())
