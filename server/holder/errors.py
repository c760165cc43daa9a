"""The errors of `server.holder`.

HolderError
+-- HolderNotConfigured  a setting or a key is missing or wrong
+-- NotAllowed           a caller that is on no list, or of the wrong kind for what it asks
+-- RefreshRefused       a refresh of the shares that is out of step
"""

from __future__ import annotations


class HolderError(Exception):
    """Base of every error that a holder of a share raises on purpose."""


class HolderNotConfigured(HolderError):
    """A setting or a key is missing or wrong."""


class NotAllowed(HolderError):
    """A caller that is on no list here, or of the wrong kind for what it asks."""


class RefreshRefused(HolderError):
    """A refresh of the shares that is out of step with this holder's or the other's."""
