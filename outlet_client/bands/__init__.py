"""The band book at the outlet, and look-ups in it."""
