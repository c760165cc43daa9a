"""The outlet's night: its steps, the Flower node, the night log and the health file."""
