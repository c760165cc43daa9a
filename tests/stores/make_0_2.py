"""Made the SQL dumps in `0.2/`, once: what stores held before they had a revision (918417d).

Upgrades are tried on these dumps, so that people who have such stores keep what is in them. To make
them again: check 918417d out into a folder of its own, and from there, in its environment,

    PYTHONPATH=. python .../tests/stores/make_0_2.py .../tests/stores/0.2

It runs two nights of a tiny simulated network, as processes, and what staff do between: accounts,
a consent, look-ups, an allocation, a sighting, a request, a withdrawal. Keys are thrown away.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from sandbox.market import simulated_market
from sandbox.network import Settings
from sandbox.processes import Processes, address_of
from sandbox.replay import TrainOn, World

OUTCOMES = ("y_loyal", "y_flipped")
OUTLETS, CUSTOMERS, SEED = 3, 100, 5


def main(out: Path) -> None:
    """Runs the network and writes a dump a store."""
    random = np.random.default_rng(SEED)
    market = simulated_market(random, outlets=OUTLETS, customers=CUSTOMERS)
    world = World.of_market(market, random)
    y = {outcome: world.outcomes(TrainOn.HOME, outcome) for outcome in OUTCOMES}
    everybody = np.ones(len(world.customers), dtype=bool)
    cut_off, as_of = str(world.snapshot.cut_off), world.snapshot.horizon_end.isoformat()
    with tempfile.TemporaryDirectory() as folder:
        network = Processes.enrol(Path(folder), world, y, everybody, Settings.of_a_year(4))
        try:
            network.add_newcomer("newcomer")
            network.night("first", cut_off, as_of)
            home = Path(folder) / "outlets" / "O1"
            known = (world.homes == "O1").to_numpy()
            names = world.customers.filter(known).to_list()
            scarce = market.references.filter(market.references["tier"] == "allocation")
            reference = scarce["reference"][0]
            network.look_up("O1", address_of(names[0]), reference, consent=False)
            serial = market.ledger.filter(market.ledger["outlet_id"] == "O1")["serial"].drop_nulls()
            for words in (
                ["staff", "add", "Mei Lin", "--role", "manager"],
                ["staff", "add", "Arun", "--role", "associate"],
                ["allocate", "--reference", reference, "--pieces", "1"],
                ["allocation", "accept", "1", "--by", "Mei Lin"],
                ["sightings", "report", serial[0], "--by", "Arun", "--where", "a forum"],
                ["customer", "dispute", "--about", "a band", "--email", address_of(names[1])],
                ["reasons", "--email", address_of(names[1]), "--purpose", "customer"],
            ):
                _outlet(home, words)
            network.withdraw("O1", address_of(names[2]))
            network.night("second", cut_off, as_of)
        finally:
            network.stop()
        for role in ("hq", "office", "outlets/O1"):
            for store in sorted((Path(folder) / role).glob("*.db")):
                target = out / f"{role.rpartition('/')[2].lower()}-{store.stem}.sql"
                target.parent.mkdir(parents=True, exist_ok=True)
                _dump(store, target, folder)


def _outlet(home: Path, words: list[str]) -> None:
    """Runs a command of the outlet's; what it cannot do is said, and the others go on."""
    command = [Path(sys.executable).parent / "escapement-outlet", *words, "--home", str(home)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        sys.stderr.write(f"{' '.join(words[:2])}: exit {done.returncode} {done.stderr[-300:]}\n")


def _dump(store: Path, target: Path, folder: str) -> None:
    """Writes a store as SQL, as if the network had stood in `/srv/escapement`."""
    connection = sqlite3.connect(store)
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    lines = [f"PRAGMA user_version={version};", *connection.iterdump()]
    text = "\n".join(lines) + "\n"
    target.write_text(text.replace(folder, "/srv/escapement"))
    connection.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
