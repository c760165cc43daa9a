"""What an outlet read of its ledger, and what of it counts."""
