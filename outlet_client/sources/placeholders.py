"""Phones and e-mails that stand for nobody: what is typed where a till demands one.

Invariant: what `placeholders.toml` lists and what the patterns here find identifies nobody, at no
outlet; two strangers who share it stay strangers.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_LEAST_REPEATED = 7
"""So many times one digit at a number's end, and it is made up."""

_LEAST_COUNTED = 9
"""So many digits that count behind its first, and it is made up; 8123 4567 may be somebody's."""

_LEAST_DIGITS = 4
_LEAST_ZEROS = 4
_MOST_BLOCK = 6
_UP, _DOWN = "0123456789" * 4, "9876543210" * 4
_SECOND_LEVEL = frozenset({"co", "com", "org", "net", "ac", "edu", "gov", "or", "ne"})

_SHORT = 3
"""Mailboxes of fewer letters are compared with the digits behind them."""

_NAMED_ALIKE = 3
"""A mailbox of at most so many letters that is called like its domain (abc@abc.com) is typed."""


def is_placeholder_mailbox(mailbox: str, domain: str) -> bool:
    """Whether an address, in its normal form, was typed for want of one.

    Args:
        mailbox: Before the "@".
        domain: Behind it, of two names or more.
    """
    lists = _lists()
    bare = _bare(mailbox)
    *names, ending = domain.casefold().split(".")
    own = names[-2] if len(names) > 1 and names[-1] in _SECOND_LEVEL else names[-1]
    return (
        not bare
        or bare in lists.mailboxes
        or _without_number(bare) in lists.numbered_mailboxes
        or (len(set(bare)) == 1 and len(bare) >= _SHORT)
        or (bare == own and len(bare) <= _NAMED_ALIKE)
        or not lists.domains.isdisjoint(names)
        or ending in lists.endings
        or (own in lists.sample_domains and _without_number(bare) in lists.sample_mailboxes)
    )


def is_placeholder_word(text: str) -> bool:
    """Whether a cell says in words, or by a dash, that there is no phone and no e-mail."""
    bare = _bare(text)
    return not bare or bare in _lists().mailboxes


def is_placeholder_number(number: str) -> bool:
    """Whether a phone in E.164 is one that everybody knows."""
    return _lists().phones.fullmatch(number) is not None


def is_made_up(digits: str) -> bool:
    """Whether digits repeat or count, so that more than one person would type them."""
    if len(digits) < _LEAST_DIGITS:
        return False
    if digits[-_LEAST_REPEATED:] == digits[-1] * _LEAST_REPEATED:
        return True
    if _counts(digits) or (len(digits) > _LEAST_COUNTED and _counts(digits[1:])):
        return True
    period = (digits + digits).find(digits, 1)  # of the shortest block that they repeat
    return period < len(digits) and (
        period <= 2 or (period <= _MOST_BLOCK and _counts(digits[:period]))  # noqa: PLR2004  (in turn)
    )


def is_rounded(digits: str) -> bool:
    """Whether the last digits are zeros, as a spreadsheet leaves of a long number."""
    return len(digits) - len(digits.rstrip("0")) >= _LEAST_ZEROS


def _counts(digits: str) -> bool:
    """Whether digits count up, or down, all of them; 0 follows 9."""
    return digits in _UP or digits in _DOWN


def _bare(text: str) -> str:
    """Letters and digits only, without case."""
    return "".join(sign for sign in text.casefold() if sign.isalnum())


def _without_number(bare: str) -> str:
    word = bare.rstrip("0123456789")
    return word if len(word) >= _SHORT else bare


@dataclass(frozen=True, slots=True)
class _Lists:
    """`placeholders.toml`; mailboxes in bare letters."""

    mailboxes: frozenset[str]
    numbered_mailboxes: frozenset[str]
    domains: frozenset[str]
    endings: frozenset[str]
    sample_mailboxes: frozenset[str]
    sample_domains: frozenset[str]
    phones: re.Pattern[str]


@cache
def _lists() -> _Lists:
    file = Path(__file__).with_name("placeholders.toml")
    told = tomllib.loads(file.read_text(encoding="utf-8"))
    numbers = _split(told["phones"], "numbers")
    return _Lists(
        _mailboxes(told["mailboxes"]),
        _mailboxes(part for part in told["mailboxes"] if part["numbered"]),
        _split(told["domains"], "names"),
        _split(told["domains"], "endings"),
        frozenset(map(_bare, told["samples"]["mailboxes"].split())),
        _split([told["samples"]], "names"),
        re.compile("|".join(re.escape(one).replace(r"\?", r"\d") for one in numbers)),
    )


def _split(parts: Iterable[Mapping[str, str]], key: str) -> frozenset[str]:
    return frozenset(word for part in parts for word in part[key].split())


def _mailboxes(parts: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """The words of all languages; each of these has a key of two letters."""
    words = (
        word
        for part in parts
        for key, some in part.items()
        if len(key) == len("en")
        for word in some.split()
    )
    return frozenset(map(_bare, words))
