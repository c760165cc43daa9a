"""How a caller keeps its connection to HQ or to the privacy office."""

from __future__ import annotations

CALLER_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 0),
)
"""Options of a channel: the other side's death is noticed during a call; between two nobody asks.

A server allows a question every 20 seconds and closes a connection that was idle for 10 minutes:
the next call opens another.
"""

REFUSED_FOR_NOW = frozenset({"TooManyCalls"})
"""Refusals, by the name of their type, after which the same call may be made again in a while."""
