"""HQ's registry, and an office that countersigns what it is shown."""

from __future__ import annotations

import pytest

from tests.server.registrations import (
    Hq,
    OfficeOf,
)


@pytest.fixture
def hq() -> Hq:
    return Hq()


@pytest.fixture
def office() -> OfficeOf:
    return OfficeOf()
