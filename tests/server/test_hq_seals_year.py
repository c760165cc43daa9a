"""A year of nights at an office with its real limits: none of an honest HQ's seals is refused."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from outlet_client.settings import OutletSettings
from privacy.purposes import Purpose
from sandbox.network import HORIZON_DAYS, Settings
from server.hq.settings import HqSettings
from server.office.settings import OfficeSettings
from tests.builders import Clock
from tests.networks import SECOND, TARGET, small_network, small_world

if TYPE_CHECKING:
    from flwr.app import Message

DAY = 86_400
NIGHTS = 380


@pytest.mark.slow
def test_a_year_of_nights_seals_every_week_and_no_limit_of_the_offices_is_met() -> None:
    """Nightly, some minutes early or late; a training a month; outlets that are away for weeks."""
    clock, random = Clock(), np.random.default_rng(9)
    away: set[int] = set()

    def drop(node: int, message: Message) -> bool:
        return node in away and message.metadata.message_type != "query.goodnight"

    settings = Settings(OfficeSettings(), HqSettings(rounds=1), OutletSettings())
    network = small_network(
        settings=settings, outcomes=(TARGET, SECOND), clock=clock, drop=drop,
        world=small_world(outlets=4, customers=60),
    )  # fmt: skip
    first, done, weeks = clock.at, Counter[str](), list[dt.date]()
    for number in range(NIGHTS):
        clock.at = first + number * DAY + float(random.integers(-1200, 1200))
        away.clear()
        away |= {1001} if number % 50 in range(20, 41) else set()
        today = dt.datetime.fromtimestamp(clock.at, dt.UTC).date()
        report = network.night(
            f"night-{today}", str(today - dt.timedelta(HORIZON_DAYS)), TARGET, SECOND,
            bands=True, as_of=str(today),
        )  # fmt: skip
        assert report.ended == "complete", (number, report.ended)
        assert report.book == network.book().version
        purposes = [step.purpose for step in report.steps]
        done += Counter(one.value for one in purposes)
        if Purpose.POINTS in purposes:
            done["carried"] += report.steps[-1].outlets > 4 - len(away)
            weeks.append(today)
    # None while one of four is away: a sum over the other three would tell its part by the next.
    assert done["moments"] == done["calibration"] >= 8
    assert done["points"] == len(weeks) + done["calibration"]
    assert done["carried"] > 10  # seals without an outlet that answered the same scorecard before
    assert 54 <= len(weeks) <= 62
    assert max(later - one for one, later in pairwise(weeks)) <= dt.timedelta(8)
