"""What HQ and the privacy office run alike: each holds a share of the token key.

A deliberate exception to "HQ and the office share the wire and nothing else": evaluation, quotas
and the check of who calls must be the same at both, and each runs its own copy with its own share.
"""
