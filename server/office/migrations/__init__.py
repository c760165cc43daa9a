"""Migrations of the privacy office's stores: a script a revision, the same for all its files."""
