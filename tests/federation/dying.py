"""Runs a role's program and kills it, as a power cut would, around the n-th call of one method.

python -m tests.federation.dying MODULE:CLASS.METHOD before|after N ROLE ARGUMENTS...
"""

from __future__ import annotations

import importlib
import os
import sys

PROGRAMS = {
    "office": "server.office.main",
    "hq": "server.hq.main",
    "outlet": "outlet_client.main",
}
KILLED = 9


def main() -> None:
    where, when, number, role, *arguments = sys.argv[1:]
    module, _, path = where.partition(":")
    owner_name, _, method = path.partition(".")
    owner = getattr(importlib.import_module(module), owner_name)
    original, seen = getattr(owner, method), 0

    def dying(*args: object, **kwargs: object) -> object:
        nonlocal seen
        seen += 1
        if seen == int(number) and when == "before":
            os._exit(KILLED)
        result = original(*args, **kwargs)
        if seen == int(number):
            os._exit(KILLED)
        return result

    setattr(owner, method, dying)
    importlib.import_module(PROGRAMS[role]).app(arguments)


if __name__ == "__main__":
    main()
