"""An office with an outlet's answers at hand."""

from __future__ import annotations

import pytest

from tests.server.seal_benches import SealBench


@pytest.fixture
def bench() -> SealBench:
    return SealBench()
