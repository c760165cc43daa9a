"""Migrations of an outlet's databases: a script a revision, the same for all three files."""
