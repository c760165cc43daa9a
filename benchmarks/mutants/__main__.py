"""Runs mutants against tests; prints a table and who survived, and fails on one not known.

python -m benchmarks.mutants [--core | --planted] [--most N] [--processes N]
    [--results FOLDER] [--fresh] [MODULE ...]

Results are kept module by module as they come, so a run that was ended goes on where it was. What
was killed stays so while the module is the same; a survivor is tried again when a test of its
module changed.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import tomllib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.mutants.copies import Copy
from benchmarks.mutants.mutations import mutants_of, planted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.mutants.mutations import Mutant

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ENDS = KILLED, SURVIVED, TIMEOUT = "killed", "survived", "timeout"


class Module(NamedTuple):
    """A module and what holds it.

    Attributes:
        path: Below the project's root.
        tests: Test modules, or tests, that hold it.
        core: Whether it is of clipping, noise, floors, sets or first-answer-wins; all of its
            mutants are tried, and a survivor is known only where it is equivalent.
        skip: Which tests are left out, as an expression of names; "" for none.
        planted: Faults that somebody wrote down, each as a text and what stands in its place.
    """

    path: str
    tests: tuple[str, ...]
    core: bool
    skip: str
    planted: tuple[tuple[str, str], ...]


class Outcome(NamedTuple):
    """What became of a module's mutants.

    Attributes:
        module: Which.
        made: How many faults cosmic-ray and we make of it.
        results: Name and result of those that were tried, the planted ones first.
    """

    module: Module
    made: int
    results: tuple[tuple[str, str], ...]


def main() -> int:
    """Runs what was asked for.

    Returns:
        1 if a mutant survived that `survivors.toml` does not list.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended; the next run goes on from here"))
    options = _options()
    known = read_survivors(HERE / "survivors.toml")
    outcomes = []
    with ExitStack() as stack:
        copies: SimpleQueue[Copy] = SimpleQueue()
        for _ in range(options.processes):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mutants-")))
            copies.put(stack.enter_context(Copy(ROOT, folder)))
        for module in _chosen(options):
            outcomes.append(_run(module, copies, options))
            _print(_row(outcomes[-1]))
    _print("\n| module | mutants | tried | killed | survived | timeouts |")
    _print("|---|---|---|---|---|---|")
    for outcome in outcomes:
        _print(_row(outcome))
    return _report_survivors(outcomes, known)


def read_modules(path: Path) -> list[Module]:
    """Reads which tests hold which module, the most important first, and the planted faults."""
    read = tomllib.loads(path.read_text())
    faults = read["planted"]
    return [
        Module(
            row["path"],
            tuple(row["tests"]),
            row.get("core", False),
            row.get("skip", ""),
            tuple((one["old"], one["new"]) for one in faults if one["path"] == row["path"]),
        )
        for row in read["module"]
    ]


def read_survivors(path: Path) -> dict[str, str]:
    """Reads the reason of each mutant that is known to survive."""
    rows = tomllib.loads(path.read_text()).get("survivor", [])
    return {mutant: row["reason"] for row in rows for mutant in row["mutants"]}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", help="paths; all of modules.toml if none")
    parser.add_argument("--core", action="store_true", help="those marked as core only")
    parser.add_argument("--most", type=int, default=60, help="mutants a module that is not core")
    parser.add_argument("--planted", action="store_true", help="the faults planted by hand only")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--results", type=Path, default=ROOT / "runs" / "mutants")
    parser.add_argument("--fresh", action="store_true", help="forget what was found before")
    return parser.parse_args()


def _chosen(options: argparse.Namespace) -> list[Module]:
    modules = read_modules(HERE / "modules.toml")
    unknown = set(options.modules) - {module.path for module in modules}
    if unknown:
        sys.exit(f"modules: got {', '.join(sorted(unknown))}, expected paths in modules.toml")
    if options.modules:
        return [module for module in modules if module.path in options.modules]
    if options.planted:
        return [module for module in modules if module.planted]
    return [module for module in modules if module.core or not options.core]


def _run(module: Module, copies: SimpleQueue[Copy], options: argparse.Namespace) -> Outcome:
    """Tries a module's mutants, as many at once as there are copies."""
    source = (ROOT / module.path).read_text()
    made = mutants_of(module.path, source)
    tried = [planted(module.path, source, *fault) for fault in module.planted]
    if not options.planted:
        tried += made if module.core else _sample(made, options.most)
    results = Results(options.results, module, fresh=options.fresh)
    waiting = [mutant for mutant in tried if results.of(mutant) is None]
    if waiting:
        copy = copies.get()
        order = copy.time_tests(module.tests, module.skip)
        copies.put(copy)

        def try_one(mutant: Mutant) -> None:
            copy = copies.get()
            try:
                results.keep(mutant, copy.try_mutant(mutant, module.tests, module.skip, order))
            finally:
                copies.put(copy)

        with ThreadPoolExecutor(options.processes) as pool:
            list(pool.map(try_one, waiting))
    told = tuple((mutant.name, results.of(mutant) or SURVIVED) for mutant in tried)
    return Outcome(module, len(made), told)


def _sample(mutants: Sequence[Mutant], most: int) -> list[Mutant]:
    """At most so many, the same ones each time: those of the smallest digests of their names."""
    drawn = sorted(mutants, key=lambda one: sha256(one.name.encode()).digest())[:most]
    return [mutant for mutant in mutants if mutant in drawn]


class Results:
    """What became of one module's mutants, one JSON object a line."""

    def __init__(self, folder: Path, module: Module, *, fresh: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / f"{module.path.replace('/', '-')}.jsonl"
        texts = [(ROOT / test.split("::")[0]).read_text() for test in module.tests]
        self._tests = sha256("\n".join((*texts, module.skip)).encode()).hexdigest()
        self._found: dict[str, dict[str, Any]] = {}
        if fresh:
            self._file.unlink(missing_ok=True)
        if self._file.exists():
            for line in self._file.read_text().splitlines():
                row = json.loads(line)
                self._found[row["key"]] = row

    def of(self, mutant: Mutant) -> str | None:
        """The result; None where there is none, or it survived tests that changed since."""
        row = self._found.get(mutant.key)
        if row is None or (row["outcome"] not in (KILLED, TIMEOUT) and row["tests"] != self._tests):
            return None
        return str(row["outcome"])

    def keep(self, mutant: Mutant, answer: dict[str, Any]) -> None:
        """Keeps a result, at once."""
        row = {
            "key": mutant.key, "tests": self._tests, "name": mutant.name,
            "outcome": answer["outcome"], "first": answer["first"],
            "seconds": round(answer["seconds"], 2),
        }  # fmt: skip
        self._found[mutant.key] = row
        with self._file.open("a") as file:
            file.write(json.dumps(row) + "\n")


def _row(outcome: Outcome) -> str:
    counts = Counter(result for _, result in outcome.results)
    name = f"`{outcome.module.path}`" + (" (core)" if outcome.module.core else "")
    figures = [outcome.made, len(outcome.results), *(counts[one] for one in ENDS)]
    return f"| {name} | {' | '.join(map(str, figures))} |"


def _report_survivors(outcomes: Sequence[Outcome], known: dict[str, str]) -> int:
    results = dict(pair for outcome in outcomes for pair in outcome.results)
    survivors = [name for name, result in results.items() if result not in (KILLED, TIMEOUT)]
    new = [name for name in survivors if name not in known]
    whole = [f"{one.module.path} " for one in outcomes if len(one.results) >= one.made]
    gone = [
        name
        for name in known
        if name not in survivors and (name in results or name.startswith(tuple(whole)))
    ]
    _print(f"\n{len(survivors)} survived; {len(new)} of them without a reason in survivors.toml:")
    for name in new:
        _print(f"  {name}")
    if gone:
        _print("\nListed there, and killed now or no mutant any more; take them out:")
        for name in gone:
            _print(f"  {name}")
    return 1 if new else 0


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()  # a run takes hours, and its lines are read meanwhile


if __name__ == "__main__":
    sys.exit(main())
