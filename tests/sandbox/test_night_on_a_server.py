"""A whole night of real programs, HQ's and the office's stores on a real PostgreSQL server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from sandbox.main import app
from tests.postgres import postgres

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.federation
@pytest.mark.slow
def test_the_readmes_night_runs_on_a_postgresql_server(tmp_path: Path) -> None:
    with postgres() as server:
        words = ["night", "--runs", str(tmp_path), "--customers", "600", "--outlets", "3", "--json"]
        done = CliRunner().invoke(app, [*words, "--store", server])
        assert done.exit_code == 0, done.output
        (folder,) = tmp_path.iterdir()
        assert json.loads((folder / "report.json").read_text())["ended"] == "complete"
        for role, counted in (("hq", "releases"), ("office", "ledger")):
            (line,) = [
                text
                for text in (folder / role / f"{role}.toml").read_text().splitlines()
                if text.startswith("database")
            ]
            engine = sa.create_engine(line.split('"')[1])
            with engine.connect() as connection:
                found = connection.exec_driver_sql(f"SELECT count(*) FROM {counted}").scalar_one()  # noqa: S608  (a name of our own)
            engine.dispose()
            assert found > 5
            assert not (folder / role / f"{role}.db").exists()
            said = "".join(log.read_text() for log in (folder / role).glob("*.log"))
            assert "a-password" not in said
