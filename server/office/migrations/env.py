"""How Alembic runs the scripts beside this file."""

from __future__ import annotations

from server.holder.migrating import run_environment

run_environment()
