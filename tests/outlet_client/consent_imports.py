"""What `escapement-outlet consent import` does with a file whose headings tell themselves."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from outlet_client.people.consent_files import read_consents
from outlet_client.people.consents import Recorded
from outlet_client.setup.consent_columns import consent_source
from outlet_client.setup.file_columns import FileForm

if TYPE_CHECKING:
    import datetime as dt
    from pathlib import Path

    from outlet_client.people.people_store import People


def import_consents(
    file: Path, people: People, region: str | None, at: dt.datetime
) -> dict[Recorded, int]:
    """Records the consents of a file; returns how many became what."""
    source = consent_source(file, FileForm({}, {}))
    found = read_consents(source, people.local_key, region, at)
    found.check(file.name)
    counts = Counter(people.record_consents(found.consents))
    return {outcome: counts[outcome] for outcome in Recorded}
