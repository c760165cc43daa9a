"""Identifiers: the one spelling of a phone or e-mail that every outlet arrives at.

Two outlets give a customer one token only if they arrive at the same identifier, byte for byte. A
link that is missed costs accuracy; a link between strangers shows one the other's band. So where a
spelling is ambiguous it is not used. The purpose tag (`tel:`, `mailto:`) is part of the identifier.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

import phonenumbers
from phonenumbers import PhoneNumberFormat, ValidationResult

from outlet_client.errors import NotConfigured

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_EMAIL_CHARACTERS = 254
_MOST_LOCAL_CHARACTERS = 64


def identifier(phone: str | None, email: str | None, region: str) -> str | None:
    """Normalises what a customer consented to be recognised by.

    The e-mail is used only where the phone is not usable; a phone without a country is of the
    region, such as "SG".

    Returns:
        "tel:" and the number in E.164, else "mailto:" and the address, else None.

    Raises:
        NotConfigured: If the region is unknown, whatever the customer.
    """
    return next(iter(identifiers(phone, email, region)), None)


def identifiers(phone: str | None, email: str | None, region: str) -> list[str]:
    """All that a customer may be known by: what is usable of both, the phone first.

    Raises:
        NotConfigured: If the region is unknown, whatever the customer.
    """
    if region not in phonenumbers.SUPPORTED_REGIONS:
        raise NotConfigured(f"region: got '{region}', expected two letters such as SG or US")
    number = _number(phone, region) if phone else None
    address = _address(email) if email else None
    found = (number and f"tel:{number}", address and f"mailto:{address}")
    return [one for one in found if one]


def typed_keys(
    phone: str | None, email: str | None, key_of: Callable[[str], str], region: str
) -> list[str]:
    """The keys of all usable identifiers that were typed, the phone's first.

    Raises:
        NotConfigured: If the region is unknown.
    """
    return [key_of(one) for one in identifiers(phone, email, region)]


def _number(typed: str, region: str) -> str | None:
    """Reads a phone by the region's own rules, and if those fail with a leading 00 as a plus.

    The second reading is for places such as the US, where 00 is no prefix and is typed nonetheless.
    """
    text = unicodedata.normalize("NFKC", typed).strip()
    readings = [text, f"+{text[2:]}"] if text.startswith("00") else [text]
    return next(filter(None, (_e164(reading, region) for reading in readings)), None)


def _e164(text: str, region: str) -> str | None:
    """A *possible* number: new ranges are in use before a library knows them to be valid.

    A number without its area code is possible too, to `is_possible_number`; but it is another
    customer's elsewhere. One with an extension is a switchboard's. Neither is used.
    """
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    possible = phonenumbers.is_possible_number_with_reason(number)
    if possible != ValidationResult.IS_POSSIBLE or number.extension:
        return None
    own = phonenumbers.national_significant_number(number)
    if len(set(own)) == 1 or "1234567890".startswith(own):
        return None  # what a till demands where there is none; strangers would share it
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def _address(typed: str) -> str | None:
    """Normalises an e-mail address: spaces around it, Unicode form and case, and no more.

    Dots and "+tags" stay: whether they matter is the provider's choice, and a wrong guess would
    join strangers.
    """
    # Lower case can undo the normal form, so it is taken once more.
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", typed).strip().lower())
    local, _, domain = text.partition("@")
    sane = (
        text.count("@") == 1
        and 1 <= len(local) <= _MOST_LOCAL_CHARACTERS
        and len(text) <= _MOST_EMAIL_CHARACTERS
        and text.isprintable()
        and not any(character.isspace() for character in text)
    )
    labels = domain.split(".")
    return text if sane and len(labels) > 1 and all(labels) else None
