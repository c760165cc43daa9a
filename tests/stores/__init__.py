"""Stores of earlier releases, as people have them."""
