"""Allocation of scarce watches: the waitlist, ranked proposals, and what a person decides."""
