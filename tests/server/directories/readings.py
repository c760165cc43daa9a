"""What was published, as outlets read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from privacy.directory import Directory
from privacy.publications import (
    Countersigned,
    PublicationKind,
    check_published,
    open_publication,
)

if TYPE_CHECKING:
    from privacy.publications import Publication
    from tests.server.registrations import (
        OfficeOf,
    )


def said(office: OfficeOf, published: bytes | None) -> tuple[Publication, bytes]:
    """What the office says of what is published, and what that is."""
    assert published is not None
    countersigned, data = Countersigned.cut_off(published)
    return open_publication(countersigned, office.key.public, PublicationKind.DIRECTORY), data


def whole(office: OfficeOf, published: bytes | None) -> Directory:
    """A published directory, as an outlet reads it."""
    assert published is not None
    countersigned, data = Countersigned.cut_off(published)
    check_published(countersigned, office.key.public, PublicationKind.DIRECTORY, data)
    return Directory.decode(data)
