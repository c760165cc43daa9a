"""Who may be offered a scarce piece, and what a person made of it."""
