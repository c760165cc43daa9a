"""Heads of logs: what the privacy office countersigns without learning what it stands for.

An outlet shows the office a digest of its log's length and last hash, once a night; the office
answers with a **statement** that says whose it is, which of that outlet's statements, and when it
was made. A log that was changed since does not give the digest any more, and statements are
numbered, so a missing one shows too.

The digest is over the statement's own number, and an outlet's log begins with random bytes: nothing
that the office sees tells how long a log is, nor whether anything was added to it in a day.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Self

from privacy.envelopes import SigningKey, VerifyKey, frame, is_digest
from privacy.errors import PrivacyError

DIGEST_BYTES = 32
KIND = "log-head"
LATEST = 253_402_300_799
"""The last second of the year 9999, the last that a date can be made of."""

_HEAD_DOMAIN = b"escapement/v1/log-head"
_STATEMENT_DOMAIN = b"escapement/v1/log-statement"
_FIELDS: dict[str, type] = {"kind": str, "outlet": str, "number": int, "at": int, "digest": str}


class HeadRefused(PrivacyError):
    """A statement about a log's head that is forged, malformed, or another outlet's."""


def head_digest(number: int, length: int, head: bytes) -> bytes:
    """What the office is shown of a log.

    Args:
        number: Of the statement that is asked for.
        length: How many entries the log ever had.
        head: The hash of the last of them.

    Returns:
        32 bytes, the same for the same three only.
    """
    made = frame(_HEAD_DOMAIN, b"%d" % number, b"%d" % length, head)
    return hashlib.sha256(made).digest()


@dataclass(frozen=True, slots=True)
class HeadStatement:
    """What the office says of a log's head.

    Attributes:
        outlet: Whose log.
        number: Which of that outlet's statements: 1, 2, 3 and so on.
        at: When it was made, in Unix seconds by the office's clock.
        digest: What the office was shown, `head_digest`, in hex.
    """

    outlet: str
    number: int
    at: int
    digest: str

    def __post_init__(self) -> None:
        if self.number < 1:
            raise HeadRefused(f"statement: got number {self.number}, expected 1 or more")
        if not 0 <= self.at <= LATEST:
            raise HeadRefused("statement: expected a moment within the years 1970 to 9999")
        if not is_digest(self.digest):
            raise HeadRefused(f"statement: expected a digest of {DIGEST_BYTES} bytes in hex")

    def encode(self) -> bytes:
        """The canonical bytes that are signed."""
        return _canonical({"kind": KIND, **asdict(self)})

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads `encode`'s bytes, strictly. Nothing is verified yet: `open_head` does that.

        Raises:
            HeadRefused: If they are no such bytes.
        """
        try:
            raw = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise HeadRefused("statement: not JSON; expected one of the privacy office") from error
        if not isinstance(raw, dict) or set(raw) != set(_FIELDS):
            raise HeadRefused(f"statement: got other fields than {', '.join(_FIELDS)}")
        for name, kind in _FIELDS.items():
            if type(raw[name]) is not kind:
                raise HeadRefused(f"statement: {name} is of another type than {kind.__name__}")
        if raw.pop("kind") != KIND:
            raise HeadRefused(f"statement: of another kind, expected {KIND}")
        made = cls(**raw)
        if made.encode() != data:
            raise HeadRefused("statement: not in canonical form")
        return made


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A statement's bytes and the office's signature over them."""

    payload: bytes
    signature: bytes


def sign_head(statement: HeadStatement, office: SigningKey) -> SignedHead:
    """Signs a statement; the office only."""
    payload = statement.encode()
    return SignedHead(payload, office.sign(_STATEMENT_DOMAIN, payload))


def open_head(signed: SignedHead, office: VerifyKey, outlet: str) -> HeadStatement:
    """Reads a statement that the office made about an outlet's log.

    Args:
        signed: The statement.
        office: The pinned key.
        outlet: Whose log it is to be about.

    Raises:
        HeadRefused: If it is forged, malformed, or another outlet's.
    """
    if not office.verify(signed.signature, _STATEMENT_DOMAIN, signed.payload):
        raise HeadRefused("statement: not signed by the pinned privacy office")
    statement = HeadStatement.decode(signed.payload)
    if statement.outlet != outlet:
        raise HeadRefused(f"statement: about outlet {statement.outlet}, expected {outlet}")
    return statement


def _canonical(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
