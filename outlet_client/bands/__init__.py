"""The band book at the outlet, and what is looked up in it."""
