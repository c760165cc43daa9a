"""A whole network on one machine. May import everything; nothing imports it."""
