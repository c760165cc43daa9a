"""Migrations of HQ's stores: a script a revision, the same for all its files."""
