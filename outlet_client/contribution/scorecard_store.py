"""The store of the scorecards for which this outlet last gave parts to a seal of bands.

Invariant: what is kept came with a plan that the pinned office signed, in the transaction of its
answer; so there is either an answer with its scorecards, or neither.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from features.errors import CatalogueError
from features.scorecard import Scorecard
from outlet_client.database import reader_of
from outlet_client.errors import OutletError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from outlet_client.contribution.answer_store import Answers

_METADATA = sa.MetaData()
_SCORECARDS = sa.Table(
    "scorecards",
    _METADATA,
    sa.Column("place", sa.Integer, primary_key=True),
    sa.Column("as_of", sa.Text, nullable=False),
    sa.Column("card", sa.LargeBinary, nullable=False),
)

_NEXT = (
    "expected the one that comes when the network's bands are sealed, about once a week; run "
    "`escapement-outlet nightly` every night until then"
)


class ScorecardMissing(OutletError):
    """No scorecard yet, or only one of another catalogue."""


@dataclass(frozen=True, slots=True)
class KeptScorecards:
    """What bands were last sealed with, as far as this outlet was asked.

    Attributes:
        as_of: The last day in those parts, ISO 8601.
        cards: One an outcome.
    """

    as_of: str
    cards: tuple[Scorecard, ...]


def keep_scorecards(answers: Answers, kept: KeptScorecards) -> None:
    """Replaces the kept scorecards, within the transaction of an answer."""
    connection = answers.connection
    _METADATA.create_all(connection)
    connection.execute(_SCORECARDS.delete())
    rows = [
        {"place": place, "as_of": kept.as_of, "card": card.encode()}
        for place, card in enumerate(kept.cards)
    ]
    connection.execute(_SCORECARDS.insert(), rows)


def read_scorecards(home: Path) -> KeptScorecards:
    """Reads the kept scorecards.

    Raises:
        ScorecardMissing: If none was kept yet, or only one of another catalogue.
    """
    with _reading(home) as connection:
        there = sa.inspect(connection).has_table(_SCORECARDS.name)
        query = sa.select(_SCORECARDS).order_by(_SCORECARDS.c.place)
        rows = connection.execute(query).all() if there else ()
    if not rows:
        raise ScorecardMissing(f"scorecard: got none yet, {_NEXT}")
    try:
        cards = tuple(Scorecard.decode(row.card) for row in rows)
    except CatalogueError as error:
        raise ScorecardMissing(f"{error}; {_NEXT}") from error
    return KeptScorecards(rows[0].as_of, cards)


@contextmanager
def _reading(home: Path) -> Iterator[sa.Connection]:
    engine = reader_of(f"sqlite:///{home / 'outlet.db'}")
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()
