"""Disks that are full or read-only, real ones, under real programs: said as such, and no loss.

They are file systems in memory, which only root can mount; elsewhere these tests are skipped.
"""

from __future__ import annotations

import shutil
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from tests.federation.nights import (
    NIGHT_NOW,
    PATIENT,
    charges,
    record_of,
    wait_for_words,
    wait_until_over,
)
from tests.federation.test_interrupted_nights import NAMES, assert_complete, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.federation.forked import Forked

pytestmark = pytest.mark.federation

_SIZE = "24m"
_FILL = "filled"


def _mount(*arguments: object) -> bool:
    program = shutil.which("mount")
    if program is None:
        return False
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, check=False)  # noqa: S603  (a file system of the test's own)
    return done.returncode == 0


@contextmanager
def own_disk(network: Forked, home: Path) -> Iterator[Path]:
    """Puts a folder on a file system of its own; skips the test where nobody may mount one.

    What programs log stays outside: else no log could say that the disk is full.
    """
    logs = network.folder / f"{home.name} logs"
    logs.mkdir()
    before = home.with_name(f"{home.name} before")
    home.rename(before)
    home.mkdir(mode=0o700)
    if not _mount("-t", "tmpfs", "-o", f"size={_SIZE},mode=700", "none", home):
        pytest.skip("only root can mount a file system")
    try:
        shutil.copytree(before, home, dirs_exist_ok=True)
        for name in ("serve.log", "nightly.log", "night.log"):
            (home / name).symlink_to(logs / name)
        shutil.rmtree(before)  # or it would be an outlet's folder
        yield home
    finally:
        network.stop()
        umount = shutil.which("umount")
        assert umount is not None
        subprocess.run([umount, home], check=True)  # noqa: S603  (the test's own)


def fill(home: Path) -> None:
    """Leaves no room."""
    with suppress(OSError), (home / _FILL).open("wb", buffering=0) as file:
        for size in (2**16, 1):
            with suppress(OSError):
                while file.write(bytes(size)):
                    pass


def make_room(home: Path) -> None:
    (home / _FILL).unlink()


@pytest.mark.parametrize("when", ["before", "in the middle"])
def test_a_night_on_a_full_disk_of_hqs_is_complete_once_there_is_room(
    enrol: Callable[..., Forked], when: str
) -> None:
    network = enrol(patience=PATIENT)
    with own_disk(network, network.folder / "hq") as home:
        network.start_office()
        hangs = (
            "import os, time\n"
            "import server.hq.release_store as r\n"
            "add = r.ReleaseStore.add_sum\n"
            "def slow(self, release, *rest):\n"
            "    if 'training' in release:\n"
            "        print('slow', flush=True)\n"
            f"        while not os.path.exists({str(home / _FILL)!r}): time.sleep(0.01)\n"
            "        time.sleep(0.3)\n"
            "        r.ReleaseStore.add_sum = add\n"
            "    add(self, release, *rest)\n"
            "r.ReleaseStore.add_sum = slow\n"
        )
        log = home / "serve.log"
        if when == "before":
            later = NIGHT_NOW.replace("timedelta(0)", "timedelta(seconds=4)")
            serve(network, later)
            network.start_outlets()
            wait_for_words(log, "next night in 0 minutes")
            wait_for_words(network.outlet("O3") / "nightly.log", "waiting for HQ's night")
            fill(home)
            assert record_of(network) == {}
        else:
            serve(network, NIGHT_NOW + hangs)
            network.start_outlets()
            wait_for_words(log, "slow")
            fill(home)
        wait_for_words(log, "; again in")
        said = log.read_text()
        assert "night n1: " in said
        assert "the disk is full; make room" in said
        assert "Traceback" not in said
        make_room(home)
        assert_complete(network)


@pytest.mark.parametrize("role", ["office", "outlet"])
def test_a_night_with_a_full_disk_elsewhere_is_complete_once_there_is_room(
    enrol: Callable[..., Forked], role: str
) -> None:
    network = enrol(4, patience=PATIENT)
    place = network.folder / "office" if role == "office" else network.outlet("O2")
    with own_disk(network, place) as home:
        if role == "office":
            network.start_office()
            later = NIGHT_NOW.replace("timedelta(0)", "timedelta(seconds=8)")
            serve(network, later)
            network.start_outlets()
            for name in ("O1", "O2", "O3", "O4"):
                wait_for_words(network.outlet(name) / "nightly.log", "waiting for HQ's night")
            fill(home)
            wait_for_words(network.folder / "hq" / "serve.log", "night n1: ")
            assert "the disk is full" in (home / "serve.log").read_text()
            make_room(home)
            assert_complete(network)
            return
        network.start_office()
        fill(home)
        network.start_outlets()
        assert network.running["O2 nightly"].wait(timeout=60) == 1
        assert "the disk is full" in (home / "nightly.log").read_text()
        make_room(home)
        network.start("escapement-outlet", "nightly", home=home)
        serve(network, NIGHT_NOW)
        assert_complete(network)
        assert record_of(network)["cohort"] == ["O1", "O2", "O3", "O4"]


@pytest.mark.parametrize("role", ["hq", "office", "outlet"])
def test_a_read_only_disk_is_named_and_the_night_complete_once_it_is_mended(
    enrol: Callable[..., Forked], role: str
) -> None:
    network = enrol(patience=PATIENT)
    place = network.outlet("O1") if role == "outlet" else network.folder / role
    script = f"escapement-{role}"
    with own_disk(network, place) as home:
        assert _mount("-o", "remount,ro", home)
        said = network.command(script, "nightly" if role == "outlet" else "serve", home=home)
        assert said.code not in (0, None)
        assert "read-only" in said.words
        assert "Traceback" not in said.words
        assert _mount("-o", "remount,rw", home)
        network.start_office()
        serve(network, NIGHT_NOW)
        network.start_outlets()
        wait_until_over(network)
        assert record_of(network)["ended"] == "complete"
        assert charges(network) == NAMES
