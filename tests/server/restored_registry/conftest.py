"""A network whose HQ was restored from an older copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.server.restored_registry.restored_histories import (
    History,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)
