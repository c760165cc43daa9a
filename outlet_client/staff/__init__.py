"""The desk's staff: accounts, passwords, passkeys, and their undertaking."""
