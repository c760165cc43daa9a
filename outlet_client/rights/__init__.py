"""Customers' rights at this outlet: access, export, correction, withdrawal, dispute."""
