"""The outlet's night: its steps, what is answered, and what it says of itself."""
