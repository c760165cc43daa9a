"""Nights of real processes over TLS: complete, interrupted, and lied to."""

from __future__ import annotations

import base64
import hashlib
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from features.events import CustomerSums
from privacy.identity import PartyKind
from privacy.keyring import Keyring
from privacy.purposes import Purpose
from sandbox.clear_sum import ClearSum
from sandbox.enrolment import JOIN_SECONDS, address_of
from tests.federation.nights import (
    CHARGED,
    CUSTOMERS,
    HQ_NIGHT,
    NIGHT_NOW,
    PATIENT,
    RELEASES,
    assert_sums_of_one_process,
    charges,
    night,
    start_night,
    stop_until_tomorrow,
    wait_until_over,
)
from tests.networks import TARGET, small_world

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sandbox.world import World
    from server.hq.report import NightReport
    from tests.federation.forked import Forked

pytestmark = pytest.mark.federation


def wait_for(network: Forked, outlet: str, words: str) -> None:
    """Waits until an outlet's night says so."""
    log, end = network.outlet(outlet) / "nightly.log", time.monotonic() + 60
    while not (log.exists() and words in log.read_text()):
        assert time.monotonic() < end, f"{outlet} never said: {words}"
        time.sleep(0.02)


def test_a_night_is_complete_and_neither_hq_nor_the_office_holds_a_customer(
    enrol: Callable[..., Forked],
) -> None:
    network = enrol()
    report = night(network)
    network.stop()
    assert report.ended == "complete"
    assert report.cohort == ("O1", "O2", "O3")
    assert report.skipped == []
    assert tuple(step.purpose.value for step in report.steps) == RELEASES
    opened = [step.release for step in report.steps if step.purpose is not Purpose.POINTS]
    assert charges(network) == opened
    spent = network.ledger().epsilon(int(time.time()))
    assert spent is not None
    assert 0.999 <= spent <= 1.0
    written = b"".join(
        file.read_bytes()
        for role in ("hq", "office")
        for file in (network.folder / role).rglob("*")
        if file.is_file()
    )
    assert len(written) > 20_000
    world = small_world(outlets=3, customers=CUSTOMERS)
    for customer in world.customers:
        address = address_of(customer)
        for name in (customer.encode(), address.encode(), f"mailto:{address}".encode()):
            for form in (
                name,
                hashlib.sha256(name).hexdigest().encode(),
                hashlib.sha256(name).digest(),
                base64.b64encode(name).rstrip(b"="),
            ):
                assert form not in written
    forms = list(per_slot_forms(network, report, world))
    assert len(forms) > 100
    assert all(form not in written for form in forms), "a sum or code is in the clear"
    prices = world.snapshot.history.filter(pl.col("price") > 0)["price"].unique()
    assert len(prices) > 80
    text = re.sub(rb"[0-9a-f]{32,}", b"", written)
    for price in prices:
        for form in (f"{price:.2f}", repr(price)):
            assert not re.search(rf"(?<!\d){re.escape(form)}".encode(), text)


WINDOW = 12
"""Slots in a row whose numbers are looked for: too many to be there by chance."""


def per_slot_forms(network: Forked, report: NightReport, world: World) -> Iterator[bytes]:
    """How sums of parts and codes of some slots in a row would look, were they kept anywhere."""
    card, cuts = report.scorecards[TARGET], report.calibrations[TARGET].cuts
    held = network.held(world.customers, [TARGET])
    sums = {name: CustomerSums.of(own, world.customers) for name, own in world.events.items()}
    parts = ClearSum.of([card], sums, held.at_home, held.dithers).parts[np.argsort(held.slots)]
    codes = np.searchsorted(cuts, parts[:, 0], side="right")
    told = [held.book.read(int(slot), key) for slot, key in zip(held.slots, held.keys, strict=True)]
    read = [entry.codes[0] for entry in told if entry is not None]
    assert read == codes[held.slots].tolist()  # these are the numbers
    for low in range(0, len(parts) - WINDOW, WINDOW // 2):
        window = slice(low, low + WINDOW)
        for kind in ("i1", "<i2", "<i4", "<i8", "<f8"):
            for numbers in (parts[window], parts[window, 0], codes[window]):
                if len(np.unique(numbers)) > 2:
                    yield numbers.astype(kind).tobytes()
        yield str(parts[window, 0].tolist()).encode()
        yield str(parts[window].tolist()).encode()


def test_an_outlet_that_only_hq_knows_is_not_counted(enrol: Callable[..., Forked]) -> None:
    network = enrol(4)
    network.start_office()
    network.start_services()
    network.start_outlets()
    wait_for(network, "O4", "introduced: ")
    Keyring(network.folder / "office", PartyKind.OFFICE).distrust(PartyKind.OUTLET, "O4")
    hq = network.start("escapement-hq", *HQ_NIGHT, home=network.folder / "hq")
    assert hq.wait(timeout=120) == 0
    report = network.read_night("n1")
    assert report.ended == "complete"
    assert {step.outlets for step in report.steps} == {3}
    failures = [step.failures for step in report.steps]
    assert failures[0] == {"seed at fault": 1}
    # In the sums after it O4 would be new by itself; whoever is new waits for company.
    assert all(
        set(one) <= {"seed at fault", "left out with others that are away"} for one in failures
    )
    assert all(failures)


def test_an_outlet_killed_in_mid_training_of_a_small_network_ends_it_and_is_named(
    enrol: Callable[..., Forked],
) -> None:
    """The sum of the other three, beside that of all four, would tell its part."""
    network = enrol(4, rounds=3)
    hq = start_night(network, "O1", "O3", "O4")
    dying = network.start_dying(
        "outlet_client.contribution.contributions:Outlet.answer", "before", 2,
        "escapement-outlet", "nightly", home=network.outlet("O2"),
    )  # fmt: skip
    assert hq.wait(timeout=120) == 1
    assert dying.wait(timeout=10) == 9
    report = network.read_night("n1")
    assert report.ended.startswith("QuorumNotMet: release n1/002-moments: 3 outlets answered")
    assert "without O2" in report.ended
    assert [step.outlets for step in report.steps] == [4]


OFFICE, STORE = "server.office.unlock:Office", "server.hq.store:HqStore"


def test_the_night_after_a_kill_is_complete_under_its_own_name(
    enrol: Callable[..., Forked],
) -> None:
    network = enrol(trainings=2)
    hq = start_night(network)
    while network.released() < 1:
        time.sleep(0.02)
        assert hq.poll() is None
    hq.send_signal(signal.SIGKILL)
    network.stop()
    (network.folder / "hq" / "nights" / "n1.json").unlink()  # or `serve` would take it up first
    report = night(network, "n2")
    assert report.ended == "complete"
    assert len([name for name in charges(network) if name.startswith("n2/")]) == len(CHARGED)


def test_a_paused_office_signs_nothing_and_the_night_says_so(
    enrol: Callable[..., Forked],
) -> None:
    network = enrol(trainings=2)
    assert night(network).ended == "complete"
    (network.folder / "office" / "paused").touch()
    before = network.ledger().entries
    report = night(network, "n2")
    assert "OfficeUnreachable: privacy office: no answer (paused)" in report.ended
    assert network.ledger().entries == before
    (network.folder / "office" / "paused").unlink()
    assert night(network, "n2").ended == "complete"


def test_processes_release_the_same_sums_as_one_process_to_the_last_bit(
    enrol: Callable[..., Forked],
) -> None:
    network = enrol(epsilon=None, rounds=2)
    report = night(network)
    assert report.ended == "complete"
    network.stop()
    assert len(report.steps) == len(RELEASES) + 1
    assert_sums_of_one_process(network, [step.release for step in report.steps])


def test_a_run_of_another_app_digest_is_refused_by_every_outlet(
    enrol: Callable[..., Forked],
) -> None:
    network = enrol()
    network.start_office()
    network.start_services()
    patch = "import server.hq.night_assembly as hq\nhq.app_digest = lambda: '00' * 32"
    home = network.folder / "hq"
    hq = network.start_patched(patch, "escapement-hq", *HQ_NIGHT, home=home)
    network.start_outlets()
    assert hq.wait(timeout=120) == 1
    report = network.read_night("n1")
    assert report.ended == "QuorumNotMet: roll call: 0 outlets answered, expected at least 3"
    for key, process in network.running.items():
        assert not key.endswith("nightly") or process.wait(timeout=30) is not None
    log = (network.outlet("O1") / "nightly.log").read_text()
    assert "HQ runs another release of escapement than is installed here" in log


FAIL = """
import outlet_client.contribution.contributions as c
def fail(self, question): raise KeyError("+65 9123 4567")
c.Outlet.answer = fail
"""

FULL = "from tests.federation.dying import fill_disk\nfill_disk({file!r}, {where!r})"


@pytest.mark.parametrize(
    ("patch", "type_name"),
    [
        (FAIL, "KeyError"),
        (
            FULL.format(
                file="outlet.db", where="outlet_client.contribution.contributions:Outlet.answer"
            ),
            "OperationalError",
        ),
    ],
    ids=["exception", "full disk"],
)
def test_a_failing_outlet_sends_its_errors_type_only_and_the_night_goes_on(
    enrol: Callable[..., Forked], patch: str, type_name: str
) -> None:
    """With a full disk the first releases succeed, and later ones that still fit into the file."""
    network = enrol(4, patience=PATIENT)
    home = network.outlet("O2")
    hq = start_night(network, "O1", "O3", "O4")
    network.start_patched(patch, "escapement-outlet", "nightly", home=home)
    assert hq.wait(timeout=120) == 0
    report = network.read_night("n1")
    assert report.ended == "complete"
    failed = [step for step in report.steps if step.failures]
    assert failed
    assert report.steps[0] not in failed or patch == FAIL
    assert len(failed) == len(RELEASES) or patch != FAIL
    assert all(step.failures == {type_name: 1} for step in failed)
    sums = [step for step in failed if step.purpose is not Purpose.POINTS]
    assert all(step.outlets == 3 for step in sums)  # of a seal, its last answer may count
    assert all(step.outlets == 4 for step in report.steps if step not in failed)
    assert network.running["O2 nightly"].wait(timeout=60) == 1
    network.stop()
    for file in (network.folder / "hq").rglob("*"):
        assert not file.is_file() or b"9123 4567" not in file.read_bytes()
    said = (home / "nightly.log").read_text()
    assert f"a question could not be answered: {type_name}" in " ".join(said.split())
    assert "9123 4567" not in said


@pytest.mark.parametrize("role", ["hq", "office"])
def test_a_full_disk_is_an_error_and_no_corruption(enrol: Callable[..., Forked], role: str) -> None:
    """SQLite refuses to grow; the night ends with an error; with room again it is resumed."""
    network = enrol()
    home, hq_home = network.folder / role, network.folder / "hq"
    if role == "office":
        patch = FULL.format(file="office.db", where=f"{OFFICE}.sign_night")
        network.start_patched(patch, "escapement-office", "serve", home=home)
        hq = start_night(network)
    else:
        network.start_office()
        network.start_services()
        patch = FULL.format(file="hq.db", where=f"{STORE}.add_night")
        hq = network.start_patched(patch, "escapement-hq", *HQ_NIGHT, home=hq_home)
        network.start_outlets()
    assert hq.wait(timeout=120) == 1
    stop_until_tomorrow(network)
    words = "".join(log.read_text() for log in hq_home.glob("*.log"))
    record = hq_home / "nights" / "n1.json"
    words += record.read_text() if record.exists() else ""
    expected = "the disk is full; make room" if role == "hq" else "no answer (INTERNAL)"
    assert expected in " ".join(words.split())
    assert "Traceback" not in words
    assert len(charges(network)) < len(CHARGED)
    report = night(network)
    assert report.ended == "complete"
    names = charges(network)
    assert len(names) == len(set(names)) == len(CHARGED)


def test_ctrl_c_ends_every_process_of_the_sandbox(tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "escapement-sandbox"
    sandbox = subprocess.Popen(  # noqa: S603  (our own program)
        [program, "night", "--runs", str(tmp_path), "--customers", "300"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    end = time.monotonic() + 60
    last = "*/outlets/O5/nightly.log"  # once it says something, every process was started
    while not any(log.stat().st_size for log in tmp_path.glob(last)) and time.monotonic() < end:
        time.sleep(0.1)
    assert len(running_in(tmp_path)) == 8
    sandbox.send_signal(signal.SIGINT)
    assert sandbox.wait(timeout=60) != 0
    assert running_in(tmp_path) == []


def running_in(folder: Path) -> list[str]:
    """Command lines of processes that name a folder, other than the sandbox itself."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line and "escapement-sandbox" not in line:
            lines.append(line)
    return lines


def test_an_outlet_that_cannot_read_its_ledger_says_so_and_joins_no_night(
    enrol: Callable[..., Forked],
) -> None:
    network = enrol(4)
    (network.outlet("O2") / "ledger.parquet").write_bytes(b"not parquet")
    settings = network.folder / "hq" / "hq.toml"
    waits = f"join_seconds = {JOIN_SECONDS}"
    assert waits in settings.read_text()
    settings.write_text(settings.read_text().replace(waits, "join_seconds = 10.0"))
    hq = start_night(network)
    assert hq.wait(timeout=120) == 0
    assert network.running["O2 nightly"].wait(timeout=60) == 1
    assert network.running["O1 nightly"].wait(timeout=60) == 0
    assert network.read_night("n1").cohort == ("O1", "O3", "O4")
    log = (network.outlet("O2") / "nightly.log").read_text()
    assert "the night failed: ledger.parquet: not readable as Parquet" in log
    assert "introduced: " in log


def test_serve_runs_a_night_when_it_is_time_and_stops_when_told(
    enrol: Callable[..., Forked],
) -> None:
    """Meanwhile the same program serves tokens, directories and the book."""
    network = enrol()
    home = network.folder / "hq"
    network.start_office()
    serving = network.start_patched(NIGHT_NOW, "escapement-hq", "serve", home=home)
    network.start_outlets()
    wait_until_over(network, "n1")
    report = network.read_night("n1")
    assert (report.ended, report.cohort) == ("complete", ("O1", "O2", "O3"))
    assert network.running["O1 nightly"].wait(timeout=30) == 0
    assert (network.outlet("O1") / "book.bin").exists()
    serving.terminate()
    assert serving.wait(timeout=20) == 0
