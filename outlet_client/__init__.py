"""What runs at an outlet: it answers signed plans from its own ledger, and nothing else."""
