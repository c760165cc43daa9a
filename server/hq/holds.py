"""Scorecards and calibrations that are held back until a person at HQ accepts them.

Invariant: what is held back does not stand. Its row is stored before what it is about, so that no
kill leaves a scorecard waiting for calibration, or a calibration counting as the last one, that a
night had found worse. Rows are never deleted: who accepted what, when and why stays.

    waits       scorecards were trained                        -> held, or calibrated
    held        by a night's findings; bands go on by those that stand
                -> accepted, or gone when another training takes their place
    accepted    scorecards are calibrated by the next night; a calibration stands at once
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from server.hq.errors import NothingHeld
from server.hq.model_store import cuts_stand
from server.hq.tables import CALIBRATIONS, HOLDS, SCORECARDS_TO_CALIBRATE


class HeldKind(StrEnum):
    """What a night held back."""

    SCORECARD = "scorecard"
    CALIBRATION = "calibration"


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Who let stand what was held back.

    Attributes:
        at: Unix seconds.
        by: A person's name, as they gave it.
        why: Their reason.
    """

    at: int
    by: str
    why: str


@dataclass(frozen=True, slots=True)
class Hold:
    """What a night held back.

    Attributes:
        night: The night that found it worse.
        kind: What is held.
        trained: The night that trained the scorecards.
        at: When, in Unix seconds.
        reasons: What private counts say against it, an outcome each.
        accepted: Who let it stand; None as long as nobody did.
    """

    night: str
    kind: HeldKind
    trained: str
    at: int
    reasons: tuple[str, ...]
    accepted: Acceptance | None = None

    @property
    def said(self) -> str:
        """For people: what is held, why, and what to do."""
        return (
            f"{self.kind} of night {self.night} held back: {'; '.join(self.reasons)}. Bands go on "
            "by what stood before. Ask outlets what changed in their ledgers; if it is right, "
            f"`escapement-hq held accept {self.night} --by NAME --reason TEXT`"
        )

    def as_json(self) -> dict[str, Any]:
        """Plain values, for `json.dumps`."""
        done = self.accepted
        return {
            "night": self.night,
            "kind": self.kind.value,
            "trained": self.trained,
            "at": self.at,
            "reasons": list(self.reasons),
            "accepted": None if done is None else {"at": done.at, "by": done.by, "why": done.why},
        }


class HoldStore:
    """What was held back, in one database with the scorecards."""

    def __init__(self, engine: sa.Engine) -> None:
        """Reads and writes one database."""
        self._engine = engine

    def hold_back(self, hold: Hold) -> bool:
        """Stores what is held back, once; a night that is run again changes nothing.

        Returns:
            Whether it is held: not where somebody has accepted it.
        """
        mine = (HOLDS.c.night == hold.night) & (HOLDS.c.kind == hold.kind.value)
        with self._engine.begin() as connection:
            known = connection.execute(sa.select(HOLDS).where(mine)).one_or_none()
            if known is not None:
                return known.accepted_at is None
            row = {
                "night": hold.night, "kind": hold.kind.value, "trained": hold.trained,
                "at": hold.at, "reason": json.dumps(hold.reasons),
            }  # fmt: skip
            connection.execute(HOLDS.insert().values(**row))
        return True

    def was_held(self, night: str, kind: HeldKind) -> bool:
        """Whether a night held something back, accepted since or not."""
        mine = (HOLDS.c.night == night) & (HOLDS.c.kind == kind.value)
        with self._engine.connect() as connection:
            return connection.execute(sa.select(HOLDS.c.at).where(mine)).first() is not None

    def holds(self) -> list[Hold]:
        """All that was ever held back, the oldest first."""
        with self._engine.connect() as connection:
            found = connection.execute(sa.select(HOLDS).order_by(HOLDS.c.at, HOLDS.c.kind))
            return [_hold(row) for row in found]

    def held(self) -> Hold | None:
        """What waits for a person now: of the scorecards that wait, what nobody accepted."""
        with self._engine.connect() as connection:
            return _held(connection)

    def accept(self, night: str, accepted: Acceptance) -> Hold:
        """Lets stand what a night held back: cuts stand at once, scorecards are calibrated next.

        Args:
            night: Which night held it back.
            accepted: Who says so, when and why.

        Returns:
            What was accepted.

        Raises:
            NothingHeld: If nothing of that night waits for a person.
        """
        with self._engine.begin() as connection:
            hold = _held(connection)
            if hold is None or hold.night != night:
                raise NothingHeld(night, "" if hold is None else hold.night)
            mine = (HOLDS.c.night == hold.night) & (HOLDS.c.kind == hold.kind.value)
            done = {
                "accepted_at": accepted.at, "accepted_by": accepted.by,
                "accepted_why": accepted.why,
            }  # fmt: skip
            connection.execute(HOLDS.update().where(mine).values(**done))
            if hold.kind is HeldKind.CALIBRATION:
                query = sa.select(CALIBRATIONS).where(CALIBRATIONS.c.night == hold.night)
                found = connection.execute(query).all()
                cuts_stand(
                    connection,
                    {row.outcome: tuple(json.loads(row.judgement)["cuts"]) for row in found},
                )
        return _hold_accepted(hold, accepted)


def _held(connection: sa.Connection) -> Hold | None:
    waiting = sa.select(SCORECARDS_TO_CALIBRATE.c.night)
    mine = HOLDS.c.trained.in_(waiting) & HOLDS.c.accepted_at.is_(None)
    found = connection.execute(sa.select(HOLDS).where(mine).order_by(HOLDS.c.at.desc())).all()
    return _hold(found[0]) if found else None


def _hold_accepted(hold: Hold, accepted: Acceptance) -> Hold:
    return Hold(hold.night, hold.kind, hold.trained, hold.at, hold.reasons, accepted)


def _hold(row: sa.Row[Any]) -> Hold:
    accepted = (
        None
        if row.accepted_at is None
        else Acceptance(row.accepted_at, row.accepted_by, row.accepted_why)
    )
    reasons = tuple(json.loads(row.reason))
    return Hold(row.night, HeldKind(row.kind), row.trained, row.at, reasons, accepted)
