"""How Alembic runs the scripts beside this file."""

from __future__ import annotations

from outlet_client.migrating import run_environment

run_environment()
