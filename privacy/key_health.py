"""What a keyring's owner has to hear of: modes, ends of certificates, files that cannot be read.

Invariant: nothing is changed, and nobody is reached.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from privacy.cards import WARNING_DAYS, CertificateEnded
from privacy.errors import PrivacyError
from privacy.identity import PartyKind

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

    from privacy.cards import Card
    from privacy.keyring import Keyring


@dataclass(frozen=True, slots=True)
class KeyNote:
    """One thing to hear of.

    Attributes:
        text: What, and what to do.
        fault: Whether something is refused already; else it will be.
    """

    text: str
    fault: bool


def key_notes(ring: Keyring, at: dt.datetime) -> list[KeyNote]:
    """All there is to hear of a keyring, faults first.

    Args:
        ring: Whose keys and peers it is about.
        at: Now.
    """
    found = [KeyNote(str(one), fault=True) for one in ring.open_modes()]
    found += [KeyNote(str(one), fault=True) for one in ring.unreadable()]
    found += _of_own(ring, at)
    for kind in PartyKind:
        for card in ring.peers(kind).values():
            found += _of_end(card, at, own=False)
    return sorted(found, key=lambda note: not note.fault)


def key_warnings(ring: Keyring, at: dt.datetime) -> list[str]:
    """The texts of `key_notes`."""
    return [note.text for note in key_notes(ring, at)]


def _of_own(ring: Keyring, at: dt.datetime) -> Iterator[KeyNote]:
    try:
        own = ring.identity()
    except PrivacyError as error:
        if not ring.open_modes():  # said already
            yield KeyNote(str(error), fault=True)
        return
    try:
        stale = ring.own_card() != own.newest.card
    except PrivacyError:
        stale = True
    if stale:
        text = f"{ring.public_file}: not this party's newest card; `keys show` writes it anew"
        yield KeyNote(text, fault=True)
    if own.next is None:
        yield from _of_end(own.card, at, own=True)
    elif at > own.card.ends:
        yield KeyNote(str(CertificateEnded(own.card, at, own=True)), fault=True)
    else:
        accepted = own.card.certificate in own.next.card.accepted(at)
        until = (
            f"until {own.next.card.until[:10]}" if accepted else "by nobody who has the new card"
        )
        text = (
            f"{own.card.kind} {own.card.name}: renewed keys of serial {own.next.card.serial} wait "
            f"for `keys finish`, once everybody has {ring.public_file}; the old ones are taken "
            f"{until}"
        )
        yield KeyNote(text, fault=not accepted)


def _of_end(card: Card, at: dt.datetime, *, own: bool) -> Iterator[KeyNote]:
    """That a certificate is over, not valid yet, or ends within `WARNING_DAYS`."""
    try:
        card.check_dates(at, own=own)
    except CertificateEnded as error:
        yield KeyNote(str(error), fault=True)
        return
    days = (card.ends - at).days
    if days < WARNING_DAYS:
        program = f"escapement-{card.kind} keys renew"
        way = f"run `{program}`" if own else f"ask for its renewed card (`{program}` there)"
        text = (
            f"{card.kind} {card.name}: {'own' if own else 'its'} certificate ends on "
            f"{card.ends:%Y-%m-%d}, in {days} days; {way}"
        )
        yield KeyNote(text, fault=False)
