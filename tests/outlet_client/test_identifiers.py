"""One customer, typed in several ways, is one identifier; strangers are never one."""

from __future__ import annotations

import csv
import gzip
import tomllib
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import phonenumbers
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from outlet_client.errors import NotConfigured
from outlet_client.people.identifier_flaws import Flaw
from outlet_client.people.identifiers import identifier, read_email
from outlet_client.people.phone_numbers import read_phone
from outlet_client.sources import placeholders

EXPORTS = Path(__file__).parent.parent / "exports"
REGIONS = [
    "SG", "HK", "US", "DE", "CH", "FR", "IT", "GB", "JP", "CN", "AT", "AU", "IN", "KR", "TH", "TW",
    "AE", "BE", "FI", "RU", "HU", "BR", "MX", "SE", "ID",
]  # fmt: skip


@pytest.mark.parametrize(
    "typed",
    [
        "+17215550131",
        "7215550131",
        "(721) 555-0131",
        "1-721-555-0131",
        "001 7215550131",
        "721.555.0131",
        "  +1 721 555 0131 ",
        "７２１５５５０１３１",  # noqa: RUF001
        "tel:+1-721-555-0131",
    ],
)
def test_a_phone_typed_in_any_usual_way_is_one_identifier(typed: str) -> None:
    assert identifier(typed, "anna@example.com", "US") == "tel:+17215550131"


def test_a_phone_without_a_country_is_of_the_outlets_region() -> None:
    for typed in ("8123 4567", "+65 8123 4567", "0065 8123 4567"):
        assert identifier(typed, None, "SG") == "tel:+6581234567"
    assert identifier("+65 8123 4567", None, "US") == "tel:+6581234567"


@pytest.mark.parametrize(
    ("typed", "region"),
    [
        ("", "US"),
        ("n/a", "US"),
        ("12", "US"),
        ("+", "US"),
        ("00", "US"),
        ("555-0131", "US"),  # without its area code it is another customer's elsewhere
        ("721-555-0131 ext. 7", "US"),  # a switchboard
        ("72155501310000", "US"),
    ],
)
def test_an_unusable_phone_gives_way_to_the_email(typed: str, region: str) -> None:
    assert identifier(typed, "anna@example.com", region) == "mailto:anna@example.com"
    assert identifier(typed, None, region) is None


@pytest.mark.parametrize(
    "typed",
    [
        "u12@example.net",
        "U12@EXAMPLE.NET",
        " u12@example.net",
        "u12＠ｅｘａｍｐｌｅ.net\t",  # noqa: RUF001
    ],
)
def test_an_email_typed_in_any_usual_way_is_one_identifier(typed: str) -> None:
    assert identifier(None, typed, "US") == "mailto:u12@example.net"


def test_dots_and_plus_tags_of_an_email_stay() -> None:
    typed = ["a.b@example.com", "ab@example.com", "ab+vip@example.com"]
    assert len({identifier(None, one, "US") for one in typed}) == 3


@pytest.mark.parametrize(
    "typed",
    [
        "",
        " ",
        "none",
        "@example.com",
        "a@",
        "a@b",
        "a@b.",
        "a@.b",
        "a@b@c.d",
        "a b@c.d",
        "a@c.d\n\0",
        "a@c.d\u200b",
        "a\udc80@c.d",
        "a" * 65 + "@c.d",
        "a@" + "c" * 252 + ".d",
    ],
)
def test_an_unusable_email_is_no_identifier(typed: str) -> None:
    assert identifier(None, typed, "US") is None


@pytest.mark.parametrize("region", ["", "us", "XX", "Singapore"])
def test_an_unknown_region_is_refused_whatever_the_customer(region: str) -> None:
    with pytest.raises(NotConfigured, match="region"):
        identifier(None, None, region)


@given(st.text(), st.text(), st.sampled_from(["US", "SG", "CH"]))
def test_no_typing_raises_and_an_identifier_is_always_encodable(
    phone: str, email: str, region: str
) -> None:
    found = identifier(phone, email, region)
    assert found is None or found.encode().startswith((b"tel:+", b"mailto:"))


@given(st.builds("{}@{}.{}".format, st.text(min_size=1), st.text(min_size=1), st.text(min_size=1)))
def test_normalising_twice_is_normalising_once(typed: str) -> None:
    once = identifier(None, typed, "US")
    if once is not None:
        assert identifier(None, once.removeprefix("mailto:"), "US") == once


@pytest.mark.parametrize(
    ("typed", "region", "number"),
    [
        ("81234567.0", "SG", "+6581234567"),
        ("1712345678.0", "DE", "+491712345678"),
        ("491712345678.0", "DE", "+491712345678"),  # Leer's land lines are shorter than that
        ("6581234572", "SG", "+6581234572"),
        ('="81234568"', "SG", "+6581234568"),
        ('=\\"81234568\\"', "SG", "+6581234568"),
        ("'+6581234569", None, "+6581234569"),
        ("(+65) 8123-4567", None, "+6581234567"),
        ("\u202a+65\u00a08123\u20114567\u202c", None, "+6581234567"),
        ("\u0668\u0661\u0662\u0663\u0664\u0665\u0667\u0665", "SG", "+6581234575"),
        ("0171/2345678", "DE", "+491712345678"),
        ("+41 (0)79 123 45 68", "DE", "+41791234568"),
        ("0151 23456789", "DE", "+4915123456789"),
        ("0049 171 2345678", "SG", "+491712345678"),  # 004 calls abroad there: +91 712345678
        ("001 49 171 2345678", "SG", "+491712345678"),
        ("0065 8123 4570", None, "+6581234570"),
        ("06 69812345", "IT", "+390669812345"),
    ],
)
def test_a_phone_as_tills_and_spreadsheets_write_it_is_read(
    typed: str, region: str | None, number: str
) -> None:
    assert read_phone(typed, region).identifier == f"tel:{number}"


@pytest.mark.parametrize(
    ("typed", "region", "flaw"),
    [
        ("6.58123E+09", "SG", Flaw.SCIENTIFIC),
        ("6,58123e+09", "DE", Flaw.SCIENTIFIC),
        ("6581230000", "SG", Flaw.ROUNDED),  # what a spreadsheet saves of that
        ("8123 4567 / 9123 4567", "SG", Flaw.SEVERAL_PHONES),
        ("8123 4567 or +65 9123 4567", "SG", Flaw.SEVERAL_PHONES),
        ("8123 4567\n9123 4567", "SG", Flaw.SEVERAL_PHONES),
        ("12345/67890", "DE", Flaw.NO_PHONE),
        ("81234573 (wife)", "SG", Flaw.NO_PHONE),
        ("1712345678.5", "DE", Flaw.NO_PHONE),
        ("12.05.1980", "SG", Flaw.NO_PHONE),  # a day of birth: +65 1205 1980
        ("1980-05-12", "SG", Flaw.NO_PHONE),
        ("81234574 ext 12", "SG", Flaw.EXTENSION),
        ("8123 4567", None, Flaw.NO_COUNTRY),
        ("65 8123 4567", None, Flaw.NO_COUNTRY),
        ("001 65 8123 4567", None, Flaw.NO_COUNTRY),
        ("301245", "DE", Flaw.NO_AREA),  # in Hanover and in Cologne
        ("62345671", "CN", Flaw.NO_AREA),
        ("468115955", "SE", Flaw.TWO_READINGS),  # +46 8 11 59 55, or 0468 11 59 55
        ("212340138.0", "IT", Flaw.LENGTH),  # 02 1234 0138, whose zero is part of it
        ("1800 123 4568", "SG", Flaw.SERVICE),
        ("99999999", None, Flaw.PLACEHOLDER_PHONE),
        ("+65 00000000", None, Flaw.PLACEHOLDER_PHONE),
        ("0012345678", "SG", Flaw.PLACEHOLDER_PHONE),
        ("+49 987654321", None, Flaw.PLACEHOLDER_PHONE),
        ("81111111", "SG", Flaw.PLACEHOLDER_PHONE),
        ("+65 8989 8989", None, Flaw.PLACEHOLDER_PHONE),
        ("123123123", "CH", Flaw.PLACEHOLDER_PHONE),
        ("07123 456789", "GB", Flaw.PLACEHOLDER_PHONE),
        ("+1 212 555 1212", None, Flaw.PLACEHOLDER_PHONE),
        ("+86 138 0013 8000", None, Flaw.PLACEHOLDER_PHONE),
    ],
)
def test_a_phone_that_may_be_another_customers_is_not_used_and_says_why(
    typed: str, region: str | None, flaw: Flaw
) -> None:
    assert read_phone(typed, region) == (None, flaw)


@pytest.mark.parametrize("typed", ["", " ", "-", "n/a", "None", "keine", "\u7121"])
def test_a_cell_that_says_there_is_none_is_as_good_as_blank(typed: str) -> None:
    assert read_phone(typed, "SG") == read_email(typed) == (None, None)


NUMBERS = st.tuples(
    st.sampled_from(REGIONS),
    st.sampled_from([PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE]),
    st.integers(0, 99_999),
)


def _number(drawn: tuple[str, int, int]) -> phonenumbers.PhoneNumber:
    """A number that somebody may have."""
    region, kind, end = drawn
    example = phonenumbers.example_number_for_type(region, kind)
    assert example is not None
    own = phonenumbers.national_significant_number(example)
    found = phonenumbers.parse(f"+{example.country_code}{own[:-5]}{end:05}", None)
    e164 = phonenumbers.format_number(found, PhoneNumberFormat.E164)
    assume(phonenumbers.is_valid_number(found))
    assume(read_phone(e164, None).identifier == f"tel:{e164}")
    return found


def _forms(number: phonenumbers.PhoneNumber, place: str) -> list[tuple[str, str | None]]:
    """Ways to write a number, and the region to read it with."""
    e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    national = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
    digits = "".join(sign for sign in national if sign.isdecimal())
    own = phonenumbers.national_significant_number(number)
    own = own.lstrip("0") if number.italian_leading_zero else own  # a spreadsheet's
    region = phonenumbers.region_code_for_number(number)
    abroad = phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)
    dialled = phonenumbers.format_out_of_country_calling_number(number, place)
    written = [national, digits, f"{own}.0", own, f'="{digits}"', national.replace(" ", "/", 1)]
    anywhere = [abroad, f"'{e164}", f"00{e164[1:]}", f"(+{number.country_code}) {own}"]
    return [
        *((one, region) for one in [*written, e164[1:], f"{e164[1:]}.0", f"00{e164[1:]}"]),
        *((one, where) for one in anywhere for where in (place, region, None)),
        (dialled, place),
        *((one, None) for one in written),
    ]


@given(NUMBERS, st.sampled_from(REGIONS))
def test_a_number_in_whatever_form_is_read_as_itself_or_as_none(
    drawn: tuple[str, int, int], place: str
) -> None:
    number = _number(drawn)
    e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    for typed, region in _forms(number, place):
        assert read_phone(typed, region).identifier in (None, f"tel:{e164}"), (typed, region)


@given(
    NUMBERS, NUMBERS, st.sampled_from([" / ", "/", ", ", "; ", " or ", "\n", " & ", "|", " und "])
)
def test_two_phones_in_a_cell_are_none(
    one: tuple[str, int, int], other: tuple[str, int, int], between: str
) -> None:
    region = one[0]
    both = [
        phonenumbers.format_number(_number(drawn), PhoneNumberFormat.NATIONAL)
        for drawn in (one, (region, *other[1:]))
    ]
    assert read_phone(between.join(both), region).identifier is None


@given(NUMBERS, st.integers(1, 5))
def test_what_a_spreadsheet_shortened_is_nobodys(drawn: tuple[str, int, int], places: int) -> None:
    digits = phonenumbers.format_number(_number(drawn), PhoneNumberFormat.E164)[1:]
    short = f"{int(digits):.{places}E}"
    for typed in (short, short.replace(".", ","), f"+{short}", f"{short[:-2]}0{short[-2:]}"):
        assert read_phone(typed, drawn[0]) == (None, Flaw.SCIENTIFIC)
    assume(len(digits) >= places + 5)
    assert read_phone(f"+{int(float(short))}", None).identifier is None


@pytest.mark.parametrize(
    "typed",
    [
        "none@none.com",
        "NONE2@gmx.de",
        "no.e-mail@shop.ch",
        "n/a@n.a",
        "na@gmail.com",
        "test123@mail.ru",
        "keine@email.de",
        "kein-Email@web.de",
        "aucun@free.fr",
        "pas.de.mail@orange.fr",
        "nessuna@libero.it",
        "no-tiene@x.es",
        "geen@x.nl",
        "brak@wp.pl",
        "yok@x.tr",
        "unbekannt@firma.de",
        "jane@none.com",
        "jane@noemail.net",
        "x@shop.invalid",
        "aaa@x.com",
        "a@a.com",
        "noreply@shop.com",
        "guest@hotel.com",
        "your.name@example.com",
        "user@gmail.com",
        "max.mustermann@web.de",
        "info@gmail.com",
        "info@test.co.uk",
        "\u65e0@qq.com",
        "\u306a\u3057@x.jp",
        '="none@none.com"',
        "'none@none.com",
    ],
)
def test_an_email_that_is_typed_for_want_of_one_identifies_nobody(typed: str) -> None:
    assert identifier(None, typed, None) is None


@pytest.mark.parametrize(
    "typed",
    [
        "jane+vip@example.com",
        "info@smith-ag.ch",
        "office@smith.co.uk",
        "nora@nora-bank.no",
        "novak@novak.cz",
        "testa@libero.it",
        "client12@mail.example",
        "a@b.ch",
        "anna.no@x.no",
        "nonna@x.it",
        "kunden-17@x.de",
        "kein.schmidt@x.de",
    ],
)
def test_an_email_that_may_be_somebodys_is_used(typed: str) -> None:
    assert identifier(None, typed, None) == f"mailto:{typed}"


def test_an_address_beside_its_owners_name_is_the_address_and_two_are_none() -> None:
    for typed in ("Jane Doe <Jane@X.com>", "<jane@x.com>", "mailto:jane@x.com", "'jane@x.com"):
        assert read_email(typed).identifier == "mailto:jane@x.com"
    for typed in ("a@x.com; b@x.com", "a@x.com,b@x.com", "Jane <a@x.com> Bob <b@x.com>"):
        assert read_email(typed) == (None, Flaw.SEVERAL_EMAILS)
    for typed in ("jane@x.com;", "jane@x,com", "jane@x.com.", "jane x@x.com"):
        assert read_email(typed) == (None, Flaw.NO_EMAIL)


def test_the_list_of_placeholders_says_why_in_several_languages() -> None:
    told: dict[str, Any] = tomllib.loads(
        Path(placeholders.__file__).with_name("placeholders.toml").read_text(encoding="utf-8")
    )
    parts = [*told["mailboxes"], *told["domains"], told["samples"], *told["phones"]]
    assert all(part["reason"] for part in parts)
    words = [
        (language, word, part["numbered"])
        for part in told["mailboxes"]
        for language, some in part.items()
        if len(language) == 2
        for word in some.split()
    ]
    assert {language for language, *_ in words} >= {"en", "de", "fr", "it", "es", "zh", "ja"}
    for _, word, numbered in words:
        assert placeholders.is_placeholder_mailbox(word, "shop.ch"), word
        has_number = placeholders.is_placeholder_mailbox(f"{word}2", "shop.ch")
        assert has_number == (numbered and len(word) > 2), word


def test_no_phone_of_the_exports_becomes_another_customers() -> None:
    with (EXPORTS / "small_ph.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = {row["customer_id"]: read_phone(row["phone"] or "", "SG").identifier for row in rows}
    usable = {who: number for who, number in found.items() if number}
    assert usable == {
        "C3": "tel:+6581234567", "C4": "tel:+6591234567", "C6": "tel:+6581234568",
        "C7": "tel:+6581234569", "C8": "tel:+6581234570", "C9": "tel:+6581234571",
        "C10": "tel:+6581234572", "C13": "tel:+6581234575", "C17": "tel:+6581234567",
        "C18": "tel:+6581234567",
    }  # fmt: skip


def test_the_client_books_link_a_customer_across_outlets(shared_data: Path) -> None:
    kinds: Counter[str | None] = Counter()
    spellings: defaultdict[str, set[str]] = defaultdict(set)
    customers: defaultdict[str, set[str]] = defaultdict(set)
    with gzip.open(shared_data / "or_registrations.csv.gz", "rt", newline="") as book:
        for row in csv.DictReader(book):
            found = identifier(row["phone_as_typed"], row["email_as_typed"], "US")
            kinds[found and found.partition(":")[0]] += 1
            if found is not None:
                spellings[found].add(row["phone_as_typed"])
                customers[row["customer_id_truth"]].add(found)
    # Typed without a phone 4 % of the time; every phone that was typed is usable.
    assert kinds == {"tel": 5959, "mailto": 221, None: 34}
    assert max(map(len, spellings.values())) >= 4
    # What is left is one digit wrong (2 %), or a phone here and only an e-mail there.
    several = sum(len(found) > 1 for found in customers.values())
    assert several / len(customers) < 0.05
