"""The program of an outlet: its nights, its look-ups, its customers' rights."""
