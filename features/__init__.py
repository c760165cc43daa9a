"""From a ledger to a score: pure functions, no files, no clock, no framework."""
