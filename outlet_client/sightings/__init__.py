"""Resale sightings at the outlet: their history, and what people decided about them."""
