"""Where the shared ledgers are, and what happens where they are not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # speed is measured in benchmarks/
settings.load_profile("untimed")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real ledgers, `../shared/data` from the project's root."""
    if not SHARED.is_dir():
        reason = "the real ledgers are not here: expected ../shared/data beside the project"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return SHARED
