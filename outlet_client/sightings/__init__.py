"""Resale sightings at the outlet: their history, and decisions about them."""
