"""The person who asks about a customer, and the purpose.

Invariant: nobody is asked about without a name and a purpose.
"""

from __future__ import annotations

import os
import pwd
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from outlet_client.errors import OutletError

MOST_CHARACTERS = 80
"""Of a name."""

MOST_WORDS = 1000
"""Characters, of what somebody writes beside what they do."""


class NotAsked(OutletError):
    """It was not said who asks, or why."""


class LookupPurpose(StrEnum):
    """The purposes for which somebody may ask about a customer."""

    SALE = "sale"
    ALLOCATION = "allocation"
    SERVICE = "service"
    CUSTOMER = "customer"
    """The customer's own request."""


@dataclass(frozen=True, slots=True)
class Actor:
    """A person who asks, and the purpose; kept for a year."""

    by: str
    purpose: LookupPurpose

    @classmethod
    def of(cls, by: str | None, purpose: str) -> Self:
        """Checks what somebody typed, or a program sent.

        Raises:
            NotAsked: If one of them is missing or wrong.
        """
        if purpose not in [one.value for one in LookupPurpose]:
            expected = ", ".join(LookupPurpose)
            raise NotAsked(f"purpose: got none of these, expected one of {expected}")
        return cls(actor_name(by), LookupPurpose(purpose))


def checked_name(text: str) -> str:
    """A person's name in the form that is stored.

    Raises:
        NotAsked: If it is empty, longer than `MOST_CHARACTERS`, or holds control characters.
    """
    name = " ".join(text.split())
    if not name or not name.isprintable() or len(name) > MOST_CHARACTERS:
        raise NotAsked(
            f"by: expected the name of whoever asks, at most {MOST_CHARACTERS} characters"
        )
    return name


def folded_name(name: str) -> str:
    """A name as it is compared: compatibility caseless matching [Unicode, D146], spaces aside.

    SQLite's own `lower` knows the letters of English only.
    """
    once = unicodedata.normalize("NFKD", unicodedata.normalize("NFD", name).casefold())
    return " ".join(unicodedata.normalize("NFKD", once.casefold()).split())


def checked_sentence(text: str, name: str, what: str) -> str:
    """A sentence in the form that is stored beside an act.

    `name` is what it is called where it is asked for, such as "reason"; `what` is expected, such as
    "a sentence".

    Raises:
        NotAsked: If it is empty, longer than `MOST_WORDS`, or holds characters that print nothing.
    """
    said = " ".join(text.split())
    if not said:
        raise NotAsked(f"{name}: empty, expected {what}; it is kept beside what is done")
    if not said.isprintable() or len(said) > MOST_WORDS:
        raise NotAsked(
            f"{name}: expected {what}, at most {MOST_WORDS} characters, none of them invisible"
        )
    return said


def system_user() -> str:
    """The name of the operating system's user, whatever the environment says."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"


def actor_name(by: str | None) -> str:
    """The name of whoever acts: as given, else the operating system's user.

    Raises:
        NotAsked: If the name is none.
    """
    return system_user() if by is None else checked_name(by)
