"""Directories on disk: fetched from HQ as what changed, verified, kept for the next night.

Invariant: a directory on disk was countersigned by the privacy office, and of each two the later
goes on from the earlier. Whoever reads while a night fetches another finds the old or the new.

directory-<digest>.bin    what the office said of it, and the directory whole
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from privacy.directory import Directory, DirectoryChanges
from privacy.errors import PrivacyError
from privacy.keyring import write_private
from privacy.publications import (
    Countersigned,
    PublicationKind,
    PublicationRefused,
    open_publication,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from outlet_client.services import Services
    from privacy.envelopes import VerifyKey

_HEAD_BYTES = 4096
"""More than what the office says of a directory."""


@dataclass(frozen=True, slots=True, eq=False)
class PublishedDirectory:
    """A directory, and what the office says of it, verified.

    Attributes:
        directory: The directory.
        number: The office's number for it.
        countersigned: What the office said.
    """

    directory: Directory
    number: int
    countersigned: Countersigned = field(repr=False)

    @classmethod
    def of(cls, directory: Directory, countersigned: Countersigned, office: VerifyKey) -> Self:
        """Puts both together.

        Raises:
            PublicationRefused: If the office countersigned another directory, or none.
        """
        found = open_publication(countersigned, office, PublicationKind.DIRECTORY)
        if found.digest != directory.digest:
            raise PublicationRefused(
                f"directory: got digest {directory.digest[:16]}, the privacy office countersigned "
                f"{found.digest[:16]}; tell the office"
            )
        return cls(directory, found.number, countersigned)


def fetch_directory(
    home: Path, services: Services, name: str, office: VerifyKey, *, earlier: bool = False
) -> PublishedDirectory:
    """Fetches the directory with a digest, keeps it, and returns it; from disk if it is there.

    Args:
        home: The outlet's folder.
        services: Where HQ publishes it.
        name: Its digest.
        office: Who countersigned it.
        earlier: Whether one will do that the one that is here goes on from, such as a book's.

    Raises:
        PublicationRefused: If the office countersigned another, or an earlier one than is here.
        DirectoryRefused: If it is malformed, or does not go on from the one that is here.
        ServiceUnreachable: If HQ is.
        ServiceRefused: If HQ has none, or sends another.
    """
    held = latest_directory(home, office)
    if held is not None and held.directory.digest == name:
        return held
    countersigned, body = Countersigned.cut_off(
        services.directory(name, "" if held is None else held.directory.digest)
    )
    if held is not None and DirectoryChanges.are_in(body):
        directory = DirectoryChanges.decode(body).applied(held.directory)
    else:
        directory = Directory.decode(body)
    found = PublishedDirectory.of(directory, countersigned, office)
    if directory.digest != name:
        raise PublicationRefused(
            f"directory: got {directory.digest[:16]}, expected {name[:16]}; tell HQ"
        )
    if held is not None and earlier and found.number < held.number:
        held.directory.check_goes_on(found.directory)
    elif held is not None:
        _check_goes_on(found, held)
    keep_directory(home, found)
    return found


def keep_directory(home: Path, found: PublishedDirectory) -> None:
    """Writes a directory beside those that are there."""
    place = _file(home, found.directory.digest)
    write_private(place, found.countersigned.encode() + found.directory.encode())


def latest_directory(home: Path, office: VerifyKey) -> PublishedDirectory | None:
    """The directory on disk with the office's highest number; None where there is none to use."""
    for _, place in sorted(_numbered(home, office), reverse=True):
        try:
            return read_directory(place, office)
        except PrivacyError:  # damaged: an earlier one, or a whole one from HQ, does as well
            continue
    return None


def numbered_directory(home: Path, number: int, office: VerifyKey) -> PublishedDirectory | None:
    """The directory on disk with a number of the office's; None where it is not there."""
    places = [place for found, place in _numbered(home, office) if found == number]
    return read_directory(places[0], office) if places else None


def directory_of(home: Path, digest: str, office: VerifyKey) -> PublishedDirectory:
    """The directory on disk with a digest.

    Raises:
        FileNotFoundError: If there is none.
        PrivacyError: If it is damaged.
    """
    return read_directory(_file(home, digest), office)


def read_directory(place: Path, office: VerifyKey) -> PublishedDirectory:
    """A directory from its file.

    Raises:
        FileNotFoundError: If there is none.
        PrivacyError: If it is malformed, or not the one that the office countersigned.
    """
    countersigned, body = Countersigned.cut_off(place.read_bytes())
    return PublishedDirectory.of(Directory.decode(body), countersigned, office)


def directories_here(home: Path) -> tuple[str, ...]:
    """The names of the files of directories, in order; each names what the file holds."""
    return tuple(sorted(place.name for place in home.glob("directory-*.bin")))


def forget_directories(home: Path, office: VerifyKey, kept: Collection[str]) -> None:
    """Removes all directories but the latest and those with these digests."""
    numbered = sorted(_numbered(home, office))
    needed = {_file(home, digest) for digest in kept} | {place for _, place in numbered[-1:]}
    for place in home.glob("directory-*.bin"):
        if place not in needed:
            place.unlink(missing_ok=True)


def _check_goes_on(found: PublishedDirectory, held: PublishedDirectory) -> None:
    if found.number <= held.number:
        raise PublicationRefused(
            f"directory: got the privacy office's number {found.number}, number {held.number} is "
            "here already; tell HQ"
        )
    found.directory.check_goes_on(held.directory)


def _numbered(home: Path, office: VerifyKey) -> Iterator[tuple[int, Path]]:
    """The directories on disk with the office's numbers; what is damaged is none."""
    for place in home.glob("directory-*.bin"):
        with place.open("rb") as file:
            start = file.read(_HEAD_BYTES)
        try:
            signed, _ = Countersigned.cut_off(start)
            yield open_publication(signed, office, PublicationKind.DIRECTORY).number, place
        except PrivacyError:
            continue


def _file(home: Path, digest: str) -> Path:
    return home / f"directory-{digest[:32]}.bin"
