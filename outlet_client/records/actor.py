"""Who asks about a customer, and why.

Invariant: nobody is asked about without a name and a purpose.
"""

from __future__ import annotations

import os
import pwd
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


class Purpose(StrEnum):
    """Why somebody asks about a customer."""

    SALE = "sale"
    ALLOCATION = "allocation"
    SERVICE = "service"
    CUSTOMER = "customer"
    """The customer's own request."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks, and why; it is kept for a year.

    Attributes:
        by: Who, such as "mei".
        purpose: Why.
    """

    by: str
    purpose: Purpose

    @classmethod
    def of(cls, by: str | None, purpose: str) -> Self:
        """Checks what somebody typed, or a program sent.

        Args:
            by: Who; None for the operating system's user.
            purpose: One of `Purpose`.

        Raises:
            NotAsked: If one of them is missing or wrong.
        """
        if purpose not in [one.value for one in Purpose]:
            expected = ", ".join(Purpose)
            raise NotAsked(f"purpose: got none of these, expected one of {expected}")
        return cls(named_or_user(by), Purpose(purpose))


def name_of(text: str) -> str:
    """A person's name as it is kept.

    Raises:
        NotAsked: If it is empty, longer than `MOST_CHARACTERS`, or holds control characters.
    """
    name = " ".join(text.split())
    if not name or not name.isprintable() or len(name) > MOST_CHARACTERS:
        raise NotAsked(
            f"by: expected the name of whoever asks, at most {MOST_CHARACTERS} characters"
        )
    return name


def words_of(text: str, name: str, what: str) -> str:
    """A sentence as it is kept beside what somebody did.

    Args:
        text: As typed.
        name: What it is called where it is asked for, such as "reason".
        what: What is expected, such as "a sentence".

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


def user() -> str:
    """The name of the operating system's user, whatever the environment says."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"


def named_or_user(by: str | None) -> str:
    """Who does this: the name given, else the operating system's user.

    Raises:
        NotAsked: If the name is none.
    """
    return user() if by is None else name_of(by)
