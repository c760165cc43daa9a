"""Band books that look-ups read: which one tells, which is refused, and none yet."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from outlet_client.bands.book_store import read_shelf
from outlet_client.bands.lookup import NO_BANDS_YET, Answer, Status
from outlet_client.errors import BookBehind, BookMissing
from outlet_client.people.directory_files import fetch_directory, keep_directory, latest_directory
from privacy.books import BookRefused
from privacy.directory import DirectoryRefused
from privacy.envelopes import SigningKey
from privacy.errors import PrivacyError
from privacy.publications import Publication, PublicationKind, PublicationRefused, countersign
from privacy.published_books import PublishedBook, sign_book
from privacy.slot_keys import SlotKey
from tests.outlet_client.fake_network import network
from tests.outlet_client.lookup_shop import (
    ANNA,
    ANNAS_SLOT,
    ASKED,
    BEN,
    NEW,
    NEWCOMER,
    NOW,
    UNKNOWN,
    Shop,
    elsewhere,
    new_shop,
    shop,
    told,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.outlet_client.fake_network import FakeNetwork

__all__ = ["network", "new_shop", "shop"]


def refused_books(shop: Shop) -> Iterator[tuple[bytes, str]]:
    stale = int((NOW - dt.timedelta(days=31)).timestamp())
    press, book = shop.network.press, shop.book(2)
    yield shop.published(book, replace(press, hq=SigningKey.generate())), "not signed by the pinned"
    yield shop.published(book, replace(press, office=SigningKey.generate())), "not countersigned"
    told = press.countersigned(shop.directory.directory, 9).encode()
    yield told + sign_book(book, press.hq).encode(), "what the office said of a directory"
    other = PublishedBook.decode(shop.published(shop.book(3)))
    yield replace(other, signed=sign_book(book, press.hq)).encode(), "countersigned [0-9a-f]{16};"
    yield press.book(shop.book(9), 1), "number 1, expected one above 1"  # whatever HQ says
    yield shop.published(shop.book(1, as_of="2026-02-02")), "number 1, expected one above 1"
    yield shop.published(shop.book(2, made_at=stale)), "stale"
    yield shop.published(shop.book(2, directory="ab" * 32)), "directory"
    yield shop.published(shop.fine_book(2)), "fine"
    less = shop.book(2, sealed=1)
    yield shop.published(replace(less, slots=1, body=less.body[:1])), "1 slots"
    yield b"", "cut off"
    yield b"\0" * 80, "signature of 12 bytes"


def test_a_stale_forged_older_or_foreign_book_is_refused_and_the_good_one_stays(
    shop: Shop,
) -> None:
    good = shop.look.look_up(ANNA, None, ASKED)
    files = {file.name: file.read_bytes() for file in shop.home.glob("*.bin")}
    for data, reason in refused_books(shop):
        with pytest.raises(PrivacyError, match=reason):
            shop.store(data)
        assert {file.name: file.read_bytes() for file in shop.home.glob("*.bin")} == files
        assert shop.another().look_up(ANNA, None, ASKED) == good
    assert not shop.store((shop.home / "book.bin").read_bytes())  # the same one is nothing new


def test_a_book_of_another_directory_than_the_office_was_told_is_refused(shop: Shop) -> None:
    signed = sign_book(shop.book(2), shop.network.hq.signing)
    said = Publication(PublicationKind.BOOK, 1, signed.digest, "ab" * 32, 1)
    told = countersign(said, shop.network.office.signing)
    with pytest.raises(BookRefused, match="of another directory than the privacy office was told"):
        shop.store(PublishedBook(signed, told).encode())


def test_a_newer_book_is_used_at_once_with_its_own_directory(
    shop: Shop, network: FakeNetwork
) -> None:
    assert shop.look.look_up(ANNA, None, ASKED).bands[0].band == "priority"
    assert shop.first_time(NEWCOMER).status is Status.NOT_IN_NETWORK
    network.elsewhere(f"tel:{NEWCOMER}")
    shop.directory = network.publish(2)
    assert shop.store(shop.published(shop.book(2, "eligible")))
    assert shop.look.look_up(ANNA, None, ASKED).bands[0].band == "eligible"
    assert shop.look.look_up(NEWCOMER, None, ASKED).bands[0].band == "building"
    assert len(list(shop.home.glob("directory-*.bin"))) == 1


def test_a_kill_between_directory_and_book_leaves_the_old_pair(
    shop: Shop, network: FakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = shop.look.look_up(ANNA, None, ASKED)
    shop.directory = network.publish(2)
    network.library.latest = shop.published(shop.book(2, "eligible"))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("outlet_client.bands.book_store.write_private", killed)
        with pytest.raises(KeyboardInterrupt):
            shop.fetch()
    assert len(list(shop.home.glob("directory-*.bin"))) == 2
    assert shop.another().look_up(ANNA, None, ASKED) == good
    assert shop.fetch()
    assert shop.another().look_up(ANNA, None, ASKED).bands[0].band == "eligible"
    assert len(list(shop.home.glob("directory-*.bin"))) == 1


def test_an_hq_that_was_restored_hands_out_an_earlier_book_and_the_one_here_stays(
    shop: Shop, network: FakeNetwork
) -> None:
    early = shop.published(shop.book(2))
    shop.directory = network.publish(2)
    network.library.latest = shop.published(shop.book(3, "eligible"))
    assert shop.fetch()
    network.library.latest = early
    with pytest.raises(BookBehind, match=r"HQ hands out book 2 .* book 3 is here and stays"):
        shop.fetch()
    assert shop.another().look_up(ANNA, None, ASKED).bands[0].band == "eligible"


def test_a_book_of_an_earlier_night_comes_with_its_own_directory(
    shop: Shop, network: FakeNetwork
) -> None:
    """This outlet was down on the night of the book."""
    shop.directory = network.publish(2)
    network.library.latest = shop.published(shop.book(2, "eligible"))
    network.elsewhere(f"tel:{NEWCOMER}")
    tonight = network.publish(3)
    office = network.office.signing.public
    fetch_directory(shop.home, network.services, tonight.directory.digest, office)
    assert shop.fetch()
    assert not shop.fetch()
    assert shop.look.look_up(ANNA, None, ASKED).bands[0].band == "eligible"
    latest = latest_directory(shop.home, office)
    assert latest is not None
    assert latest.number == tonight.number  # the next night goes on from it
    network.library.latest = None
    assert not shop.fetch()


def test_directories_of_nights_without_a_new_book_do_not_pile_up(
    shop: Shop, network: FakeNetwork
) -> None:
    network.library.latest = (shop.home / "book.bin").read_bytes()
    office = network.office.signing.public
    made = shop.directory
    for batch in range(2, 6):
        made = network.publish(batch)
        fetch_directory(shop.home, network.services, made.directory.digest, office)
        assert not shop.fetch()
    kept = {file.name[10:42] for file in shop.home.glob("directory-*.bin")}
    assert kept == {one.directory.digest[:32] for one in (shop.directory, made)}
    assert shop.another().look_up(ANNA, None, ASKED).status is Status.KNOWN


def test_a_book_that_grew_too_old_is_not_shown(shop: Shop) -> None:
    shop.look.look_up(ANNA, None, ASKED)
    shop.now += dt.timedelta(days=31)
    with pytest.raises(BookMissing, match="made 2026-03-02, expected one not older than 30 days"):
        shop.look.look_up(ANNA, None, ASKED)
    assert shop.look.look_up(UNKNOWN, None, ASKED).status is Status.CONSENT_NEEDED


def test_codes_of_an_old_seal_are_not_shown_though_they_are_published_every_night(
    shop: Shop,
) -> None:
    """30 days, and the 7 by which the day of a seal may lie off."""
    sealed = shop.book(2)
    for days, is_shown in ((36, True), (37, False), (38, False)):  # of 2026-03-01
        shop.now = NOW + dt.timedelta(days=days)
        tonight = replace(sealed, version=days, made_at=int(shop.now.timestamp()))
        assert shop.store(shop.published(tonight))
        if is_shown:
            assert shop.look.look_up(ANNA, None, ASKED).as_of == "2026-03-01"
            continue
        with pytest.raises(BookMissing, match=r"sealed as of 2026-03-01, .* than 37 days ago"):
            shop.look.look_up(ANNA, None, ASKED)
    made_at = int(shop.now.timestamp())
    assert shop.store(shop.published(shop.book(99, as_of="2026-03-03", made_at=made_at)))
    assert shop.look.look_up(ANNA, None, ASKED).as_of == "2026-03-03"


def test_before_the_first_book_everybody_who_is_listed_reads_new(
    new_shop: Shop, network: FakeNetwork
) -> None:
    answer = new_shop.look.look_up(ANNA, None, ASKED)
    assert (answer.status, answer.as_of, told(answer)) == (Status.KNOWN, "", NEW)
    assert (answer.no_band, answer.many_outlets, answer.note) == ("", False, NO_BANDS_YET)
    assert new_shop.look.look_up(BEN, None, ASKED) == Answer(Status.CONSENT_NEEDED)
    assert new_shop.first_time(BEN) == answer
    assert new_shop.first_time(NEWCOMER) == Answer(Status.NOT_IN_NETWORK)
    network.elsewhere(f"tel:{NEWCOMER}")
    network.withdrawn_elsewhere(f"tel:{BEN}")
    new_shop.directory = network.publish(2)
    keep_directory(new_shop.home, new_shop.directory)
    assert new_shop.look.look_up(NEWCOMER, None, ASKED) == answer
    assert new_shop.look.look_up(BEN, None, ASKED) == Answer(Status.NOT_IN_NETWORK)
    assert [outcome for *_, outcome in new_shop.log(ANNA)] == ["known"]


def test_the_first_book_is_read_as_soon_as_it_is_here(new_shop: Shop) -> None:
    assert new_shop.look.look_up(ANNA, None, ASKED).bands[0].band == "new"
    assert new_shop.store(new_shop.published(new_shop.book()))
    answer = new_shop.look.look_up(ANNA, None, ASKED)
    assert (answer.bands[0].band, answer.as_of, answer.note) == ("priority", "2026-03-01", "")


def test_without_a_directory_that_can_be_read_nobody_is_new_but_there_is_no_book(
    new_shop: Shop,
) -> None:
    [place] = new_shop.home.glob("directory-*.bin")
    place.write_bytes(place.read_bytes()[:-1])
    with pytest.raises(BookMissing, match="none yet, and no directory"):
        new_shop.look.look_up(ANNA, None, ASKED)
    place.unlink()
    with pytest.raises(BookMissing, match="none yet, and no directory"):
        new_shop.look.look_up(ANNA, None, ASKED)
    assert new_shop.look.look_up(BEN, None, ASKED).status is Status.CONSENT_NEEDED


def test_a_book_that_cannot_be_read_is_never_taken_for_none(new_shop: Shop) -> None:
    for data in (b"", b"x", new_shop.published(new_shop.book())[:-1]):
        (new_shop.home / "book.bin").write_bytes(data)
        with pytest.raises(PrivacyError):
            new_shop.look.look_up(ANNA, None, ASKED)


def test_a_lost_or_exchanged_directory_is_noticed(shop: Shop) -> None:
    [place] = shop.home.glob("directory-*.bin")
    good = place.read_bytes()
    other = shop.network.publish(9)
    keep_directory(shop.home, other)
    (shop.home / f"directory-{other.directory.digest[:32]}.bin").replace(place)
    with pytest.raises(BookRefused, match="the directory on disk is another"):
        shop.another().look_up(ANNA, None, ASKED)
    place.write_bytes(good[:-1] + b"?")
    with pytest.raises(PublicationRefused, match="the privacy office countersigned"):
        shop.another().look_up(ANNA, None, ASKED)
    place.write_bytes(good[:-1])
    with pytest.raises(DirectoryRefused, match="malformed"):
        shop.another().look_up(ANNA, None, ASKED)
    place.unlink()
    with pytest.raises(BookMissing, match="its directory is missing"):
        shop.another().look_up(ANNA, None, ASKED)
    shop.network.library.latest = (shop.home / "book.bin").read_bytes()
    assert not shop.fetch()  # it is the same book, and its directory is back
    assert shop.another().look_up(ANNA, None, ASKED).status is Status.KNOWN


def test_a_damaged_book_is_noticed_and_any_good_one_replaces_it(shop: Shop) -> None:
    place = shop.home / "book.bin"
    place.write_bytes(place.read_bytes()[:-1] + b"?")
    with pytest.raises(BookRefused, match="not signed"):
        shop.look.look_up(ANNA, None, ASKED)
    assert shop.store(shop.published(shop.book()))
    assert shop.look.look_up(ANNA, None, ASKED).status is Status.KNOWN


def test_a_slot_that_an_earlier_directory_gave_is_held_against_the_books_own(shop: Shop) -> None:
    shelf = read_shelf(shop.home, shop.network.press.publishers)
    key = SlotKey.of(shop.network.token(f"tel:{ANNA}").raw).public
    for given in (None, 0, ANNAS_SLOT, shelf.directory.slots, 10**9, -1):
        assert shelf.slot(key, given) == ANNAS_SLOT
        assert shelf.slot(bytes(31) + b"\1", given) is None
    good = shop.look.look_up(ANNA, None, ASKED)
    elsewhere(shop.home / "outlet.db", "UPDATE people SET slot = 0")
    assert shop.look.look_up(ANNA, None, ASKED) == good
