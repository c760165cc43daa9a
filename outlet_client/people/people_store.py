"""The store of the people this outlet may speak of, under keys that only this outlet can make.

Invariant: no phone and no e-mail is stored, a token only encrypted, and nothing of a person without
a standing consent leaves or counts.

Where a person stands, and what comes next: the table of `person_states`.

The key of a person is HMAC-SHA256 of the identifier under a secret made from this outlet's signing
key. A copy of `outlet.db` alone therefore lists no phone, not even to who tries every number; who
has the whole folder has the signing key too and can test numbers one by one.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl
import sqlalchemy as sa
from typing_extensions import override

from outlet_client.database import Store
from outlet_client.errors import OldNetwork
from outlet_client.people import withdrawals
from outlet_client.people.consents import Consent, Recorded, consent_history
from outlet_client.people.directory_following import follow
from outlet_client.people.directory_losses import HeldLosses, held
from outlet_client.people.linked_keys import customers_of, customers_of_keys, keys_of, reach
from outlet_client.people.person_states import (
    Placed,
    State,
    followed_batch,
    keys_in,
    place_people,
)
from outlet_client.people.registrations_again import (
    HeldResync,
    accept_resync,
    hear_of_loss,
    held_resync,
)
from outlet_client.people.relay_submissions import (
    Sealer,
    forget_refused,
    mark_delivered,
    prepare_submission,
)
from outlet_client.people.tables import (
    ASKED,
    CONTESTED,
    FOLLOWED,
    METADATA,
    PEOPLE,
    SUBMISSIONS,
    rows_of,
)
from outlet_client.people.token_box import TokenBox
from outlet_client.people.withdrawals import Withdrawal, record_all
from outlet_client.services import RelayBatch
from privacy.dither import Dither
from privacy.envelopes import frame
from privacy.registrations import nonce_of
from privacy.slot_keys import SlotKey

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from privacy.directory import Directory
    from privacy.identity import Identity
    from privacy.registration_losses import RegistrationLoss
    from privacy.tokens import Token

__all__ = ["HomeKey", "People", "Person", "State", "Submitted", "Withdrawal"]

_KEY_DOMAIN = b"escapement/v1/people"

_PERSON = (PEOPLE.c.key, PEOPLE.c.state, PEOPLE.c.token, PEOPLE.c.slot)


@dataclass(frozen=True, slots=True)
class Person:
    """One person.

    Attributes:
        state: Where the person stands.
        slot_key: What reads the person's entry of a book; None until the token is known.
        key: The key that the person stands under, of perhaps several.
        slot: The one that a directory gave; None before.
    """

    state: State
    slot_key: SlotKey | None = field(repr=False)
    key: str = field(repr=False)
    slot: int | None = field(repr=False)


class HomeKey(NamedTuple):
    """What reads a home customer's entry of a fine book.

    Attributes:
        slot_key: The customer's.
        nonce: Of this outlet's registration, 32 bytes.
    """

    slot_key: SlotKey
    nonce: bytes


@dataclass(frozen=True, slots=True)
class Submitted:
    """What one submission held."""

    registered: int
    withdrawn: int


class People(Store):
    """The people and their consents behind one SQLAlchemy URL."""

    def __init__(
        self,
        url: str,
        secret: bytes,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        """Opens the store, making its tables where they are missing.

        The secret turns identifiers into keys and encrypts tokens; see `open`.

        Raises:
            OldNetwork: If the store is of a network in which HQ held tokens.
        """
        self._secret = secret
        self._clock = clock
        self._box = TokenBox(secret)
        super().__init__(url, METADATA, withdrawals.adopt_old_store)
        self._kept, self._turn = self._reader.connect(), threading.Lock()
        if "fingerprint" in self.columns(PEOPLE.name):
            self.close()
            raise OldNetwork

    @classmethod
    def open(cls, home: Path, identity: Identity) -> People:
        """Opens the store in an outlet's folder, with the secret made from its signing key."""
        secret = hashlib.sha256(frame(_KEY_DOMAIN, identity.store_secret)).digest()
        return cls(f"sqlite:///{home / 'outlet.db'}", secret)

    @property
    def dither(self) -> Dither:
        """What this outlet's parts are rounded by; the same for as long as the folder's keys."""
        return Dither.of(self._secret)

    def local_key(self, identifier: str) -> str:
        """The key of the person with this identifier: 64 hex digits, of this outlet only."""
        # Not `hmac.digest`: it gives the interpreter's lock away for a microsecond, which a loop
        # over a client book takes back at once, and no look-up gets its turn meanwhile.
        return hmac.new(self._secret, identifier.encode(), "sha256").hexdigest()

    def record_consent(
        self, key: str, notice: str, by: str, at: dt.datetime, also: Iterable[str] = ()
    ) -> Recorded:
        """Adds a consent; one on a buried or withdrawn person lets it be registered afresh.

        A consent that is not younger than the person's last withdrawal, under whichever of their
        keys, does not undo it. Where another key of the person stands, and comes before this one,
        it is added there.
        """
        return self.record_consents([Consent(key, notice, at, by, tuple(also))])[0]

    def record_consents(self, consents: Iterable[Consent]) -> list[Recorded]:
        """Adds consents, all or none; see `record_consent`."""
        with self.transaction() as connection:
            return record_all(connection, list(consents))

    def judge_consents(self, consents: Iterable[Consent]) -> list[Recorded]:
        """What `record_consents` would make of consents; nothing is changed."""
        with self.transaction() as connection, connection.begin_nested() as trial:
            outcomes = record_all(connection, list(consents))
            trial.rollback()
        return outcomes

    def consents(self) -> pl.DataFrame:
        """The history: key, notice, recorded_at, recorded_by, withdrawn_at; all String."""
        with self.reading() as connection:
            return consent_history(connection)

    def consent_counts(self) -> list[dict[str, Any]]:
        """For each notice how many consents stand and how many ended: notice, standing, ended."""
        ended = pl.col("withdrawn_at").is_not_null()
        by_notice = (
            self.consents().group_by("notice").agg(standing=(~ended).sum(), ended=ended.sum())
        )
        return by_notice.sort("notice").to_dicts()

    def withdraw(self, *keys: str) -> State | None:
        """Ends a person's consents, under all their keys; see `withdraw_all`.

        Returns:
            Where the person stands now; None if nobody has any of these keys.
        """
        return self.withdraw_all(keys).state

    def withdraw_all(self, keys: Collection[str]) -> Withdrawal:
        """Ends the consents of whoever has one of these keys; nothing of them counts from now on.

        Where several customers share a key and nobody decided whose it is, it ends for all.
        """
        with self.transaction() as connection:
            return withdrawals.withdraw(connection, keys, self._clock())

    def bring_back_withdrawals(self, moments: Mapping[str, dt.datetime]) -> None:
        """Notes withdrawals by key that a lost store knew: no consent that is older counts."""
        with self.transaction() as connection:
            withdrawals.bring_back(connection, moments)

    def keys_of(self, key: str) -> tuple[str, ...]:
        """All keys of the person with a key, phones first; itself alone if nobody uses it."""
        with self._reading_rows() as connection:
            return keys_of(connection, [key])[key]

    def reached(self, key: str) -> frozenset[str]:
        """All keys of everybody who has a key, contested ones too: to hide, never to tell."""
        with self._reading_rows() as connection:
            return reach(connection, [key]).keys

    def customers_of(self, key: str) -> tuple[str, ...]:
        """The client-book entries of the person with a key, as customer ids; none if nobody's."""
        with self._reading_rows() as connection:
            return customers_of(connection, key)

    def customers_of_keys(self, keys: Collection[str]) -> dict[str, tuple[str, ...]]:
        """The same of each of many keys that somebody in the client book has."""
        with self._reading_rows() as connection:
            return customers_of_keys(connection, keys)

    def linked_closely(self, keys: Collection[str]) -> frozenset[str]:
        """All keys that `reached` may lead from to one of some keys; more than these at times."""
        found, open_keys = set(keys), list(keys)
        while open_keys:
            more = self.reached(open_keys.pop()) - found
            found |= more
            open_keys += more
        return frozenset(found)

    def persons(self, keys: Collection[str]) -> dict[str, Person | None]:
        """Looks several people up at once, each as `person` does."""
        with self._reading_rows() as connection:
            rows = {row[0]: row for row in rows_of(connection, keys, *_PERSON)}
        return {
            key: self._person(rows[key])
            if key in rows and State(rows[key][1]).stands
            else self.person(key)
            for key in keys
        }

    def person(self, key: str) -> Person | None:
        """Looks one person up: as this key, or as another of theirs that stands.

        Returns:
            None if nobody ever consented under this key, and no other of the person's stands.
        """
        with self._reading_rows() as connection:
            row = next(rows_of(connection, [key], *_PERSON), None)
            if row is None or not State(row[1]).stands:
                keys = keys_of(connection, [key])[key]
                rows = sorted(
                    rows_of(connection, keys, *_PERSON), key=lambda one: keys.index(one[0])
                )
                standing = [one for one in rows if State(one[1]).stands]
                row = min(standing, key=lambda one: one[1] != State.LISTED, default=row)
        return None if row is None else self._person(row)

    def _person(self, row: tuple[Any, ...]) -> Person:
        key, state, token, slot = row
        slot_key = None if token is None else self._box.slot_key(key, token)
        return Person(State(state), slot_key, key, slot)

    def without_token(self) -> list[str]:
        """Keys of the people whose token is to be asked for, the first known first.

        Not those that several customers share; see `record_linkage`.
        """
        own = PEOPLE.c.key.not_in(sa.select(CONTESTED.c.key))
        with self.reading() as connection:
            return list(connection.scalars(keys_in(State.KNOWN).where(own)))

    def keep_tokens(self, tokens: Mapping[str, Token]) -> int:
        """Stores the tokens of known people; those in another state by now are left alone."""
        rows = [
            {
                "b_key": key,
                "b_token": self._box.sealed(key, token),
                "b_slot_key": SlotKey.of(token.raw).public,
            }
            for key, token in tokens.items()
        ]
        update = (
            sa.update(PEOPLE)
            .where(PEOPLE.c.key == sa.bindparam("b_key"), PEOPLE.c.state == State.KNOWN)
            .values(
                token=sa.bindparam("b_token"),
                slot_key=sa.bindparam("b_slot_key"),
                state=State.EVALUATED.value,
            )
        )
        with self.transaction() as connection:
            return connection.execute(update, rows).rowcount if rows else 0

    def asked_today(self, *, by_day: bool = False) -> bool:
        """Whether this UTC day's evaluations were asked for already: a night's, or those by day."""
        query = sa.select(ASKED).where(ASKED.c.day == self._asking(by_day=by_day))
        with self.reading() as connection:
            return connection.execute(query).one_or_none() is not None

    def mark_asked(self, *, by_day: bool = False) -> None:
        """Remembers that this UTC day's evaluations were asked for: a night's, or those by day."""
        with self.transaction() as connection:
            insert = ASKED.insert().prefix_with("OR IGNORE")
            connection.execute(insert.values(day=self._asking(by_day=by_day)))

    def counts(self) -> dict[State, int]:
        """How many people stand where."""
        query = sa.select(PEOPLE.c.state, sa.func.count()).group_by(PEOPLE.c.state)
        with self.reading() as connection:
            found = {State(state): int(count) for state, count in connection.execute(query).all()}
        return {state: found.get(state, 0) for state in State}

    def waiting(self) -> int:
        """How many wait for a token, for their registration to leave, or their withdrawal."""
        unsent = sa.and_(PEOPLE.c.state == State.WITHDRAWING, PEOPLE.c.withdrawal_batch.is_(None))
        inside = PEOPLE.c.state.in_((State.KNOWN, State.EVALUATED))
        query = sa.select(sa.func.count()).where(sa.or_(inside, unsent))
        with self.reading() as connection:
            return connection.scalar(query) or 0

    def in_no_directory(self) -> int:
        """How many registrations were handed in and are in no directory that came since."""
        vain = PEOPLE.c.state.in_((State.EVALUATED, State.SENT)) & (PEOPLE.c.tries > 0)
        with self.reading() as connection:
            return connection.scalar(sa.select(sa.func.count()).where(vain)) or 0

    def submission(
        self,
        batch: int,
        messages: int,
        sealing_key: bytes,
        network: bytes,
        epoch: bytes = b"",
        last: int = 0,
    ) -> list[bytes] | None:
        """What to hand in for a batch; stored before it is returned, the same at every call.

        Withdrawals go first, then registrations, what HQ lost of these, then dummies.

        Args:
            batch: The open one.
            messages: How many the relay expects.
            sealing_key: HQ's, 32 bytes.
            network: The network's token key, 32 bytes.
            epoch: The relay's; another one after it lost its store.
            last: The last batch of this epoch that this outlet handed in for, as the relay has it.

        Returns:
            `messages` sealed messages; None if this batch has ours already.
        """
        sealer = Sealer(network, sealing_key, self._box)
        with self.transaction() as connection:
            opened = RelayBatch(batch, messages, epoch, last)
            return prepare_submission(connection, opened, sealer)

    def hear_of_loss(self, loss: RegistrationLoss) -> None:
        """Hands in again what HQ lost, as the privacy office tells; or holds it for a person."""
        with self.transaction() as connection:
            hear_of_loss(connection, loss, self._clock().astimezone(dt.UTC).date())

    def held_resync(self) -> HeldResync | None:
        """What HQ lost once too often to be handed in again without a person; None if nothing."""
        with self.reading() as connection:
            return held_resync(connection)

    def accept_resync(self, by: str) -> int:
        """Hands in again what waited for a person; returns how many registrations that is."""
        with self.transaction() as connection:
            return accept_resync(connection, by)

    def followed_batch(self) -> int:
        """The batch of the last directory that was followed; 0 before any."""
        with self.reading() as connection:
            return followed_batch(connection)

    def followed_number(self) -> int:
        """The office's number of the last directory that was followed; 0 before any."""
        with self.reading() as connection:
            return connection.scalar(sa.select(FOLLOWED.c.number)) or 0

    def has_submission(self, batch: int, epoch: bytes = b"") -> bool:
        """Whether a submission for a batch was made before, and perhaps seen by the relay."""
        ours = SUBMISSIONS.c.epoch.in_((b"", epoch))
        query = sa.select(SUBMISSIONS.c.batch).where(SUBMISSIONS.c.batch == batch, ours)
        with self.reading() as connection:
            return connection.scalar(query) is not None

    def submitted(self, batch: int) -> Submitted:
        """Notes that the relay took the submission for a batch."""
        with self.transaction() as connection:
            return Submitted(*mark_delivered(connection, batch))

    def refused(self, batch: int) -> None:
        """Notes that the relay, shown a submission for the first time, did not take it."""
        with self.transaction() as connection:
            forget_refused(connection, batch)

    def follow(self, directory: Directory, number: int = 0, *, accepted: bool = False) -> None:
        """Moves people to the states that a directory shows.

        Who was withdrawn elsewhere is withdrawn here under all their keys. Where that is many, it
        waits until a person has accepted it; see `directory_losses`.

        Args:
            directory: One that the privacy office countersigned.
            number: The office's number for it.
            accepted: Whether a person looked at what this very directory takes away.

        Raises:
            DirectoryRefused: If a later one was followed before, or what is accepted is not what
                was looked at.
        """
        with self.transaction() as connection:
            follow(connection, directory, number, self._clock(), accepted=accepted)

    def held_losses(self) -> HeldLosses | None:
        """How many people a directory takes away who wait for a person; None where none do."""
        with self.reading() as connection:
            return held(connection)

    def listed(self, directory: Directory) -> pl.DataFrame:
        """The people with a standing consent and a slot: key, slot (Int64), home (Boolean)."""
        rows = self._placed(directory)
        return pl.DataFrame(
            {"key": rows.keys, "slot": rows.slots, "home": rows.home},
            schema={"key": pl.String, "slot": pl.Int64, "home": pl.Boolean},
        )

    def home_keys(self, directory: Directory) -> dict[int, HomeKey]:
        """What reads the fine book, by home slot."""
        rows = self._placed(directory)
        return {
            int(rows.slots[i]): HomeKey(
                self._box.slot_key(rows.keys[i], rows.tokens[i]), nonce_of(rows.secrets[i])
            )
            for i in np.flatnonzero(rows.home)
        }

    @override
    def close(self) -> None:
        """Closes all connections."""
        self._kept.close()
        super().close()

    @contextmanager
    def _reading_rows(self) -> Iterator[sa.Connection]:
        """What was committed last, for `rows_of` alone, on a connection that stays.

        A look-up would wait for it to be fetched and given back. It is in no transaction, so each
        statement sees what other processes committed before it.
        """
        with self._turn:
            yield self._kept

    def _placed(self, directory: Directory) -> Placed:
        query = sa.select(PEOPLE).where(PEOPLE.c.state == State.LISTED).order_by(PEOPLE.c.key)
        with self.reading() as connection:
            rows = connection.execute(query).all()
        return place_people(rows, directory)

    def _asking(self, *, by_day: bool) -> str:
        return f"{self._today()} by day" if by_day else self._today()

    def _today(self) -> str:
        return self._clock().astimezone(dt.UTC).date().isoformat()
