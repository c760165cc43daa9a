"""What was typed into a form whose session had ended, carried through the sign-in.

Invariant: it is in the sign-in page of the browser that sent it, encrypted under a key of this
outlet, and in no store; it opens for minutes only, for the account whose form it was, and shows the
form again: it never acts. A password is never in it.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from privacy.at_rest import AtRest, SecretUnreadable

if TYPE_CHECKING:
    from collections.abc import Mapping

_DOMAIN = b"escapement/v1/desk-draft"
_PLACE = b"sign-in"
_LIFE = dt.timedelta(minutes=30)


@dataclass(frozen=True, slots=True, repr=False)
class Draft:
    """A form that was sent and did nothing.

    Attributes:
        path: Where it was sent to.
        fields: With the desk's own, which say whose it was.
    """

    path: str
    fields: Mapping[str, str]


class DraftBox:
    """Seals drafts for a page, and opens them."""

    def __init__(self, secret: bytes) -> None:
        """Derives the key from a secret of the folder."""
        self._at_rest = AtRest(_DOMAIN, secret)

    def sealed(self, draft: Draft, at: dt.datetime) -> str:
        """A draft as text for a form's field."""
        said = json.dumps([at.timestamp(), draft.path, dict(draft.fields)])
        return base64.urlsafe_b64encode(self._at_rest.sealed(said.encode(), _PLACE)).decode()

    def opened(self, text: str, at: dt.datetime) -> Draft | None:
        """The draft; None where it is none of this desk's, or old."""
        try:
            raw = base64.urlsafe_b64decode(text.encode())
            made, path, fields = json.loads(self._at_rest.opened(raw, _PLACE))
        except (binascii.Error, UnicodeEncodeError, SecretUnreadable):
            return None
        age = at - dt.datetime.fromtimestamp(made, dt.UTC)
        return Draft(path, fields) if dt.timedelta() <= age <= _LIFE else None
