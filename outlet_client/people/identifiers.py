"""Identifiers: the one spelling of a phone or e-mail that every outlet arrives at.

Two outlets give a customer one token only if they arrive at the same identifier, byte for byte. A
link that is missed costs accuracy; a link between strangers shows one the other's band. So where a
spelling is ambiguous it is not used, nor is what strangers would both type (`placeholders`). The
purpose tag (`tel:`, `mailto:`) is part of the identifier.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from outlet_client.people.identifier_flaws import Flaw, Reading
from outlet_client.people.phone_numbers import check_region, read_phone, unescaped
from outlet_client.sources.placeholders import is_placeholder_mailbox, is_placeholder_word

if TYPE_CHECKING:
    from collections.abc import Callable

READING = 2
"""Which rules these are; what was read by others is read again."""

_MOST_EMAIL_CHARACTERS = 254
_MOST_LOCAL_CHARACTERS = 64

_NAMED = re.compile(r"[^<>@]*<\s*([^<>]+?)\s*>")
_LABEL = re.compile(r"[^\W_]([\w-]*[^\W_])?")


def identifier(phone: str | None, email: str | None, region: str | None) -> str | None:
    """Normalises what a customer consented to be recognised by.

    The e-mail is used only where the phone is not usable; a phone without a country is of the
    region, such as "SG", and of no use without one.

    Returns:
        "tel:" and the number in E.164, else "mailto:" and the address, else None.

    Raises:
        NotConfigured: If the region is unknown, whatever the customer.
    """
    return next(iter(identifiers(phone, email, region)), None)


def identifiers(phone: str | None, email: str | None, region: str | None) -> list[str]:
    """All that a customer may be known by: what is usable of both, the phone first.

    Raises:
        NotConfigured: If the region is unknown, whatever the customer.
    """
    check_region(region)
    readings = (
        read_phone(phone, region) if phone else Reading(),
        read_email(email) if email else Reading(),
    )
    return [one.identifier for one in readings if one.identifier is not None]


def typed_keys(
    phone: str | None, email: str | None, key_of: Callable[[str], str], region: str | None
) -> list[str]:
    """The keys of all usable identifiers that were typed, the phone's first.

    Raises:
        NotConfigured: If the region is unknown.
    """
    return [key_of(one) for one in identifiers(phone, email, region)]


def reading_rules(region: str | None) -> str:
    """What cells are read by, as text: another one means that they are to be read again."""
    return f"{region}/{READING}"


def read_email(typed: str) -> Reading:
    """Reads an e-mail address: spaces, Unicode form, case, a name before it in brackets, no more.

    Dots and "+tags" stay: whether they matter is the provider's choice, and a wrong guess would
    join strangers.

    Returns:
        "mailto:" and the address.
    """
    # Lower case can undo the normal form, so it is taken once more.
    text = unicodedata.normalize("NFKC", unescaped(typed).lower()).strip()
    if named := _NAMED.fullmatch(text):
        text = named[1]
    text = text.removeprefix("mailto:")
    if "@" not in text:
        return Reading(flaw=None if is_placeholder_word(text) else Flaw.NO_EMAIL)
    if text.count("@") > 1:
        return Reading(flaw=Flaw.SEVERAL_EMAILS)
    local, _, domain = text.partition("@")
    if not _is_address(text, local, domain):
        return Reading(flaw=Flaw.NO_EMAIL)
    if is_placeholder_mailbox(local, domain):
        return Reading(flaw=Flaw.PLACEHOLDER_EMAIL)
    return Reading(f"mailto:{text}")


def _is_address(text: str, local: str, domain: str) -> bool:
    labels = domain.split(".")
    return (
        1 <= len(local) <= _MOST_LOCAL_CHARACTERS
        and len(text) <= _MOST_EMAIL_CHARACTERS
        and text.isprintable()
        and not any(sign.isspace() or sign in ',;:<>()[]"\\' for sign in local)
        and len(labels) > 1
        and all(_LABEL.fullmatch(label) for label in labels)
    )
