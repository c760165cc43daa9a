"""A night whose office, or whose HQ, is killed at one step after another: charged once, complete.

Outlets' nights are begun once and stay, and so does the server that is not killed: each kill costs
one start. What was killed goes on where it stood, so most kills hit the same release.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from privacy.purposes import Purpose
from tests.federation.dying import KILLED
from tests.federation.nights import (
    HQ_NIGHT,
    NIGHT_NOW,
    PATIENT,
    RELEASES,
    charges,
    end_night,
    last_words,
    wait_for_words,
    wait_until_over,
)

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.federation.forked import Forked

pytestmark = pytest.mark.federation

LEDGER, OFFICE = "server.office.ledger_store:Transaction", "server.office.unlock:Office"
STORE, REGISTRY = "server.hq.store:HqStore", "server.hq.registry:Registry"
PUBLICATIONS = "server.office.publications:Publications"
SEALS_AT_OFFICE = "server.office.seal_store:SealStore"
OFFICE_STEPS = [
    ("server.office.relay:Relay.submit", "after"),
    ("server.office.relay:Relay.collect", "after"),
    (f"{PUBLICATIONS}.countersign_directory", "before"),
    (f"{PUBLICATIONS}.countersign_directory", "after"),
    (f"{LEDGER}.add_night", "before"),
    (f"{OFFICE}.sign_night", "after"),
    (f"{LEDGER}.add_release", "before"),
    (f"{OFFICE}.sign_release", "after"),
    (f"{OFFICE}._charge", "before"),
    (f"{OFFICE}._charge", "after"),
    (f"{OFFICE}._draw", "after"),
    (f"{OFFICE}._store_answer", "after"),
    (f"{SEALS_AT_OFFICE}.add", "before"),
    (f"{OFFICE}.sign_seal", "after"),
    (f"{SEALS_AT_OFFICE}.store_set", "before"),
    ("server.office.seed_store:SeedStore.keep", "after"),
    (f"{OFFICE}.store_set", "after"),
    (f"{SEALS_AT_OFFICE}.take_choices", "before"),
    (f"{SEALS_AT_OFFICE}.take_choices", "after"),
    (f"{SEALS_AT_OFFICE}.pass_chunk", "after"),
    (f"{OFFICE}.close_seal", "before"),
    (f"{OFFICE}.close_seal", "after"),
    (f"{PUBLICATIONS}.countersign_book", "before"),
    (f"{PUBLICATIONS}.countersign_book", "after"),
    (f"{OFFICE}.close_night", "before"),
    (f"{OFFICE}.close_night", "after"),
]
HQ_STEPS = [
    (f"{REGISTRY}.apply", "before"),
    (f"{REGISTRY}.apply", "after"),
    (f"{REGISTRY}.publish", "before"),
    (f"{REGISTRY}.publish", "after"),
    (f"{STORE}.add_night", "before"),
    (f"{STORE}.add_night", "after"),
    (f"{STORE}.add_plan", "before"),
    (f"{STORE}.add_plan", "after"),
    (f"{STORE}.add_sum", "before"),
    (f"{STORE}.add_sum", "after"),
    (f"{STORE}.add_values", "before"),
    (f"{STORE}.add_values", "after"),
    (f"{STORE}.add_draft", "before"),
    (f"{STORE}.add_draft", "after"),
    (f"{STORE}.add_seal_plan", "after"),
    (f"{STORE}.add_answers", "after"),
    (f"{STORE}.add_seal_sum", "after"),
    (f"{STORE}.add_set", "before"),
    (f"{STORE}.add_set", "after"),
    (f"{STORE}.add_choices", "before"),
    (f"{STORE}.add_choices", "after"),
    (f"{STORE}.add_codes", "before"),
    (f"{STORE}.add_codes", "after"),
    (f"{STORE}.add_entries", "before"),
    (f"{STORE}.add_entries", "after"),
    (f"{STORE}.add_fine_book", "after"),
    (f"{STORE}.forget_fine_book", "after"),
    (f"{REGISTRY}.draft", "after"),
    (f"{REGISTRY}.add_book", "before"),
    (f"{REGISTRY}.add_book", "after"),
]


SOON = """
import outlet_client.night.flower_node as node
node._FIRST_WAIT = node._LONGEST_WAIT = 0.1
"""
"""Lets an outlet join again at once."""


def start_outlets(network: Forked) -> None:
    for name in ("O1", "O2", "O3"):
        network.start_patched(SOON, "escapement-outlet", "nightly", home=network.outlet(name))


class Charged:
    """What was charged so far: of what was charged before nothing is lost or charged again."""

    def __init__(self, network: Forked) -> None:
        self.network, self.before = network, list[str]()

    def check(self) -> None:
        now = charges(self.network)
        assert now[: len(self.before)] == self.before
        assert len(now) == len(set(now))
        self.before = now


def killed(network: Forked, dying: subprocess.Popen[bytes], where: str, when: str) -> None:
    assert dying.wait(timeout=60) == KILLED, (where, when, last_words(network.folder / "hq"))


def assert_complete(network: Forked) -> None:
    """Night n1 is complete, and a book of it published; nothing was charged twice."""
    report = network.read_night("n1")
    assert report.ended == "complete"
    assert report.cohort == ("O1", "O2", "O3")
    assert report.book is not None
    numbered = [f"n1/{n:03d}-{what}" for n, what in enumerate(RELEASES, start=1)]
    assert charges(network) == [name for name in numbered if not name.endswith(Purpose.POINTS)]
    spent = network.ledger().epsilon(int(time.time()))
    assert spent is not None
    assert spent <= 1.0


@pytest.mark.slow
def test_an_hq_killed_at_any_step_neither_loses_nor_repeats_a_charge(
    enrol: Callable[..., Forked],
) -> None:
    network = enrol(patience=PATIENT)
    home, charged = network.folder / "hq", Charged(network)
    network.start_office()
    network.start_services()
    wait_for_words(home / "serve.log", "next night in")
    start_outlets(network)
    for where, when in HQ_STEPS:
        dying = network.start_dying(where, when, 1, "escapement-hq", *HQ_NIGHT, home=home)
        killed(network, dying, where, when)
        charged.check()
    hq = network.start("escapement-hq", *HQ_NIGHT, home=home)
    assert hq.wait(timeout=60) == 0, last_words(home)
    assert_complete(network)


@pytest.mark.slow
def test_an_office_killed_at_any_step_neither_loses_nor_repeats_a_charge(
    enrol: Callable[..., Forked],
) -> None:
    """HQ's `serve` stays too, and takes the night up; of a night that is over, one by hand does."""
    network = enrol(patience=PATIENT)
    home, hq, charged = network.folder / "office", network.folder / "hq", Charged(network)

    def dies(where: str, when: str) -> subprocess.Popen[bytes]:
        return network.start_dying(where, when, 1, "escapement-office", "serve", home=home)

    (handed_in, *steps), last = OFFICE_STEPS[:-1], OFFICE_STEPS[-1]
    dying = dies(*handed_in)
    begin = NIGHT_NOW.replace("timedelta(0)", "timedelta(seconds=3)")
    begin += "nights.FIRST_WAIT = nights.LONGEST_WAIT = 0.2\n"
    network.start_patched(begin, "escapement-hq", "serve", home=hq)
    start_outlets(network)
    killed(network, dying, *handed_in)
    end_night(network)  # who could not hand in is begun again
    dying = dies(*steps[0])
    start_outlets(network)
    for place, step in enumerate(steps, start=1):
        killed(network, dying, *step)
        charged.check()
        if place < len(steps):
            dying = dies(*steps[place])
    wait_until_over(network)  # only the office's end of it is missing
    assert_complete(network)
    end_night(network)
    (hq / "nights" / "n1.json").unlink()
    dying = dies(*last)
    by_hand = network.start("escapement-hq", *HQ_NIGHT, home=hq)
    start_outlets(network)
    killed(network, dying, *last)
    assert by_hand.wait(timeout=60) == 0
    charged.check()
    assert_complete(network)
