"""The revisions, one after another."""
