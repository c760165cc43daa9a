"""Altered messages to the office's services, and altered settings files.

Whatever a call holds, it is answered or refused by a status of our own, never by INTERNAL, which is
what a mistake of the program's ends with. Whatever a settings file holds, it is read or refused.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
from google.protobuf.message import DecodeError

from outlet_client.settings import OutletFile
from privacy.errors import PrivacyError
from privacy.log_heads import DIGEST_BYTES
from server.hq.settings import HqFile
from server.office.notary import Notary
from server.office.publications import Publications
from server.office.relay import Relay
from server.office.service import OfficeService
from server.office.settings import OfficeFile
from server.wire import office_pb2
from server.wire.refusals import TIME_KEY
from tests.builders import Bench
from tests.fuzzing import Reader
from tests.privacy.seals import plan_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from google.protobuf.message import Message


class Refused(PrivacyError):
    """A call ended with a status of our own."""


class Context:
    """A call's context: HQ's time goes with it, and a status ends it."""

    def __init__(self, at: float) -> None:
        self._at = at

    def invocation_metadata(self) -> list[tuple[str, str]]:
        return [(TIME_KEY, str(int(self._at)))]

    def set_trailing_metadata(self, trailing: object) -> None:
        """What goes with a refusal."""

    def is_active(self) -> bool:
        return True

    def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        if code is grpc.StatusCode.INTERNAL:
            raise AssertionError(details)
        raise Refused(details)


class Call:
    """One of the office's calls with a message of one kind."""

    def __init__(self, method: Callable[..., Any], kind: type[Message], at: float) -> None:
        self._method, self._kind, self._at = method, kind, at

    def __call__(self, data: bytes) -> bytes:
        """Makes the call, and reads its answer to the end."""
        message = self._kind()
        try:
            message.ParseFromString(data)
        except DecodeError as error:
            raise Refused from error
        answer = self._method(message, Context(self._at))
        if not hasattr(answer, "SerializeToString"):
            list(answer)
        return data


def _calls() -> Iterator[Reader]:
    bench = Bench(count=10**6, rho=None)
    bench.settings = bench.settings.model_copy(
        update={"noiseless": frozenset({bench.purpose}), "night_hours": 10**6}
    )
    bench.office = bench.office_of()
    night = bench.night()
    signed = bench.office.sign_release(bench.draft(night))
    publications = Publications("sqlite://", bench.office_key, 0)
    relay = Relay("sqlite://", 4, 3, 0, bench.clock)
    service = OfficeService(
        lambda: bench.office, lambda: relay, lambda: publications, _no_refresh, bench.clock
    )
    envelopes = [
        office_pb2.Envelope(
            outlet=one.outlet,
            sealed_seed=one.sealed_seed,
            commitment=one.commitment,
            signature=one.signature,
        )
        for one in (bench.share(signed, name).envelope for name in "abc")
    ]
    line = office_pb2.PlannedReleases(purpose=bench.purpose.value, count=1, rho="1/1000")
    unlock = office_pb2.UnlockRequest(plan_digest=signed.digest, envelopes=envelopes)
    messages: list[tuple[Callable[..., Any], Message]] = [
        (
            service.SignNight,
            office_pb2.SignNightRequest(night="n", cut_off=bench.cut_off, releases=[line]),
        ),
        (
            service.SignRelease,
            office_pb2.SignReleaseRequest(draft=bench.draft(night, "r2").encode()),
        ),
        (service.SignSeal, office_pb2.SignReleaseRequest(draft=plan_of(3).encode())),
        (service.Unlock, unlock),
        (service.StoreSet, unlock),
        (service.CloseSeal, office_pb2.CloseSealRequest(plan_digest=signed.digest)),
        (service.CloseNight, office_pb2.CloseNightRequest(night="other")),
        (service.CollectBatch, office_pb2.CollectBatchRequest(after=1)),
        (service.FetchLedger, office_pb2.FetchLedgerRequest(after=1)),
        (
            service.CountersignBook,
            office_pb2.CountersignBookRequest(
                directory="00" * 32, signature=bytes(64), header=b"{}", body="00" * 32
            ),
        ),
    ]
    for method, message in messages:
        read = Call(method, type(message), bench.clock())
        yield Reader(
            f"call {method.__name__}", (message.SerializeToString(),), read, lambda data: data
        )
    notary = Notary("sqlite://", bench.office_key)

    def countersigned(data: bytes) -> bytes:
        notary.countersign("a", data[:DIGEST_BYTES], None, bench.clock())
        return data

    yield Reader("digest to countersign", (bytes(DIGEST_BYTES),), countersigned, lambda data: data)


def _no_refresh(_epoch: int, _delta: bytes) -> NoReturn:
    raise Refused


def _settings() -> Iterator[Reader]:
    texts: list[tuple[str, Callable[[Path], object], str]] = [
        (
            "escapement.toml",
            OutletFile.read,
            (
                'region = "SG"\n[ledger]\nsource = "l.csv"\nwhere = "\\"A\\" = \'1\'"\n'
                'fill_down = { key = "a", columns = ["b"] }\n[ledger.columns]\nprice = "Total"\n'
                "[desk]\nidle_minutes = 15.0\n[floors]\nleast_noise = 4.0\n"
            ),
        ),
        (
            "hq.toml",
            HqFile.read,
            (
                'listen = "h:1"\nnight_at = 02:00:00\n[training]\nrounds = 6\n[tokens]\n'
                "outlet_a_day = 640\n[bands]\neligible = 0.2\n"
            ),
        ),
        (
            "office.toml",
            OfficeFile.read,
            "[promise]\nepsilon = 4.0\nseals_a_week = 2\n[tokens]\nmessages = 512\n",
        ),
    ]
    folder = Path(tempfile.mkdtemp())
    for name, read, text in texts:
        yield Reader(name, (text.encode(),), _of_file(folder / name, read), lambda data: data)


def _of_file(place: Path, read: Callable[[Path], object]) -> Callable[[bytes], bytes]:
    def opened(data: bytes) -> bytes:
        place.write_bytes(data)
        read(place)
        return data

    return opened


@cache
def callers() -> dict[str, Reader]:
    """Every call and file, by name."""
    return {reader.name: reader for kind in (_calls, _settings) for reader in kind()}
