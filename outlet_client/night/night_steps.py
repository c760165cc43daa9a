"""The steps of a night, and the data they hand on.

Invariant: ledger and client book are read once a night. Who counts is asked of the consents when
features are computed, not before; so a withdrawal at the desk counts up to then.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from outlet_client.allocation.wish_taking import erase_withdrawn
from outlet_client.bands.book_store import fetch_book, not_shown, read_book
from outlet_client.contribution.answer_store import AnswerStore
from outlet_client.contribution.contributions import Outlet
from outlet_client.contribution.tonights_data import RollCall, prepare_outlet
from outlet_client.errors import (
    OWN_ERRORS,
    BookBehind,
    BookMissing,
    OutletError,
    ServiceRefused,
    ServiceUnreachable,
)
from outlet_client.ledger.event_reader import Read, TooManyBad, read_events
from outlet_client.log_tables.rights_store import rights_of
from outlet_client.logs import NightProgress
from outlet_client.night.night_journal import error_text
from outlet_client.night.retention import purge
from outlet_client.people.client_book import client_book, identifiers_of
from outlet_client.people.directory_files import fetch_directory
from outlet_client.people.registration import COUNTS, introduce
from outlet_client.records.actor import system_user
from outlet_client.records.countersigning import LogStanding, countersign
from outlet_client.records.log_audit import audit_log
from outlet_client.report.report_page import NightFacts, write_report
from outlet_client.services import HQ, OFFICE, Services
from outlet_client.settings import OutletFile
from privacy.errors import PrivacyError
from privacy.identity import PartyKind
from privacy.keyring import Keyring
from privacy.publications import Countersigned
from privacy.registration_losses import open_loss
from privacy.tokens import TokenRefused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import polars as pl

    from outlet_client.ledger.intake import Intake
    from outlet_client.night.step_failures import StepFailure
    from outlet_client.people.client_book import ClientBook
    from outlet_client.people.people_store import People
    from outlet_client.people.registration import Introduced
    from privacy.budget import LedgerEntry
    from privacy.directory import Directory
    from privacy.log_heads import SignedHead

_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class Nightly:
    """One outlet's night: its steps, and what they hand on.

    Attributes:
        refusals: What the outlet's operator must hear of, once the night is over.
        failures: In which steps they came up, each by its kind.
        intake: What became of its rows, also where too many of them are bad.
        tonight: What roll call said.
        outlet: Ready to answer, once roll call was.
        book_as_of: The last day in the data of the band book that is stored; None without one.
    """

    home: Path
    people: People
    services: Services
    refusals: list[Exception]
    shown: NightProgress = field(default_factory=NightProgress)
    at: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))
    settings: OutletFile = field(init=False)
    read: Read | None = None
    intake: Intake | None = None
    book: ClientBook | None = None
    introduced: Introduced | None = None
    tonight: Mapping[str, str] | None = None
    outlet: Outlet | None = None
    log: LogStanding | None = None
    book_as_of: str | None = None
    failures: list[StepFailure] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.settings = OutletFile.read(self.home / "escapement.toml")

    def take_in(self) -> Read:
        """Reads what is new in the ledger.

        Raises:
            LedgerError: If it cannot be read.
            TooManyBad: If too many rows cannot be used.
        """
        try:
            self.read = read = read_events(
                self.home, self.settings, self.at, people=self.people, progress=self.shown.rows
            )
        except TooManyBad as error:
            self.intake = error.intake
            raise
        self.intake = read.intake
        for why, count in read.attached.counts().items():
            if count:
                _LOG.warning("sightings kept apart, %s: %d", why, count)
        if read.attached.shared:
            _LOG.warning(
                "sightings of a piece that two bought and none brought back: %d",
                read.attached.shared,
            )
        _LOG.info(
            "ledger: %d rows, %d read now, %d quarantined, %d ignored, %d walk-ins",
            read.intake.rows, read.intake.read_now, read.intake.quarantined,
            read.intake.ignored, read.intake.walk_ins,
        )  # fmt: skip
        return read

    def introduce(self) -> None:
        """Asks for tokens and hands in registrations; a night goes on without where that fails.

        Withdrawals leave also where the client book cannot be read.
        """
        identifiers = self._identifiers()
        hq = self._ring.peer(PartyKind.HQ)
        try:
            self.services.reach(OFFICE)  # it may be starting
            self._reach_hq()
            total = self._ring.token_key()
            self.introduced = done = introduce(
                self.people, self.services, identifiers, self.settings, hq, total
            )
        except (OutletError, PrivacyError) as error:
            _LOG.warning("new customers wait for tomorrow: %s", error)
            return
        if isinstance(done.failed, TokenRefused):
            _LOG.error("no new customers: %s", done.failed)
            self.refusals.append(done.failed)
        elif done.failed is not None:
            _LOG.warning("new customers wait for tomorrow: %s", done.failed)
        if done.quota is not None:
            _LOG.warning("no new tokens tonight: %s", done.quota)
        if not done.asked and (without := len(self.people.without_token())):
            _LOG.warning(
                "tokens were asked for already today, in UTC; people who wait for tomorrow's: %d",
                without,
            )
        _LOG.info(
            "introduced: %d new tokens, %d registrations, %d withdrawals, %d wait",
            done.evaluated, done.registered, done.withdrawn, done.waiting,
        )  # fmt: skip

    def _reach_hq(self) -> None:
        """Waits for HQ, which tokens need; what is handed in goes to the office and needs none.

        Else HQ could choose who is in a batch.
        """
        try:
            self.services.reach(HQ)
        except ServiceUnreachable as error:
            _LOG.warning("no tokens tonight: %s", error)

    def prepare(self, tonight: Mapping[str, str]) -> Outlet:
        """Gets the outlet ready to answer: fetches tonight's directory, computes features.

        Ledger and client book are read here where no step has read them yet.

        Args:
            tonight: What roll call says: `cut_off`, `as_of`, `outcomes` and `directory`.

        Raises:
            FeatureError: If the ledger cannot be read, or no outlet can judge an outcome.
            OutletError: If a setting is missing, or HQ gives no directory.
            PrivacyError: If the directory is malformed, not the one that is named, or not
                countersigned; if it does not go on from the last one, or a key is missing.
        """
        identity = self._ring.identity()
        office = self._ring.peer(PartyKind.OFFICE).verify_key
        found = fetch_directory(self.home, self.services, tonight["directory"], office)
        directory = found.directory
        self.people.follow(directory, found.number)
        self.book = book = self.book or client_book(self.settings, self.people)
        listed = self._listed(book, directory)
        read = self.read or self.take_in()
        asked = RollCall.of(tonight)
        keys = self.people.home_keys(directory)
        home, views = prepare_outlet(asked, self.settings, read.attached.events, listed, keys)
        met = len(views[str(asked.as_of)].slots)
        _LOG.info("ready as of %s: %d people of the directory met here", asked.as_of, met)
        self.tonight = dict(tonight)
        self.outlet = Outlet(
            identity.card.name,
            self.settings.floors,
            identity.signing,
            office,
            self._answers(),
            time.time,
            str(asked.cut_off),
            home,
            views,
            directory.keys,
            directory.digest,
            self.settings.horizon_days,
            self.people.dither,
            self._ledger_after,
        )
        return self.outlet

    def fetch_book(self) -> str | None:
        """Fetches the latest band book; the last good one stays where there is none to use.

        Returns:
            The last day in the data of the book that is stored now; None where there is none.
        """
        publishers = self._ring.publishers()
        try:
            new = fetch_book(
                self.home, self.services, publishers, dt.datetime.now(dt.UTC),
                self.settings.book_days,
            )  # fmt: skip
        except BookBehind as error:  # what HQ withholds, the privacy office tells; see `not_shown`
            _LOG.info("no new band book: %s", error)
        except (OutletError, PrivacyError) as error:
            _LOG.warning("no new band book: %s", error)
        else:
            _LOG.info("band book: %s", "a new one" if new else "none newer")
        try:
            book = read_book(self.home, publishers)
        except (BookMissing, PrivacyError) as error:
            _LOG.warning("no band book that can be used: %s", error)
            return None
        self.book_as_of = None if book is None else book.as_of
        return self.book_as_of

    def countersign(self) -> None:
        """Holds the log against its chain, and has its head countersigned by the privacy office.

        A night goes on without where the office makes no statement.

        Raises:
            LogContradicted: If the log is not the one that was written; the office is not asked.
            HeadRefused: If the office's answer is no statement of its own about this outlet.
        """
        with rights_of(self.home):  # a log that nothing was added to has a head too
            pass
        name, office = self._ring.identity().card.name, self._ring.peer(PartyKind.OFFICE).verify_key
        found = audit_log(self.home, office, name, self.at)
        self.log = LogStanding.of(found)
        for one in found.findings:
            _LOG.error("log: %s", one.text)
        ask = self._ask_notary
        try:
            self.log = done = countersign(self.home, found, ask, office, self.at)
        except (ServiceUnreachable, ServiceRefused) as error:
            _LOG.warning("the log is not countersigned tonight: %s", error)
            return
        for one in done.findings:
            if one not in found.findings:  # what the office told of this log
                _LOG.error("log: %s", one.text)
        _LOG.info("log: countersigned, %d findings", len(done.findings))

    def _ask_notary(self, digest: bytes, held: SignedHead | None) -> SignedHead:
        """Asks for a statement about the log, and hears what HQ published."""
        answer = self.services.countersign(digest, held)
        publishers = self._ring.publishers()
        if answer.loss:
            signed, _ = Countersigned.cut_off(answer.loss)
            self.people.hear_of_loss(open_loss(signed, publishers.office))
        for said in not_shown(self.home, publishers, answer.directory, answer.book):
            _LOG.warning("%s", said)
        return answer.statement

    def report(self, since: dt.datetime, sent: Introduced) -> None:
        """Writes the report.

        What left from `since` on is in it, with what was done for the people since then.
        """
        tonight = self.tonight or {}
        read, book, introduced = self.read, self.book, self.introduced
        if introduced is not None:
            counts = {name: getattr(sent, name) for name in COUNTS}
            introduced = replace(introduced, **counts)
        elif any(getattr(sent, name) for name in COUNTS):  # by a start that was killed
            introduced = replace(sent, waiting=self.people.waiting())
        write_report(
            NightFacts(
                at=dt.datetime.now(dt.UTC),
                outlet=self._ring.identity().card.name,
                home=self.home,
                cut_off=tonight.get("cut_off"),
                as_of=tonight.get("as_of"),
                customers=None if self.outlet is None else self.outlet.home,
                intake=self.intake,
                attached=None if read is None else read.attached,
                unknown_references=0 if read is None else read.unknown,
                book_left_out=0 if book is None else book.left_out,
                ambiguous=0 if book is None else book.ambiguous,
                people=self.people.counts(),
                introduced=introduced,
                since=since.timestamp(),
                error=error_text(self.refusals[0]) if self.refusals else None,
                log=self.log,
                later_errors=tuple(map(error_text, self.refusals[1:])),
                book_as_of=self.book_as_of,
            )
        )

    def retain(self) -> None:
        """Removes what is older than it may be kept."""
        purge(self.home, self.settings, self.at, joined=self.tonight is not None)
        erase_withdrawn(self.home, self.people, system_user(), self.at)

    def close(self) -> None:
        """Closes the services, the people, and what the outlet answered from."""
        self.close_answers()
        self.services.close()
        self.people.close()

    def close_answers(self) -> None:
        """Closes what the outlet answered from; who answers again opens it."""
        if self.outlet is not None:
            self.outlet.answers.close()

    def _identifiers(self) -> Mapping[str, str]:
        """Reads the client book; identifiers of whom the network does not know yet, by key."""
        try:
            self.book = client_book(self.settings, self.people)
            return identifiers_of(self.settings, self.people, self.people.without_token())
        except OWN_ERRORS as error:
            _LOG.error("%s", error_text(error))
            self.refusals.append(error)
            return {}

    def _listed(self, book: ClientBook, directory: Directory) -> pl.DataFrame:
        """Customers with a standing consent and a slot: customer, slot, home and key."""
        return book.customers.join(self.people.listed(directory), on="key", how="inner").sort(
            "slot", "customer"
        )

    def _answers(self) -> AnswerStore:
        """The one store of answers, opened by the first who asks."""
        if self.outlet is not None:
            return self.outlet.answers
        return AnswerStore(f"sqlite:///{self.home / 'outlet.db'}")

    def _ledger_after(self, known: int) -> list[LedgerEntry]:
        """The entries of the office's ledger after the first so many."""
        return self.services.ledger(known)

    @property
    def _ring(self) -> Keyring:
        return Keyring(self.home, PartyKind.OUTLET)
