"""What several modules of these tests begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from outlet_client.database import create_databases

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def databases(tmp_path: Path) -> None:
    """The databases of an outlet's folder, as `enrol` makes them."""
    create_databases(tmp_path)
