"""The nightly report for people at the outlet: what was measured, what came in, what left."""
