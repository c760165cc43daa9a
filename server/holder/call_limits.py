"""How much of a holder one caller may have at a time: calls, bytes of a request, seconds.

Invariant: a call takes its caller's place before a byte of its request is read, and keeps it until
its worker has ended. So whoever asks too much is refused, and others always find a worker.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from server.holder.errors import RequestTooLarge, TooManyCalls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from server.holder.peers import Caller

_LOG = logging.getLogger(__name__)

CALLS_A_CALLER = 8
"""Of all methods together, by one caller."""

STALL_SECONDS = 60.0
"""A call whose caller sends nothing, or takes nothing, for so long is ended."""

_SAID_SECONDS = 60.0
_KB, _MB = 2**10, 2**20


@dataclass(frozen=True, slots=True)
class MethodLimits:
    """What one call of a method may take.

    Attributes:
        at_once: How many one caller may have in flight.
        seconds: How long it may take, however steadily it is read.
        request_bytes: All messages of its request together.
        is_long: Whether it moves much: such calls have workers of their own, so that they never
            keep a short one waiting.
    """

    at_once: int
    seconds: float
    request_bytes: int
    is_long: bool = False


_SHORT = MethodLimits(CALLS_A_CALLER, 60, 256 * _KB)
_PUBLISHED = MethodLimits(2, 600, 4 * _KB, is_long=True)
_SET = MethodLimits(2, 1800, 4 * _MB, is_long=True)

METHODS: dict[str, MethodLimits] = {
    "Tokens/Evaluate": _SHORT,
    "Relay/Submit": MethodLimits(2, 120, 4 * _MB),
    "Library/Directory": _PUBLISHED,
    "Library/Book": _PUBLISHED,
    "Office/Unlock": _SET,
    "Office/StoreSet": _SET,
    # A call that was cut off may still be computed when HQ asks again: so two, not one.
    "Office/SealChunk": MethodLimits(2, 600, 32 * _MB, is_long=True),
    "Office/CollectBatch": MethodLimits(2, 600, 4 * _KB, is_long=True),
    "Office/FetchDirectory": MethodLimits(2, 600, 4 * _KB, is_long=True),
    "Office/FetchLedger": MethodLimits(2, 600, 4 * _KB, is_long=True),
    "Notary/Ledger": _PUBLISHED,
    # Of 2**24 slots. Its slots are held until all have come.
    "Office/CountersignDirectory": MethodLimits(1, 1800, 1024 * _MB, is_long=True),
}
"""By service and method. What is not named here may take what a short call may."""


def limits_of(method: str) -> MethodLimits:
    """The limits of a method by its full name, such as `/escapement.v1.Tokens/Evaluate`."""
    return METHODS.get(_short_name(method), _SHORT)


class CallLimits:
    """Counts the calls that are in flight, by caller; for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: Counter[Caller] = Counter()
        self._of_method: Counter[tuple[Caller, str]] = Counter()
        self._said: dict[Caller, float] = {}

    @contextmanager
    def place(self, caller: Caller, method: str) -> Iterator[None]:
        """Keeps a place for a call until left.

        Raises:
            TooManyCalls: If the caller has as many in flight as it may.
        """
        name, most = _short_name(method), limits_of(method).at_once
        mine = caller, name
        with self._lock:
            if self._all[caller] >= CALLS_A_CALLER:
                self._refuse(caller, "calls", CALLS_A_CALLER)
            if self._of_method[mine] >= most:
                self._refuse(caller, f"calls of {name}", most)
            self._all[caller] += 1
            self._of_method[mine] += 1
        try:
            yield
        finally:
            with self._lock:
                self._all[caller] -= 1
                self._of_method[mine] -= 1
                self._all, self._of_method = +self._all, +self._of_method  # zeros are dropped

    def _refuse(self, caller: Caller, what: str, most: int) -> None:
        """Refuses a call, and says so in the log once a minute and caller."""
        refusal = TooManyCalls(f"{caller.kind} {caller.name}", what, most)
        now = time.monotonic()
        if now - self._said.get(caller, -_SAID_SECONDS) >= _SAID_SECONDS:
            self._said[caller] = now
            _LOG.warning("refused: %s", refusal)
        raise refusal


class Progress:
    """Ends a call that takes too long, or whose caller neither sends nor reads any more."""

    def __init__(self, what: str, limits: MethodLimits, cancel: Callable[[], object]) -> None:
        """Watches one call, from `watched` on.

        Args:
            what: Its method and who called, for the log.
            limits: Its method's.
            cancel: Ends it.
        """
        self._what, self._limits, self._cancel = what, limits, cancel
        self._end = time.monotonic() + limits.seconds
        self._waits_since: float | None = None
        self._bytes = 0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Waits for the caller until left; what this side computes is not its fault."""
        self._waits_since = time.monotonic()
        try:
            yield
        finally:
            self._waits_since = None

    def add_bytes(self, count: int) -> None:
        """Counts bytes of the request.

        Raises:
            RequestTooLarge: If there are more than its method's may have.
        """
        self._bytes += count
        if self._bytes > self._limits.request_bytes:
            raise RequestTooLarge(self._bytes, self._limits.request_bytes)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watches until left."""
        over = threading.Event()
        threading.Thread(target=self._watch, args=[over], name="deadline", daemon=True).start()
        try:
            yield
        finally:
            over.set()

    def _watch(self, over: threading.Event) -> None:
        while not over.wait(self._seconds_left()):
            if self._seconds_left() <= 0:
                _LOG.warning("%s: ended; too slow, or its caller does not read", self._what)
                self._cancel()
                return

    def _seconds_left(self) -> float:
        """Until the call is to be ended, as far as is known now."""
        now, since = time.monotonic(), self._waits_since
        return min(self._end, (now if since is None else since) + STALL_SECONDS) - now


def _short_name(method: str) -> str:
    service, _, name = method.strip("/").rpartition("/")
    return f"{service.rpartition('.')[2]}/{name}"
