"""Why a typed phone or e-mail identifies nobody: the reasons, in words without the cell."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Flaw(StrEnum):
    """Why nobody is recognised by what was typed."""

    SCIENTIFIC = (
        "in scientific notation, which has lost digits; make the column text and export it again"
    )
    SEVERAL_PHONES = "several phones; expected one"
    EXTENSION = "a phone with an extension, a switchboard's; expected one's own"
    NO_PHONE = "no phone: letters, other signs, a day or an amount; expected digits, with +country"
    NO_COUNTRY = "a phone without a country; set `region`, or write +country"
    NO_AREA = "a phone that may lack its area code; expected all of it, or +country"
    LENGTH = "more or fewer digits than phones of its country have"
    TWO_READINGS = "a phone that can be read as two; expected +country"
    SERVICE = "a service number, nobody's own"
    ROUNDED = "a phone that ends in zeros, as a spreadsheet rounds; expected all digits"
    PLACEHOLDER_PHONE = "a phone of digits that repeat or count, or one that everybody knows"
    SEVERAL_EMAILS = "several e-mails; expected one"
    NO_EMAIL = "no e-mail address; expected such as anna@firm.com"
    PLACEHOLDER_EMAIL = "an e-mail that is typed where there is none"

    @property
    def is_placeholder(self) -> bool:
        """Whether it was typed for want of a phone or e-mail, so that strangers share it."""
        return self in (Flaw.PLACEHOLDER_PHONE, Flaw.PLACEHOLDER_EMAIL, Flaw.ROUNDED)


class Reading(NamedTuple):
    """What was made of a cell; neither where it is blank or says that there is none.

    Attributes:
        identifier: Such as "tel:+6581234567".
        flaw: Why there is none.
    """

    identifier: str | None = None
    flaw: Flaw | None = None
