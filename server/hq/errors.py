"""The errors of `server.hq`.

HqError (a HolderError)
+-- QuorumNotMet       fewer outlets than the quorum answered
+-- AnotherNight       a stored release of this name was asked for something else
+-- NightTwice         another process is running this night
+-- NightRuns          another process is running a night
+-- NightOpen          a night was interrupted, and can still be taken up
+-- NothingHeld        nothing of that night waits for a person
+-- NightUnnamed       a name that no night may have
+-- RecordUnreadable   the record of a night that cannot be read
+-- OfficeUnreachable  the privacy office did not answer, or is paused
    +-- OfficeBusy     it has as many of HQ's calls in flight as it takes
+-- RegistryOutdated   a registry of release 0.1, which listed tokens (also a HolderNotConfigured)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.holder.errors import HolderError, HolderNotConfigured

if TYPE_CHECKING:
    from collections.abc import Collection


class HqError(HolderError):
    """Base of every error that `server.hq` raises on purpose."""


class QuorumNotMet(HqError):
    """Fewer outlets than the quorum answered.

    Attributes:
        answered: How many did.
        quorum: How many were needed.
    """

    def __init__(
        self, what: str, answered: int, quorum: int, missing: Collection[str] = ()
    ) -> None:
        """Says so.

        Args:
            what: The release, or what else it is about.
            answered: How many did.
            quorum: How many were needed.
            missing: Of the last year's sums, who did not, so that others' answers cannot be used.
        """
        said = f"{what}: {answered} outlets answered, expected at least {quorum}"
        if missing:
            said = (
                f"{what}: {answered} outlets answered; without {', '.join(sorted(missing))} their "
                f"sum, beside the last year's, would tell the part of fewer than {quorum}"
            )
        super().__init__(said)
        self.answered = answered
        self.quorum = quorum


class AnotherNight(HqError):
    """A stored release of this name was asked for something else."""

    def __init__(self, release: str) -> None:
        super().__init__(
            f"release {release}: stored with other parameters; a night is resumed with the "
            "settings it began with, or run under a new name"
        )


class NightTwice(HqError):
    """Another process is running this night."""

    def __init__(self, release: str) -> None:
        super().__init__(f"release {release}: summed before; another process runs this night")


class NightRuns(HqError):
    """Another process is running a night."""

    def __init__(self) -> None:
        super().__init__("night: another process of this folder runs one; wait until it is over")


class NightOpen(HqError):
    """A night was interrupted, and can still be taken up."""

    def __init__(self, night: str) -> None:
        super().__init__(
            f"held: night {night} was interrupted, expected none that can be taken up: it goes on "
            f"with what stood. `escapement-hq night --name {night}` ends it; then accept"
        )


class NothingHeld(HqError):
    """Nothing of that night waits for a person."""

    def __init__(self, night: str, held: str) -> None:
        expected = f"expected {held}" if held else "expected none: nothing is held back"
        super().__init__(
            f"held: got night {night!r:.60}, {expected}; `escapement-hq held` lists what was"
        )


class NightUnnamed(HqError):
    """A name that no night may have."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"night: got the name {name!r:.60}, expected up to 80 letters, digits, dots, dashes or "
            "underscores, no dot at first"
        )


class RecordUnreadable(HqError):
    """The record of a night that cannot be read."""

    def __init__(self, file: str, got: str, expected: str = "the whole record of a night") -> None:
        super().__init__(
            f"nights/{file}: got {got}, expected {expected}; move it away, or restore it from a "
            "copy"
        )


class OfficeUnreachable(HqError):
    """The privacy office did not answer, or is paused.

    Attributes:
        why: A gRPC status, or "paused".
    """

    def __init__(self, why: str) -> None:
        super().__init__(
            f"privacy office: no answer ({why}); nothing is lost, run the night again by its name"
        )
        self.why = why


class OfficeBusy(OfficeUnreachable):
    """The privacy office has as many of HQ's calls in flight as it takes, after waiting too."""

    def __init__(self, why: str) -> None:
        HqError.__init__(
            self,
            f"privacy office: too busy with HQ's calls, after waiting too ({why}); does another "
            "program of HQ run, such as a second night? Calls that were cut off are over within "
            "minutes; nothing is lost, run the night again by its name",
        )
        self.why = why


class RegistryOutdated(HqError, HolderNotConfigured):
    """A registry of release 0.1, which listed tokens."""

    def __init__(self, database: str) -> None:
        super().__init__(
            f"{database}: HQ's registry lists customers by token, as release 0.1 did, expected "
            "public slot keys; run `escapement-hq tokens renew`, which erases it and begins a new "
            "token key; then docs/upgrade-to-slot-keys.md has the rest"
        )
