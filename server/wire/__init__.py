"""Messages between HQ, the privacy office and outlets, and nothing else."""
