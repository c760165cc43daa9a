"""The privacy office: signs plans, holds the second key, keeps the ledger."""
