"""One customer, typed in several ways, is one identifier; strangers are never one."""

from __future__ import annotations

import csv
import gzip
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlet_client.errors import NotConfigured
from outlet_client.people.identifiers import identifier

if TYPE_CHECKING:
    from pathlib import Path


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
    assert identifier(typed, "someone@example.com", "US") == "tel:+17215550131"


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
    assert identifier(typed, "someone@example.com", region) == "mailto:someone@example.com"
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
