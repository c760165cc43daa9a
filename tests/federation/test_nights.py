"""Nights of real processes over TLS: complete, interrupted, and lied to."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from privacy.identity import Kind
from privacy.keyring import Keyring
from privacy.units import Unit
from sandbox.processes import ENVIRONMENT, Processes
from tests.networks import CUT_OFF, TARGET, small_world

if TYPE_CHECKING:
    from collections.abc import Callable

    from server.hq.night import NightReport

pytestmark = pytest.mark.federation


def night(network: Processes, name: str = "n1") -> NightReport:
    return network.night(name, str(CUT_OFF), TARGET)


def charges(network: Processes) -> list[str]:
    return [entry.release for entry in network.ledger().entries if entry.release]


def start_dying(
    network: Processes, where: str, when: str, number: int, role: str, home: Path, *arguments: str
) -> subprocess.Popen[bytes]:
    """Starts a role that will be killed; `network` ends it all the same."""
    command = [
        sys.executable, "-m", "tests.federation.dying", where, when, str(number), role,
        *arguments, "--home", str(home),
    ]  # fmt: skip
    with (home / "dying.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603  (our own program)
            command, stdout=log, stderr=log, env={**os.environ, **ENVIRONMENT}
        )
    network.running[f"dying {role}"] = process
    return process


def test_a_night_is_complete_and_neither_hq_nor_the_office_holds_a_customer(
    enrol: Callable[..., Processes],
) -> None:
    network = enrol()
    report = night(network)
    assert report.ended == "complete"
    assert report.cohort == ("O1", "O2", "O3", "O4")
    assert len(charges(network)) == 4
    spent = network.ledger().epsilon(Unit.CUSTOMER, int(time.time()))
    assert spent is not None
    assert 0.999 <= spent <= 1.0
    written = b"".join(
        file.read_bytes()
        for role in ("hq", "office")
        for file in (network.folder / role).rglob("*")
        if file.is_file()
    )
    assert len(written) > 20_000
    for customer in small_world(customers=300).customers:
        name = customer.encode()
        for form in (
            name,
            hashlib.sha256(name).hexdigest().encode(),
            hashlib.sha256(name).digest(),
            base64.b64encode(name).rstrip(b"="),
        ):
            assert form not in written
    for event in small_world(customers=300).snapshot.history.head(500).iter_rows(named=True):
        assert f"{event['price']:.2f}".encode() not in re.sub(rb"[0-9a-f]{32,}", b"", written)


def test_an_outlet_that_only_hq_knows_is_not_counted(enrol: Callable[..., Processes]) -> None:
    network = enrol()
    Keyring(network.folder / "office", Kind.OFFICE).distrust(Kind.OUTLET, "O4")
    report = night(network)
    assert report.ended == "complete"
    assert {step.outlets for step in report.steps} == {3}
    assert all(step.failures == {"seed at fault": 1} for step in report.steps)


def test_an_outlet_killed_in_mid_round_leaves_the_night_finishing_without_it(
    enrol: Callable[..., Processes],
) -> None:
    network = enrol(rounds=3)
    home = network.outlet("O2")
    network.start_office()
    hq = network.start(
        "escapement-hq",
        "night",
        "--name",
        "n1",
        "--cut-off",
        str(CUT_OFF),
        home=network.folder / "hq",
    )
    for name in ("O1", "O3", "O4"):
        network.start("escapement-outlet", "nightly", home=network.outlet(name))
    dying = start_dying(
        network, "outlet_client.contribute:Outlet.answer", "before", 2, "outlet", home, "nightly"
    )
    assert hq.wait(timeout=120) == 0
    assert dying.wait(timeout=10) == 9
    report = network.read_night("n1", TARGET)
    assert report.ended == "complete"
    assert [step.outlets for step in report.steps] == [4, 3, 3, 3, 3, 3]
    assert report.steps[1].failures == {"no answer": 1}


OFFICE_STEPS = [
    ("server.office.ledger_store:Transaction.add_night", "before", 1),
    ("server.office.unlock:Office.sign_night", "after", 1),
    ("server.office.ledger_store:Transaction.add_release", "before", 2),
    ("server.office.unlock:Office.sign_release", "after", 2),
    ("server.office.unlock:Office._charge", "before", 2),
    ("server.office.unlock:Office._charge", "after", 2),
    ("server.office.unlock:Office._draw", "after", 2),
    ("server.office.unlock:Office._store_answer", "after", 2),
    ("server.office.unlock:Office.close_night", "before", 1),
    ("server.office.unlock:Office.close_night", "after", 1),
]
HQ_STEPS = [
    ("server.hq.store:HqStore.add_plan", "before", 2),
    ("server.hq.store:HqStore.add_plan", "after", 2),
    ("server.hq.store:HqStore.add_sum", "before", 2),
    ("server.hq.store:HqStore.add_sum", "after", 2),
    ("server.hq.store:HqStore.add_values", "before", 2),
    ("server.hq.store:HqStore.add_values", "after", 2),
]
HQ_NIGHT = ("night", "--name", "n1", "--cut-off", str(CUT_OFF))


@pytest.mark.parametrize(
    ("role", "step"),
    [("office", step) for step in OFFICE_STEPS] + [("hq", step) for step in HQ_STEPS],
    ids=lambda value: value if isinstance(value, str) else f"{value[1]} {value[0].split('.')[-1]}",
)
def test_a_kill_at_any_step_neither_loses_nor_repeats_a_charge(
    enrol: Callable[..., Processes], role: str, step: tuple[str, str, int]
) -> None:
    """The role is killed, everything is started again, and the same night ends complete."""
    network = enrol(outlets=3)
    hq_home, office_home = network.folder / "hq", network.folder / "office"
    if role == "office":
        dying = start_dying(network, *step, "office", office_home, "serve")
        network.start("escapement-hq", *HQ_NIGHT, home=hq_home)
    else:
        network.start_office()
        dying = start_dying(network, *step, "hq", hq_home, *HQ_NIGHT)
    network.start_outlets()
    assert dying.wait(timeout=60) == 9
    network.stop()
    before = charges(network)
    assert len(before) == len(set(before)) <= 2 or "close_night" in step[0]

    report = night(network)
    assert report.ended == "complete"
    assert report.cohort == ("O1", "O2", "O3")
    after = charges(network)
    assert after[: len(before)] == before
    assert len(after) == len(set(after)) == 4


def test_the_night_after_a_kill_is_complete_under_its_own_name(
    enrol: Callable[..., Processes],
) -> None:
    network = enrol(outlets=3, trainings=2)
    network.start_office()
    hq = network.start("escapement-hq", *HQ_NIGHT, home=network.folder / "hq")
    network.start_outlets()
    while network.released() < 1:
        time.sleep(0.02)
        assert hq.poll() is None
    hq.send_signal(signal.SIGKILL)
    network.stop()
    report = night(network, "n2")
    assert report.ended == "complete"
    assert len([name for name in charges(network) if name.startswith("n2/")]) == 4


def test_a_paused_office_signs_nothing_and_the_night_says_so(
    enrol: Callable[..., Processes],
) -> None:
    network = enrol(outlets=3)
    (network.folder / "office" / "paused").touch()
    report = night(network)
    assert "OfficeUnreachable: privacy office: no answer (paused)" in report.ended
    assert network.ledger().entries == ()
    (network.folder / "office" / "paused").unlink()
    assert night(network).ended == "complete"


def test_processes_release_the_same_sums_as_one_process_to_the_last_bit(
    enrol: Callable[..., Processes],
) -> None:
    from sandbox.network import Network, Settings
    from server.hq.store import HqStore

    network = enrol(epsilon=None, rounds=2)
    assert night(network).ended == "complete"
    world = small_world(outlets=4, customers=300)
    everybody = world.fold >= 0
    local = Network.build(
        world.members(TARGET, world.y, everybody),
        world.customers,
        Settings.one_training(None, 1e-6, 2),
    )
    assert local.night("n1", str(CUT_OFF), TARGET, points=True).ended == "complete"
    store = HqStore(f"sqlite:///{network.folder / 'hq' / 'hq.db'}")
    purposes = ("moments", "training", "training", "evaluation", "points")
    for number, purpose in enumerate(purposes, start=1):
        name = f"n1/{TARGET}/{number:03d}-{purpose}"
        here, there = local.hq_store.checkpoint(name), store.checkpoint(name)
        assert here is not None
        assert there is not None
        assert here.values is not None
        assert there.values is not None
        assert here.values.tobytes() == there.values.tobytes()
    store.close()


def start_patched(
    network: Processes, patch: str, module: str, home: Path, *arguments: str
) -> subprocess.Popen[bytes]:
    """Starts a role's program after a line of Python."""
    program = f"{patch}\nimport {module} as m\nm.app({[*arguments, '--home', str(home)]!r})"
    with (home / "patched.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603  (our own program)
            [sys.executable, "-c", program], stdout=log, stderr=log,
            env={**os.environ, **ENVIRONMENT},
        )  # fmt: skip
    network.running[f"patched {home.name}"] = process
    return process


def test_a_run_of_another_app_digest_is_refused_by_every_outlet(
    enrol: Callable[..., Processes],
) -> None:
    network = enrol(outlets=3)
    home = network.folder / "hq"
    network.start_office()
    patch = "import server.hq.main as hq\nhq.app_digest = lambda: '00' * 32"
    hq = start_patched(network, patch, "server.hq.main", home, *HQ_NIGHT)
    network.start_outlets()
    assert hq.wait(timeout=120) == 1
    report = network.read_night("n1", TARGET)
    assert report.ended == "QuorumNotMet: roll call: 0 outlets answered, expected at least 3"
    for process in list(network.running.values()):
        process.wait(timeout=30) if "escapement-outlet" in str(process.args) else None
    log = (network.outlet("O1") / "nightly.log").read_text()
    assert "HQ runs another release of escapement than is installed here" in log


FAIL = """
import outlet_client.contribute as c
def fail(self, question): raise KeyError("+65 9123 4567")
c.Outlet.answer = fail
"""

FULL = """
import sqlalchemy as sa
@sa.event.listens_for(sa.Engine, "connect")
def full(connection, _): connection.execute("PRAGMA max_page_count = {pages}")
"""


@pytest.mark.parametrize(
    ("patch", "type_name", "failing"),
    [(FAIL, "KeyError", 4), (FULL.format(pages=5), "OperationalError", 1)],
    ids=["exception", "full disk"],
)
def test_a_failing_outlet_sends_its_errors_type_only_and_the_night_goes_on(
    enrol: Callable[..., Processes], patch: str, type_name: str, failing: int
) -> None:
    """With a full disk the last release fails, whose answer is too large for the pages left."""
    network = enrol()
    home = network.outlet("O2")
    network.start_office()
    hq = network.start("escapement-hq", *HQ_NIGHT, home=network.folder / "hq")
    for name in ("O1", "O3", "O4"):
        network.start("escapement-outlet", "nightly", home=network.outlet(name))
    start_patched(network, patch, "outlet_client.main", home, "nightly")
    assert hq.wait(timeout=120) == 0
    report = network.read_night("n1", TARGET)
    assert report.ended == "complete"
    assert [step.outlets for step in report.steps[-failing:]] == [3] * failing
    assert all(step.failures == {type_name: 1} for step in report.steps[-failing:])
    network.stop()
    for file in (network.folder / "hq").rglob("*"):
        assert not file.is_file() or b"9123 4567" not in file.read_bytes()
    said = (home / "patched.log").read_text()
    assert f"a question could not be answered: {type_name}" in " ".join(said.split())
    assert "9123 4567" not in (home / "patched.log").read_text()


@pytest.mark.parametrize(("role", "pages"), [("hq", 6), ("office", 10)])
def test_a_full_disk_is_an_error_and_no_corruption(
    enrol: Callable[..., Processes], role: str, pages: int
) -> None:
    """SQLite refuses to grow; the night ends with an error; with room again it is resumed."""
    network = enrol(outlets=3)
    home = network.folder / role
    patch = FULL.format(pages=pages)
    if role == "office":
        start_patched(network, patch, "server.office.main", home, "serve")
        hq = network.start("escapement-hq", *HQ_NIGHT, home=network.folder / "hq")
    else:
        network.start_office()
        hq = start_patched(network, patch, "server.hq.main", home, *HQ_NIGHT)
    network.start_outlets()
    assert hq.wait(timeout=120) == 1
    network.stop()
    words = "".join(log.read_text() for log in (network.folder / "hq").glob("*.log"))
    expected = "is the disk full?" if role == "hq" else "no answer (INTERNAL)"
    assert expected in " ".join(words.split())
    assert "Traceback" not in words
    network.ledger().verify()
    report = night(network)
    assert report.ended == "complete"
    names = charges(network)
    assert len(names) == len(set(names)) == 4


def test_ctrl_c_ends_every_process_of_the_sandbox(tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "escapement-sandbox"
    sandbox = subprocess.Popen(  # noqa: S603  (our own program)
        [program, "night", "--runs", str(tmp_path), "--customers", "300"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    end = time.monotonic() + 60
    while not list(tmp_path.glob("*/outlets/*/nightly.log")) and time.monotonic() < end:
        time.sleep(0.1)
    assert running_in(tmp_path)
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


def test_an_outlet_that_cannot_read_its_ledger_says_so_after_goodnight(
    enrol: Callable[..., Processes],
) -> None:
    network = enrol()
    (network.outlet("O2") / "ledger.parquet").write_bytes(b"not parquet")
    network.start_office()
    hq = network.start("escapement-hq", *HQ_NIGHT, home=network.folder / "hq")
    network.start_outlets()
    assert hq.wait(timeout=120) == 0
    assert network.running["O2 nightly"].wait(timeout=30) == 1
    assert network.running["O1 nightly"].wait(timeout=30) == 0
    assert network.read_night("n1", TARGET).cohort == ("O1", "O3", "O4")
    log = (network.outlet("O2") / "nightly.log").read_text()
    assert "error: ledger.parquet: not readable as Parquet or CSV" in " ".join(log.split())


def test_serve_runs_a_night_when_it_is_time_and_stops_when_told(
    enrol: Callable[..., Processes],
) -> None:
    network = enrol(outlets=3)
    home = network.folder / "hq"
    patch = (
        "import server.hq.main as hq\n"
        "waits = iter([0.1])\n"
        "hq.HqFile.seconds_until_night = lambda self, now: next(waits, 1e6)\n"
        f"run = hq.run_night\nhq.run_night = lambda home, name, cut: run(home, 'n1', '{CUT_OFF}')"
    )
    network.start_office()
    serving = start_patched(network, patch, "server.hq.main", home, "serve")
    network.start_outlets()
    end = time.monotonic() + 90
    while not (home / "nights" / "n1.json").exists() and time.monotonic() < end:
        time.sleep(0.1)
    assert network.read_night("n1", TARGET).ended == "complete"
    serving.terminate()
    assert serving.wait(timeout=20) == 0
