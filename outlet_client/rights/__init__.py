"""Customers' rights at this outlet: who asked about them, what they asked for, what is held."""
