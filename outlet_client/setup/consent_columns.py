"""Which of a file's headings says what of a consent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outlet_client.errors import ConsentRefused
from outlet_client.people.consent_files import ANSWERS, COLUMNS, NEEDED, WHO
from outlet_client.setup.file_columns import FileKind, mapped_source

if TYPE_CHECKING:
    from pathlib import Path

    from outlet_client.setup.file_columns import FileForm
    from outlet_client.sources.source import Source

NAMES = (*COLUMNS, *ANSWERS)
"""What a file of consents may say."""

_CONSENTS = FileKind(NAMES, NEEDED, WHO, ConsentRefused)


def consent_source(file: Path, told: FileForm) -> Source:
    """A file of consents with its headings mapped.

    Raises:
        LedgerError: If there is no such file, or it cannot be read.
        ConsentRefused: If a heading that was told is not there, or one that is needed is not found;
            naming all of them.
    """
    return mapped_source(file, told, _CONSENTS)
