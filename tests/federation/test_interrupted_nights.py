"""Nights of `serve` that something ended: power cuts, stops, faults, a typo, a bad record."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING

import pytest

from privacy.purposes import Purpose
from tests.federation.nights import (
    NIGHT_NOW,
    NO_NIGHT_NOW,
    PATIENT,
    RELEASES,
    charges,
    record_of,
    tail,
    wait_for_words,
    wait_until_over,
)
from tests.networks import CUT_OFF

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.federation.forked import Forked

pytestmark = pytest.mark.federation

NAMES = [
    f"n1/{number:03d}-{what}"
    for number, what in enumerate(RELEASES, start=1)
    if what != Purpose.POINTS
]
"""What a whole night n1 is charged for."""

SOON = 5.0
"""Seconds a stop may take, on two cores that other tests use too."""


def serve(network: Forked, patch: str) -> subprocess.Popen[bytes]:
    return network.start_patched(patch, "escapement-hq", "serve", home=network.folder / "hq")


def die(where: str, when: str, number: int) -> str:
    """A patch that kills its process around a call."""
    return f"from tests.federation.dying import die\ndie({where!r}, {when!r}, {number})\n"


def stopped_soon(network: Forked) -> None:
    """Stops `serve`; it ends by itself, well and soon, and leaves the night to be taken up."""
    process, began = network.running["hq serve"], time.monotonic()
    process.terminate()
    assert process.wait(timeout=30) == 0, tail(network.folder / "hq" / "serve.log")
    assert time.monotonic() - began < SOON
    assert record_of(network)["state"] == "running"


def assert_complete(network: Forked) -> None:
    """Night n1 is complete, was charged once, and its outlets ended well."""
    wait_until_over(network)
    record = record_of(network)
    assert record["ended"] == "complete"
    assert (record["cut_off"], record["as_of"]) == (str(CUT_OFF), str(CUT_OFF))
    assert record["book"] is not None
    assert charges(network) == NAMES
    for name, process in network.running.items():
        assert not name.endswith("nightly") or process.wait(timeout=30) == 0, name


def kill(*processes: subprocess.Popen[bytes]) -> None:
    for process in processes:
        process.send_signal(signal.SIGKILL)
    for process in processes:
        process.wait(timeout=10)


def test_hq_and_the_office_killed_in_a_training_end_that_night_with_the_same_charges(
    enrol: Callable[..., Forked],
) -> None:
    network = enrol(patience=PATIENT)
    network.start_office()
    serve(network, NIGHT_NOW)
    network.start_outlets()
    end = time.monotonic() + 60
    while network.released() < 1:
        assert time.monotonic() < end, tail(network.folder / "hq" / "serve.log")
        time.sleep(0.01)
    kill(network.running["hq serve"], network.running["office serve"])
    before = charges(network)
    assert record_of(network)["state"] == "running"
    time.sleep(1)
    network.start_office()
    serve(network, NO_NIGHT_NOW)
    assert_complete(network)
    assert charges(network)[: len(before)] == before
    assert record_of(network)["starts"] == 2
    assert "HQ went away before its goodnight" in (network.outlet("O1") / "nightly.log").read_text()


RECORDS, LINK = "server.hq.night_record:NightRecords.keep", "server.hq.flower_link:FlowerLink"
CUTS = [
    (RECORDS, "after", 1),  # it began
    (RECORDS, "before", 2),  # its plan is signed
    (f"{LINK}.release", "after", 2),
    ("server.hq.night:HqNight._publish", "after", 1),
    (RECORDS, "after", 3),  # all is done but the goodnight
    (f"{LINK}.goodnight", "after", 1),  # nobody is there any more
    ("server.hq.office_client:OfficeClient.close_night", "after", 1),
]


def test_a_night_that_is_cut_again_and_again_is_taken_up_to_its_end(
    enrol: Callable[..., Forked],
) -> None:
    """Outlets' nights are begun once; what dies is `serve`, at one moment after another."""
    network = enrol(patience=PATIENT)
    network.start_office()
    network.start_outlets()
    leave = "import server.hq.night_assembly as a\na.LEAVE_SECONDS = {}\n"
    begin = NIGHT_NOW
    for where, when, number in CUTS:
        waits = leave.format(30 if where.endswith("goodnight") else 0.5)  # all hear it then
        dying = serve(network, waits + begin + die(where, when, number))
        assert dying.wait(timeout=60) == 9, (where, when, tail(network.folder / "hq" / "serve.log"))
        assert record_of(network)["state"] != "over"
        begin = NO_NIGHT_NOW
    serve(network, leave.format(0.5) + begin)
    assert_complete(network)
    assert record_of(network)["starts"] == len(CUTS) + 1


def test_a_fault_in_the_night_is_tried_again_while_hq_serves_on(
    enrol: Callable[..., Forked],
) -> None:
    network = enrol(patience=PATIENT)
    fault = (
        "import server.hq.release_store as r\n"
        "faults, add = iter([1]), r.ReleaseStore.add_values\n"
        "def fail(self, release, values):\n"
        "    if 'moments' in release and next(faults, None): raise KeyError('+65 9123 4567')\n"
        "    add(self, release, values)\n"
        "r.ReleaseStore.add_values = fail\n"
    )
    network.start_office()
    serve(network, NIGHT_NOW + fault)
    network.start_outlets()
    assert_complete(network)
    said = (network.folder / "hq" / "serve.log").read_text()
    assert "night n1: KeyError; again in" in said
    assert "9123" not in said
    assert network.running["hq serve"].poll() is None


HANGS = """
import time
import {module} as m
def hang(*_):
    print("hangs", flush=True)
    time.sleep(60)
m.{method} = hang
"""


@pytest.mark.parametrize("where", ["joining", "round", "transfer"])
def test_a_stop_takes_seconds_and_leaves_the_night_to_be_taken_up(
    enrol: Callable[..., Forked], where: str
) -> None:
    network = enrol(patience=PATIENT)
    office, outlet = network.folder / "office", network.outlet("O1")
    if where == "transfer":
        hangs = HANGS.format(module="server.office.sealing", method="Sealing.chunk")
        network.start_patched(hangs, "escapement-office", "serve", home=office)
    else:
        network.start_office()
    serve(network, NIGHT_NOW)
    if where == "joining":
        wait_for_words(network.folder / "hq" / "serve.log", "next night in 0 minutes")
        end = time.monotonic() + 30
        while not record_of(network):
            assert time.monotonic() < end
            time.sleep(0.02)
        time.sleep(0.5)
    elif where == "round":
        hangs = HANGS.format(
            module="outlet_client.contribution.contributions", method="Outlet.answer"
        )
        for name in ("O2", "O3"):
            network.start("escapement-outlet", "nightly", home=network.outlet(name))
        network.start_patched(hangs, "escapement-outlet", "nightly", home=outlet)
        wait_for_words(outlet / "nightly.log", "hangs")
    else:
        network.start_outlets()
        wait_for_words(office / "serve.log", "hangs")
    stopped_soon(network)

    if where == "transfer":
        kill(network.running["office serve"])
        network.start_office()
    elif where == "round":
        kill(network.running["O1 nightly"])
        network.start("escapement-outlet", "nightly", home=outlet)
    else:
        network.start_outlets()
    serve(network, NO_NIGHT_NOW)
    assert_complete(network)
    began = time.monotonic()
    network.running["hq serve"].send_signal(signal.SIGINT)
    assert network.running["hq serve"].wait(timeout=30) == 0  # between two nights
    assert time.monotonic() - began < SOON


def test_a_typo_while_hq_serves_costs_no_night_and_is_named(enrol: Callable[..., Forked]) -> None:
    network = enrol(patience=PATIENT)
    home = network.folder / "hq"
    file, log = home / "hq.toml", home / "serve.log"
    good = file.read_text()
    later = NIGHT_NOW.replace("timedelta(0)", "timedelta(seconds=4)")
    network.start_office()
    serve(network, f"{later}\nnights.LOOK_SECONDS = 0.2\n")
    wait_for_words(log, "next night in 0 minutes")
    file.write_text(good.replace("quorum = 3", "quorom = 3"))
    wait_for_words(log, "hq.toml: training.quorom: got an unknown key, expected perhaps quorum")
    said = network.command("escapement-hq", "status", home=home)
    assert (said.code, "Serving: yes, the next night" in said.words) == (0, True)
    assert "training.quorom: got an unknown key, expected perhaps quorum" in said.words
    assert "`serve` goes on with the settings of before" in said.words
    network.start_outlets()  # they need tokens first, which the same program gives
    assert_complete(network)
    introduced = (network.outlet("O1") / "nightly.log").read_text()
    assert "introduced: " in introduced
    assert "introduced: 0 new tokens" not in introduced
    file.write_text(good)
    wait_for_words(log, "hq.toml: good again")
    found = json.loads(network.command("escapement-hq", "status", "--json", home=home).out)
    assert (found["serving"], found["wrong"], found["unfinished"]) == (True, [], [])
    assert found["last_complete"] == "n1"
    assert found["hours_since_complete"] < 0.1


def test_at_its_start_hq_refuses_wrong_settings_with_exit_code_2(
    enrol: Callable[..., Forked],
) -> None:
    network = enrol()
    home = network.folder / "hq"
    file = home / "hq.toml"
    file.write_text(file.read_text().replace("quorum = 3", "quorum = 1"))
    said = network.command("escapement-hq", "serve", home=home)
    assert said.code == 2
    assert "training.quorum: got 1, expected greater than or equal to 2" in said.words


def test_a_night_that_failed_at_once_leaves_a_record_and_a_truncated_one_is_named(
    enrol: Callable[..., Forked],
) -> None:
    network = enrol()
    home = network.folder / "hq"
    for card in (home / "peers").glob("office-*"):
        card.unlink()
    said = network.command("escapement-hq", "night", "--name", "n1", home=home)
    assert said.code == 1
    (home / "nights" / "n2.json").write_bytes((home / "nights" / "n1.json").read_bytes()[:40])
    (home / "nights" / "n3.json").mkdir()
    (home / "nights" / "n4.cut-off").write_text("2025-0")
    said = network.command("escapement-hq", "status", home=home)
    assert said.code == 0
    for words in (
        "Unfinished: night n1: ", "cards of office, expected 1", "nights/n2.json: got",
        "nights/n3.json: got Is a directory", "nights/n4.cut-off: got b'2025-0', expected a day",
        "night --name n1` does now",
    ):  # fmt: skip
        assert words in said.words, said.words
    found = json.loads(network.command("escapement-hq", "status", "--json", home=home).out)
    assert len(found["wrong"]) == 3
    assert found["last_night"]["night"] == "n1"
    said = network.command("escapement-hq", "night", "--name", "n2", home=home)
    assert (said.code, "nights/n2.json: got" in said.words) == (1, True)
