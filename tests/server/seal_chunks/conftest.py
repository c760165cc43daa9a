"""An office with a seal, in memory and at files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.server.seal_benches import SealBench

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def three_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks so small that the six slots of a bench are two."""
    for module in ("seal_plans", "books"):
        monkeypatch.setattr(f"privacy.{module}.CHUNK_SLOTS", 3)


@pytest.fixture
def bench() -> SealBench:
    return SealBench()


@pytest.fixture
def at_files(tmp_path: Path) -> SealBench:
    return SealBench(f"sqlite:///{tmp_path / 'office.db'}")
