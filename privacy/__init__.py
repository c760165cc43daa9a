"""Everything that protects a customer: clipping, noise, masks, envelopes, plans, the ledger's law.

The only package that may import OpenDP, a curve, or `cryptography`'s primitives. It is pure: no
transport, no files, no clock; callers pass the moment in.
"""
