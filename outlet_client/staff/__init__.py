"""Who may use the desk: accounts, passwords and passkeys, and the undertaking each gave."""
