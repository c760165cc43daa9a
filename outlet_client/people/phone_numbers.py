"""Phones as people and spreadsheets write them, and the one number that each can be.

Invariant: a phone is used only if it can be read as one number, all of it is there, and more than
one person would hardly type it. Every reading that some country has is tried; where two of them
give a number, and both may be somebody's, neither is used.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import TYPE_CHECKING

import phonenumbers
from phonenumbers import PhoneNumberType, ValidationResult

from outlet_client.errors import NotConfigured
from outlet_client.people.identifier_flaws import Flaw, Reading
from outlet_client.sources.placeholders import (
    is_made_up,
    is_placeholder_number,
    is_placeholder_word,
    is_rounded,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from phonenumbers import PhoneNumber

_SCIENTIFIC = re.compile(r"[+-]?\d+([.,]\d+)?[eE][+-]?\d+")
_FRACTION = re.compile(r"(\d{4,})[.,]0{1,2}")
_ESCAPED = re.compile(r"""=\s*\\?"(.*?)\\?"|=\s*(\+?\d+)|['\u2018\u2019`](.*)""")
_NUMBER = re.compile(r"-?\d{7,}[.,]\d{1,2}|-\d+")
_DAY = re.compile(
    r"(0?[1-9]|[12]\d|3[01])([./-])(0?[1-9]|[12]\d|3[01])\2(19|20)\d\d"
    r"|(19|20)\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
)
_DASHES = re.compile("[\u2010-\u2015\u2212\u30fc]")
_EXTENSION = re.compile(r"\d[\s;]*(ext|extn|extension|x|#|durchwahl|dw|poste|int)\.?[\s=:]*\d+")
_ESCAPES = frozenset("='\u2018\u2019`")
_PLAIN = re.compile(r"\(?\+?[\d ()]+")
_ONE = re.compile(r"[(\[]? ?\+?[ \d().\[\]/-]*")
_SLASHED = re.compile(r"[^\d+/]*(\+|0)[^/]*/[^\d/]*[1-9][^/]*")
_PARTS = re.compile(r"[;,&|\n\r/]|\b(?:or|and|und|oder|et|ou|e|o)\b")

_MOST_BEFORE_SLASH = 7
"""Digits of an area code, with a country: 0171/2345678 is one phone, 81234567/91234567 are two."""

_LEAST_PHONE = 6
"""So many digits, and a part of a cell may be a phone by itself."""

_LOOSE_LENGTHS, _LOOSE_DIGITS = 4, 9
"""Where a country has phones of so many lengths, one of fewer digits may lack its area code."""

_OWN = (PhoneNumberType.MOBILE, PhoneNumberType.PERSONAL_NUMBER)
_SERVICES = (
    PhoneNumberType.TOLL_FREE,
    PhoneNumberType.PREMIUM_RATE,
    PhoneNumberType.SHARED_COST,
    PhoneNumberType.UAN,
    PhoneNumberType.VOICEMAIL,
)


def check_region(region: str | None) -> None:
    """Refuses a region that is none.

    Raises:
        NotConfigured: If it is neither None nor a country's two letters.
    """
    if region is not None and region not in phonenumbers.SUPPORTED_REGIONS:
        raise NotConfigured(f"region: got '{region}', expected two letters such as SG or US")


def read_phone(typed: str, region: str | None) -> Reading:
    """Reads a phone.

    Args:
        typed: A cell.
        region: Of phones without a country, such as "SG"; with None they are of no use.

    Returns:
        "tel:" and the number in E.164.
    """
    if not typed.isascii():
        typed = "".join(sign for sign in typed if unicodedata.category(sign) != "Cf")
    text = _bare(unescaped(typed))
    digits = "".join(sign for sign in text if sign.isdecimal())
    if not digits:
        return Reading(flaw=None if is_placeholder_word(text) else Flaw.NO_PHONE)
    flaw = _flaw_of_text(text)
    if flaw is not None:
        return Reading(flaw=flaw)
    if is_made_up(digits.lstrip("0") or digits):
        return Reading(flaw=Flaw.PLACEHOLDER_PHONE)
    found = _number("+" if "+" in text else "", digits, region)
    if isinstance(found, Flaw):
        return Reading(flaw=found)
    flaw = _flaw_of_number(found)
    return Reading(flaw=flaw) if flaw else Reading(f"tel:{_e164(found)}")


def unescaped(typed: str) -> str:
    """A cell without what spreadsheets write around text."""
    text = typed.strip() if typed.isascii() else unicodedata.normalize("NFKC", typed).strip()
    if text[:1] not in _ESCAPES:
        return text
    if escaped := _ESCAPED.fullmatch(text):
        text = next(part for part in escaped.groups() if part is not None).strip()
    return text


def _flaw_of_text(text: str) -> Flaw | None:
    """What is wrong with a cell that holds digits, before anything is known of countries."""
    if _PLAIN.fullmatch(text):
        return None
    lower = text.casefold()
    if _SCIENTIFIC.fullmatch(lower):
        return Flaw.SCIENTIFIC
    if _EXTENSION.search(lower):
        return Flaw.EXTENSION
    if _NUMBER.fullmatch(lower) or _DAY.fullmatch(lower):
        return Flaw.NO_PHONE
    if _ONE.fullmatch(text) and ("/" not in text or _is_area_slashed(text)):
        return None
    parts = [sum(sign.isdecimal() for sign in part) for part in _PARTS.split(lower)]
    several = sum(digits >= _LEAST_PHONE for digits in parts) > 1 or lower.count("+") > 1
    return Flaw.SEVERAL_PHONES if several else Flaw.NO_PHONE


def _bare(text: str) -> str:
    """A cell in plain digits and dashes, without "tel:" and the fraction a spreadsheet adds."""
    if text[:4].lower() == "tel:":
        text = text[4:]
    if not text.isascii():
        text = "".join(str(unicodedata.decimal(sign, sign)) for sign in _DASHES.sub("-", text))
    whole = _FRACTION.fullmatch(text.removeprefix("+"))
    return text if whole is None else text[: text.startswith("+")] + whole[1]


def _is_area_slashed(text: str) -> bool:
    """Whether a slash stands between an area code and the rest of one phone."""
    digits = sum(sign.isdecimal() for sign in text.partition("/")[0])
    return bool(_SLASHED.fullmatch(text)) and digits <= _MOST_BEFORE_SLASH


def _number(plus: str, digits: str, region: str | None) -> PhoneNumber | Flaw:
    """The only number that digits can be."""
    if plus:
        readings = _possible([(f"+{digits}", None)])
    elif digits.startswith("00"):
        return _dialled(digits, region)
    elif region is None:
        return Flaw.NO_COUNTRY if len(digits) >= _LEAST_PHONE else Flaw.LENGTH
    else:
        country = str(phonenumbers.country_code_for_region(region))
        readings = _possible([(digits, region)])
        if readings and _may_lack_its_area(readings[0], digits, region):
            readings = []
        if digits.startswith(country):
            readings = _different([*readings, *_possible([(f"+{digits}", None)])])
        if not readings:
            national = _possible([(digits, region)])
            return Flaw.NO_AREA if national else Flaw.LENGTH
        if len(readings) > 1:  # a mobile with its country, not a land line without its zero
            mobile = [one for one in readings if phonenumbers.number_type(one) in _OWN]
            readings = mobile if len(mobile) == 1 else readings
    return _only(readings)


def _dialled(digits: str, region: str | None) -> PhoneNumber | Flaw:
    """A number behind what is dialled to call abroad, which is 00 in most countries.

    Elsewhere it is three or four digits, 001 in Singapore, so that 0065 can begin a number of
    Singapore or, after 006, one of another country.
    """
    if region is not None:
        readings = _possible([(f"+{digits[2:]}", None), (digits, region)])
        return _only(readings) if readings else Flaw.LENGTH
    readings = _possible([(f"+{digits[cut:]}", None) for cut in (2, 3, 4)])
    sure = [one for one in readings if phonenumbers.is_valid_number(one)]
    meant = _possible([(f"+{digits[2:]}", None)])
    return meant[0] if sure and sure == meant else Flaw.NO_COUNTRY


def _only(readings: list[PhoneNumber]) -> PhoneNumber | Flaw:
    """One of some readings, if no other can be somebody's."""
    if not readings:
        return Flaw.LENGTH
    if len(readings) == 1:
        return readings[0]
    sure = [one for one in readings if phonenumbers.is_valid_number(one)]
    return sure[0] if len(sure) == 1 else Flaw.TWO_READINGS


def _may_lack_its_area(number: PhoneNumber, digits: str, region: str) -> bool:
    """Whether digits without a country could be the end of a longer number.

    That end is another customer's in another town. In most countries a whole number begins with
    the prefix that the area code is dialled with, or, where a spreadsheet took the zero, is a
    mobile or long.
    """
    if phonenumbers.national_significant_number(number) != digits:
        return False
    prefix = phonenumbers.ndd_prefix_for_region(region, strip_non_digits=True)
    is_long = len(digits) >= _LOOSE_DIGITS
    if prefix in (None, "1"):  # of North America, where a whole number has none as a rule
        return _is_loose(region) and not is_long and not phonenumbers.is_valid_number(number)
    if not phonenumbers.is_valid_number(number):
        return True
    return not is_long and phonenumbers.number_type(number) not in _OWN


@cache
def _is_loose(region: str) -> bool:
    """Whether phones of a country have so many lengths that the end of one may be another."""
    about = phonenumbers.PhoneMetadata.metadata_for_region(region)
    if about is None or about.general_desc is None:
        return True
    return len(about.general_desc.possible_length) >= _LOOSE_LENGTHS


def _flaw_of_number(number: PhoneNumber) -> Flaw | None:
    own = phonenumbers.national_significant_number(number)
    if is_made_up(own.lstrip("0") or own) or is_placeholder_number(f"+{number.country_code}{own}"):
        return Flaw.PLACEHOLDER_PHONE
    if is_rounded(own):
        return Flaw.ROUNDED
    if _lost_its_zero(number):
        return Flaw.LENGTH
    # In North America a toll-free number may be a person's, who took it along.
    is_service = number.country_code != 1 and phonenumbers.number_type(number) in _SERVICES
    return Flaw.SERVICE if is_service else None


def _lost_its_zero(number: PhoneNumber) -> bool:
    """Whether a number is none, and would be one with the zero that land lines of Italy keep."""
    if number.italian_leading_zero or not _keeps_zeros(number.country_code or 0):
        return False
    if phonenumbers.is_valid_number(number):
        return False
    own = phonenumbers.national_significant_number(number)
    whole = _possible([(f"+{number.country_code}0{own}", None)])
    return any(one.italian_leading_zero and phonenumbers.is_valid_number(one) for one in whole)


@cache
def _keeps_zeros(country_code: int) -> bool:
    """Whether land lines of a country begin with a zero also behind its code."""
    regions = phonenumbers.region_codes_for_country_code(country_code)
    examples = (
        phonenumbers.example_number_for_type(region, PhoneNumberType.FIXED_LINE)
        for region in regions
    )
    return any(one is not None and one.italian_leading_zero for one in examples)


def _possible(texts: Iterable[tuple[str, str | None]]) -> list[PhoneNumber]:
    """The different *possible* numbers: new ranges are in use before a library knows them valid.

    A number without its area code is possible too, to `is_possible_number`; but it is another
    customer's elsewhere, and not used.
    """
    found: list[PhoneNumber] = []
    for text, region in texts:
        try:
            number = phonenumbers.parse(text, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_possible_number_with_reason(number) == ValidationResult.IS_POSSIBLE:
            found.append(number)
    return _different(found)


def _different(numbers: Sequence[PhoneNumber]) -> list[PhoneNumber]:
    if len(numbers) < 2:  # noqa: PLR2004  (of one nothing is the same)
        return list(numbers)
    return list({_e164(number): number for number in numbers}.values())


def _e164(number: PhoneNumber) -> str:
    return f"+{number.country_code}{phonenumbers.national_significant_number(number)}"
