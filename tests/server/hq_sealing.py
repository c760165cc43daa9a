"""HQ's side of seals between a real office and outlets that are told what to answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from privacy.plans import Signed
from privacy.registrations import nonce_of
from privacy.seal_plans import EVIDENCE_CAP, PART_BOUND, SealKind, SealPlan
from privacy.two_key_sum import MaskedShare, Parts, mask_share
from server.hq.combine import Combiner
from server.hq.flower_link import Replies
from server.hq.known_slots import KnownSlots
from server.hq.sealing import SealAsk, Sealing
from server.hq.store import HqStore
from server.hq.tables import HQ
from tests.builders import store_at
from tests.privacy.slots import slot_key
from tests.server.seal_benches import CUTS, DAY, SealBench

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import pytest

    from privacy.books import Entry, SealedEntries
    from server.hq.seal_store import StoredSeal

OFFICE_CALLS = ("sign_seal", "store_set", "seal_chunk", "close_seal")
MIDDLES = ((4,), (-8,))
WEEK = 7 * DAY


class Killed(BaseException):
    """Stands for a power cut."""


@dataclass
class WatchedOffice:
    """A real office; what it was asked, and whether HQ dies at one of its answers.

    Attributes:
        at: With the office.
        asked: Each call's name and arguments.
        dies: At which call, before or after it.
    """

    at: SealBench
    asked: list[tuple[str, tuple[object, ...]]] = field(default_factory=list)
    dies: tuple[str, int, str] | None = None

    def __getattr__(self, name: str) -> Callable[..., Any]:
        original = getattr(self.at.office, name)

        def call(*args: Any) -> Any:
            self.asked.append((name, args))
            seen = sum(one == name for one, _ in self.asked)
            if self.dies == (name, seen, "before"):
                raise Killed
            answer = original(*args)
            answer = list(answer) if name == "seal_chunk" else answer
            if self.dies == (name, seen, "after"):
                raise Killed
            return answer

        return call

    def calls(self, name: str) -> list[tuple[object, ...]]:
        return [args for one, args in self.asked if one == name]


@dataclass
class HqBench:
    """HQ, a real office, and outlets whose parts tests set.

    Attributes:
        at: The office, its directory and the outlets' keys.
        url: Of HQ's store.
        there: The outlets that answer.
        registrations: How many of each slot HQ knows; None for few enough.
    """

    at: SealBench = field(default_factory=SealBench)
    url: str = "sqlite://"
    there: Iterable[str] = "abcde"
    registrations: np.ndarray | None = None

    def __post_init__(self) -> None:
        self.office = WatchedOffice(self.at)
        self.store = HqStore(store_at(self.url, HQ))
        self.parts: dict[str, np.ndarray] = {}
        self.given: dict[tuple[str, str], MaskedShare] = {}
        self.questions: list[Mapping[str, bytes]] = []
        self.spoilt: dict[str, Callable[[MaskedShare], MaskedShare]] = {}
        self.nonces = [nonce_of(bytes([slot % 256]) * 32) for slot in range(self.slots)]
        rng = np.random.default_rng(7)
        for name in self.at.names:
            self.parts[name] = rng.integers(-PART_BOUND, PART_BOUND + 1, (self.slots, 3))
            self.parts[name][:, -1] = rng.integers(0, EVIDENCE_CAP + 1, self.slots)

    @property
    def slots(self) -> int:
        return len(self.at.customers)

    @property
    def clock(self) -> Any:
        return self.at.bench.clock

    def release(self, nodes: Iterable[int], question: Mapping[str, bytes]) -> Replies:
        """In place of Flower: who is there answers a question with its parts."""
        self.questions.append(question)
        signed = Signed(question["plan"], question["plan_signature"])
        shares = {
            node: self.answer(signed, self.at.names[node])
            for node in nodes
            if self.at.names[node] in self.there
        }
        return Replies(shares, {}, frozenset(nodes) - set(shares))

    def answer(self, signed: Signed, name: str) -> MaskedShare:
        """An outlet's answer to a plan, the same whenever it is asked."""
        known = self.given.get((signed.digest, name))
        if known is not None:
            return known
        plan = SealPlan.decode(signed.payload)
        parts = Parts(self.parts[name][: plan.slots], np.arange(plan.slots))
        share = mask_share(parts, plan, signed.digest, name, self.at.bench.keys[name])
        if name in self.spoilt:
            share = self.spoilt[name](share)
        self.given[signed.digest, name] = share
        return share

    def sealing(self, night: str = "n1") -> Sealing:
        """A night of HQ, begun or taken up again."""
        made: Any = Combiner(
            night,
            self.at.night(night),
            dict(enumerate(self.at.names)),
            self.office,
            self,  # type: ignore[arg-type]
            self.store,
            self.at.bench.public_keys,
            self.at.bench.directory,
            3,
            self.clock,
        )
        few = np.ones(self.slots, dtype=np.int64)
        registrations = few if self.registrations is None else self.registrations
        listed = self.at.bench.listed
        return Sealing(made, KnownSlots(listed.keys, self.nonces, registrations))

    def ask(self, kind: SealKind = SealKind.BAND, **changes: Any) -> SealAsk:
        of_bands = kind is SealKind.BAND
        values: dict[str, Any] = {
            "scorecards": b"cards",
            "cuts": CUTS if of_bands else MIDDLES,
            "as_of": self.at.bench.today if of_bands else self.at.bench.cut_off,
            **changes,
        }
        return SealAsk(kind, **values)

    def seal(self, night: str = "n1", kind: SealKind = SealKind.BAND, **changes: Any) -> StoredSeal:
        """A night's first seal, begun or taken up again."""
        return self.sealing(night).seal(self.ask(kind, **changes))

    def a_week_later(self, there: Iterable[str]) -> None:
        self.clock.at += WEEK
        self.there = there

    def restart(self) -> None:
        """HQ as another process, at the same file; the office stays."""
        self.store.close()
        self.store = HqStore(store_at(self.url, HQ))
        self.office.dies = None

    # --- what came of it -----------------------------------------------------------------------

    def entries(self, seal: StoredSeal) -> SealedEntries:
        assert seal.entries is not None
        return seal.entries

    def read(self, seal: StoredSeal) -> list[Entry | None]:
        """Every customer's entry, as who has the token reads it; None of a blank slot."""
        listed = self.at.bench.listed
        book = self.entries(seal).book(
            version=1, made_at=1, directory=listed.digest, blank=listed.blank
        )
        fine = seal.draft.kind is SealKind.FINE
        return [
            None
            if number is None
            else book.read(slot, slot_key(number), self.nonces[slot] if fine else b"")
            for slot, number in enumerate(self.at.customers)
        ]

    def codes(self, seal: StoredSeal) -> list[list[int] | None]:
        """Every customer's codes, the evidence's last in a seal of bands."""
        fine = seal.draft.kind is SealKind.FINE
        return [
            None if entry is None else [*entry.codes, *([] if fine else [entry.evidence])]
            for entry in self.read(seal)
        ]

    def clear(self, seal: StoredSeal, names: Iterable[str]) -> list[list[int] | None]:
        """The codes of what these outlets' parts add up to."""
        total = np.sum([self.parts[name][: seal.draft.slots] for name in names], axis=0)
        tables = seal.draft.tables()
        codes = np.stack([t.codes(total[:, place]) for place, t in enumerate(tables)], axis=1)
        numbers = self.at.customers
        return [None if n is None else row for n, row in zip(numbers, codes.tolist(), strict=True)]


def in_chunks_of(slots: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets seals go in chunks of so many slots, as if there were a million."""
    for module in ("privacy.seal_plans", "privacy.books"):
        monkeypatch.setattr(f"{module}.CHUNK_SLOTS", slots)
