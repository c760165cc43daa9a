"""Mutants: whether the tests notice, one after another, small faults in the code.

python -m benchmarks.mutants [--core | --planted] [--most N] [MODULE ...]

cosmic-ray makes the faults, these modules choose among them, run the tests that hold a module
(`modules.toml`) against each, and hold who survived against the list of known ones with a reason
each (`survivors.toml`). docs/mutants.md says how to read it.
"""
