"""Measurements behind docs/benchmarks.md; not part of the tests."""
