"""The errors of `server.holder`.

HolderError
+-- HolderNotConfigured  a setting or a key is missing or wrong
+-- NotAllowed           a caller that is on no list, or of the wrong kind for what it asks
+-- StillRunning         what is only done while the holder is stopped
+-- RefreshRefused       a refresh of the shares that is out of step
+-- StoreRefused         a store that is none of this role's, network's or release's
    +-- StoreMissing     there is no store
    +-- StoreOutdated    a store of an earlier release
+-- TooManyCalls         a caller that has as many calls in flight as it may
+-- RequestTooLarge      a request larger than its method's may be
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class HolderError(Exception):
    """Base of every error that a holder of a share raises on purpose."""


class HolderNotConfigured(HolderError):
    """A setting or a key is missing or wrong."""


class NotAllowed(HolderError):
    """A caller that is on no list here, or of the wrong kind for what it asks."""


class StillRunning(HolderError):
    """What is only done while the holder is stopped: its `serve`, or a night, runs."""

    def __init__(self, home: Path, program: str) -> None:
        super().__init__(
            f"{home}: `{program} serve`, its service, or a night runs there, expected none of "
            "them; stop it and run this again. Nothing was changed"
        )


class RefreshRefused(HolderError):
    """A refresh of the shares that is out of step with this holder's or the other's."""


class TooManyCalls(HolderError):
    """A caller that has as many calls in flight as it may.

    Attributes:
        most: How many that is.
    """

    def __init__(self, caller: str, what: str, most: int) -> None:
        super().__init__(
            f"{what}: {caller} asks for one more while {most} are in flight, expected at most "
            f"{most}; read or end one of these, then ask again"
        )
        self.most = most


class RequestTooLarge(HolderError):
    """A request larger than its method's may be."""

    def __init__(self, got: int, most: int) -> None:
        super().__init__(f"request: got {got} bytes or more, expected at most {most}")


class StoreRefused(HolderError):
    """A store that is none of this role's, of this network's, or of this release's."""


class StoreMissing(StoreRefused):
    """There is no store."""


class StoreOutdated(StoreRefused):
    """A store of an earlier release.

    Attributes:
        revision: Of its tables.
    """

    def __init__(self, place: str, revision: str, expected: str, program: str) -> None:
        super().__init__(
            f"{place}: got revision {revision} of the tables, expected {expected}: an earlier "
            f"release made it. Run `{program} upgrade`"
        )
        self.revision = revision
