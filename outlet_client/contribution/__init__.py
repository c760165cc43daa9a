"""What an outlet contributes to releases, and what it remembers of that."""
