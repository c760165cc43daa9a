"""An office that countersigns, and the HQ that shows it directories."""

from __future__ import annotations

import pytest

from tests.server.slot_histories import HonestHq, PublishingOffice


@pytest.fixture
def office() -> PublishingOffice:
    """An office whose hours are so few that another directory is never too soon."""
    return PublishingOffice(hours=1.0)


@pytest.fixture
def hq(office: PublishingOffice) -> HonestHq:
    """HQ with five customers, four in slots 0 to 3 of batch 1 and one of batch 3, all shown."""
    hq = HonestHq()
    hq.apply(come=(0, 1, 2, 3))
    office.show(hq)
    hq.apply()
    hq.apply(come=(4,))
    office.show(hq)
    return hq


@pytest.fixture
def left(office: PublishingOffice, hq: HonestHq) -> HonestHq:
    """Customer 1 has withdrawn in batch 4, which the office saw."""
    hq.apply(go=(1,))
    office.show(hq)
    return hq
