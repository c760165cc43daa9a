"""Which directories an HQ that was restored refuses to take over."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from privacy.directory import Directory, DirectoryPosition, DirectoryRefused
from privacy.envelopes import SigningKey
from privacy.publications import (
    Countersigned,
    Publication,
    PublicationKind,
    PublicationRefused,
    countersign,
)
from privacy.tokens import TokenShare
from server.holder.directory_copy import DirectoryCopy
from server.hq.registry import Registry
from tests.server.registrations import (
    NETWORK,
    Dummy,
    Hq,
    OfficeOf,
    Register,
    tag,
)
from tests.server.restored_registry.restored_histories import (
    NIGHTS,
    History,
    everything,
    recovered,
    restore,
    tonight,
)


def statement(office: OfficeOf, directory: bytes) -> Countersigned:
    """What the office says of a directory, were it its next one."""
    name = Directory.decode(directory).digest
    return countersign(Publication(PublicationKind.DIRECTORY, 9, name, name, 1), office.key)


def changed(directory: bytes, slot: int, place: int) -> bytes:
    """A directory with another byte in a slot."""
    rows = Directory.decode(directory).rows.copy()
    rows[slot, place] ^= 1
    return Directory(Directory.decode(directory).batch, rows).encode()


def refuses(hq: Hq, history: History, copy: DirectoryCopy, why: str) -> None:
    """Expects that this copy is refused and changes nothing."""
    hq.registry.keep_network(NETWORK)  # as every night does
    before = everything(hq)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(history.office, "fetch_directory", lambda _network, _after: copy)
        with pytest.raises((DirectoryRefused, PublicationRefused), match=why) as caught:
            restore(history.office, hq)
    assert everything(hq) == before
    for row in Directory.decode(copy.directory).rows:
        assert row[:32].tobytes().hex() not in str(caught.value)
    assert recovered(history.office, hq).digest == history.past[-1].digest


def test_a_forged_or_altered_directory_is_refused_and_changes_nothing(history: History) -> None:
    hq, office = history.restored(1), history.office
    copy = office.fetch_directory(NETWORK, 1)
    stranger = replace(office, key=SigningKey.generate())
    forged = statement(stranger, copy.directory)
    name = Directory.decode(copy.directory).digest
    of_a_book = countersign(Publication(PublicationKind.BOOK, 9, name, name, 1), office.key)
    another = history.past[1].encode()
    wrong = [
        (replace(copy, said=forged), "not countersigned by the pinned"),
        (replace(copy, said=replace(copy.said, signature=bytes(64))), "not countersigned"),
        (replace(copy, said=of_a_book), "said of a book"),
        (replace(copy, directory=changed(copy.directory, 4, 40)), "the privacy office counters"),
        (replace(copy, directory=another), "the privacy office countersigned"),
    ]
    for altered, why in wrong:
        refuses(hq, history, altered, why)
        hq = history.restored(1)


def test_a_directory_that_does_not_go_on_from_hqs_is_refused_whoever_signed_it(
    history: History,
) -> None:
    copy = history.office.fetch_directory(NETWORK, 1)
    mine = Directory.decode(copy.directory)
    one = int(np.flatnonzero(~mine.blank[:2])[0])
    shorter = Directory(3, mine.rows[:1]).encode()
    for other in (changed(copy.directory, one, 0), changed(copy.directory, one, 40), shorter):
        said = statement(history.office, other)
        altered = replace(copy, said=said, directory=other)
        refuses(history.restored(1), history, altered, r"batch 3, does not go on .* of batch 1; re")


@pytest.mark.parametrize("batch", [4, 2**32, 2**62, 2**63 + 5, 2**64 - 1])
def test_a_withdrawal_of_a_batch_that_is_not_in_the_directory_is_refused(
    history: History, batch: int
) -> None:
    """No consent would ever be newer than such a one."""
    copy = history.office.fetch_directory(NETWORK, 1)
    withdrawn = {**copy.withdrawn, bytes(32): batch}
    why = f"a withdrawal of batch {batch}, expected at most 3, its own; ask the office"
    refuses(history.restored(1), history, replace(copy, withdrawn=withdrawn), why)
    read = DirectoryCopy.decode(replace(copy, withdrawn=withdrawn).encode())
    refuses(history.restored(1), history, read, why)


@pytest.mark.parametrize("batch", [10_002, 2**32, 2**50, 2**53])
def test_a_directory_of_a_batch_that_cannot_be_is_refused(history: History, batch: int) -> None:
    """HQ would ask for the batch after that one, and outlets would seal for it."""
    copy = history.office.fetch_directory(NETWORK, 1)
    other = Directory(batch, Directory.decode(copy.directory).rows).encode()
    altered = replace(copy, said=statement(history.office, other), directory=other)
    why = f"is of batch {batch}, expected at most 10001, 10000 after HQ's registry"
    refuses(history.restored(1), history, altered, why)


@pytest.mark.parametrize("batch", [2**63, 2**64 - 1])
def test_whatever_batch_the_office_names_hq_says_what_is_wrong(
    history: History, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    there = DirectoryPosition(batch, 5, "00" * 32)
    monkeypatch.setattr(history.office, "last_directory", lambda: there)
    with pytest.raises(DirectoryRefused, match=f"one of batch {batch}"):
        tonight(history.office, history.newest)
    with pytest.raises(DirectoryRefused, match=f"has 5 slots of batch {batch}"):
        history.office.announce(history.newest.registry)


def test_a_home_tag_of_another_registration_is_refused(history: History) -> None:
    copy = history.office.fetch_directory(NETWORK, 1)
    rows = Directory.decode(copy.directory).rows.copy()
    for known in (tag(1), tag(0), rows[3, 32:].tobytes()):  # of a slot, of a dead one, of a new one
        rows[4, 32:] = np.frombuffer(known, np.uint8)
        other = Directory(3, rows).encode()
        altered = replace(copy, said=statement(history.office, other), directory=other)
        refuses(history.restored(1), history, altered, "home tag of another registration")


def test_a_registry_of_the_same_batch_with_other_content_is_refused(history: History) -> None:
    other = Hq(Registry("sqlite://"))
    for _ in NIGHTS:
        other.apply(Dummy())
    with pytest.raises(DirectoryRefused, match=r"has 5 slots .* had 0 slots then.* restore the n"):
        tonight(history.office, other)
    hq = history.restored(2)
    hq.apply(Register(4, 6), Register(5, 7))
    assert hq.registry.directory().slots == 5  # as many, of others
    asked = len(history.office.shown)
    with pytest.raises(DirectoryRefused, match="or other ones; restore the newest copies"):
        tonight(history.office, hq)
    assert len(history.office.shown) == asked


def test_a_renewed_hq_does_not_take_the_old_networks_directory(history: History) -> None:
    hq = Hq()
    with pytest.raises(DirectoryRefused, match=r"another network .* tokens renew"):
        restore(history.office, hq, TokenShare.generate())
    assert (hq.registry.last_batch(), hq.registry.directory().slots) == (0, 0)


def test_an_office_that_countersigned_nothing_gives_no_directory() -> None:
    with pytest.raises(DirectoryRefused, match="none was countersigned yet"):
        OfficeOf().fetch_directory(NETWORK, 1)
