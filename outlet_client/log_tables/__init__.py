"""The tables of the outlet's log and requests, and the hash chain of the log."""
