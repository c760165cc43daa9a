"""Passkeys (WebAuthn) of the desk's staff.

Invariant: a challenge is used once and for one visit; only public keys are stored; the browser has
to have made sure of its user (PIN, finger, face). [WebAuthn 3]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from outlet_client.moments import text_of_moment
from outlet_client.staff.accounts import SignInRefused, StaffRefused
from outlet_client.staff.staff_store import PASSKEYS

if TYPE_CHECKING:
    import datetime as dt

    from outlet_client.staff.accounts import Account
    from outlet_client.staff.staff_store import StaffStore

_NAME = "Escapement desk"
_MUST = UserVerificationRequirement.REQUIRED
MOST_EACH = 5
"""Passkeys a person may have."""


class Passkeys:
    """The passkeys of one outlet's staff."""

    def __init__(self, store: StaffStore) -> None:
        """Takes where they are kept."""
        self._store = store

    def of(self, name: str) -> list[tuple[str, str, str]]:
        """Credential id in hex, label and since when, of each of a person's."""
        query = sa.select(PASSKEYS).where(PASSKEYS.c.name == name).order_by(PASSKEYS.c.since)
        with self._store.transaction() as connection:
            rows = connection.execute(query).all()
        return [(row.credential.hex(), row.label, row.since) for row in rows]

    def remove(self, name: str, credential: str) -> None:
        """Takes one of a person's own away.

        Raises:
            StaffRefused: If they have none of this id.
        """
        mine = (PASSKEYS.c.name == name) & (PASSKEYS.c.credential == _bytes(credential))
        with self._store.transaction() as connection:
            if not connection.execute(sa.delete(PASSKEYS).where(mine)).rowcount:
                raise StaffRefused("passkey: none of yours; reload the page, which lists them")

    def registration(self, account: Account, host: str) -> tuple[str, bytes]:
        """What the browser is asked for to make one, as JSON, and the challenge in it."""
        there = [bytes.fromhex(one) for one, _, _ in self.of(account.name)]
        options = generate_registration_options(
            rp_id=host,
            rp_name=_NAME,
            user_id=account.handle,
            user_name=account.name,
            exclude_credentials=[PublicKeyCredentialDescriptor(id=one) for one in there],
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED, user_verification=_MUST
            ),
        )
        return options_to_json(options), options.challenge

    def register(
        self,
        account: Account,
        answer: str,
        challenge: bytes,
        origin: str,
        label: str,
        at: dt.datetime,
    ) -> None:
        """Keeps a passkey that the browser made.

        Raises:
            StaffRefused: If what it answered does not verify, or there are too many.
        """
        host = host_of(origin)
        try:
            made = verify_registration_response(
                credential=answer,
                expected_challenge=challenge,
                expected_rp_id=host,
                expected_origin=origin,
                require_user_verification=True,
            )
        except Exception as error:  # whatever a library makes of what anybody may send
            raise StaffRefused("passkey: what the browser answered does not verify") from error
        if len(self.of(account.name)) >= MOST_EACH:
            raise StaffRefused(f"passkey: you have {MOST_EACH} already; take one away first")
        values = {
            "credential": made.credential_id,
            "name": account.name,
            "label": " ".join(label.split())[:40] or "passkey",
            "public_key": made.credential_public_key,
            "uses": made.sign_count,
            "since": text_of_moment(at),
        }
        try:
            with self._store.transaction() as connection:
                connection.execute(PASSKEYS.insert().values(values))
        except sa.exc.IntegrityError as error:
            raise StaffRefused("passkey: it is known here already") from error

    def authentication(self, host: str) -> tuple[str, bytes]:
        """What the browser is asked for to sign in, as JSON, and the challenge in it."""
        options = generate_authentication_options(rp_id=host, user_verification=_MUST)
        return options_to_json(options), options.challenge

    def authenticate(self, credential: str, answer: str, challenge: bytes, origin: str) -> str:
        """Whose passkey answered.

        Raises:
            SignInRefused: If it is nobody's, does not verify, or seems to have been copied.
        """
        key = PASSKEYS.c.credential == _bytes(credential)
        with self._store.transaction() as connection:
            row = connection.execute(sa.select(PASSKEYS).where(key)).one_or_none()
            if row is None:
                raise SignInRefused
            try:
                found = verify_authentication_response(
                    credential=answer,
                    expected_challenge=challenge,
                    expected_rp_id=host_of(origin),
                    expected_origin=origin,
                    credential_public_key=row.public_key,
                    credential_current_sign_count=row.uses,
                    require_user_verification=True,
                )
            except Exception as error:
                raise SignInRefused from error
            connection.execute(sa.update(PASSKEYS).where(key).values(uses=found.new_sign_count))
        return str(row.name)


def host_of(origin: str) -> str:
    """The host of an origin, which passkeys are bound to: "localhost" of http://localhost:8480."""
    return origin.split("://", 1)[1].rsplit(":", 1)[0]


def _bytes(text: str) -> bytes:
    """A credential's id from hex digits; of what is none, an id that nobody has."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
