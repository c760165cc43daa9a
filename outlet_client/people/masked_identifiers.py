"""Identifiers as a page may show them: enough to see a slip of the finger, not enough to keep.

Invariant: of a phone its country and its last three digits are shown, of an e-mail its first letter
and its domain.
"""

from __future__ import annotations

import phonenumbers

_SHOWN = 3
_DOT = "\N{BULLET}"


def masked_identifier(identifier: str) -> str:
    """An identifier such as "tel:+12125550100" as "+1 •••-•••-•100"."""
    kind, _, text = identifier.partition(":")
    if kind != "tel":
        mailbox, _, domain = text.rpartition("@")
        return f"{mailbox[:1]}{_DOT * 3}@{domain}"
    number = phonenumbers.parse(text)
    form = phonenumbers.PhoneNumberFormat.INTERNATIONAL
    spelled = phonenumbers.format_number(number, form)
    country = f"+{number.country_code}"
    rest = spelled.removeprefix(country)
    hidden = sum(sign.isdecimal() for sign in rest) - _SHOWN
    shown = ""
    for sign in rest:
        if sign.isdecimal():
            shown += _DOT if hidden > 0 else sign
            hidden -= 1
        else:
            shown += sign
    return country + shown
