"""Kills the process it is called in, as a power cut would, or fills its disk, at a method call."""

from __future__ import annotations

import importlib
import itertools
import os
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Callable

KILLED = 9


def die(where: str, when: str, number: int) -> None:
    """Lets this process die before or after a call.

    Args:
        where: `module:Class.method`.
        when: "before" or "after".
        number: Which call, from 1.
    """
    begun, ended = itertools.count(1), itertools.count(1)  # calls may overlap, in threads

    def before() -> None:
        if next(begun) == number and when == "before":
            os._exit(KILLED)

    def after() -> None:
        if next(ended) == number and when == "after":
            os._exit(KILLED)

    _around(where, before, after)


def fill_disk(file: str, where: str) -> None:
    """Lets a SQLite file grow no more once a method was called.

    Args:
        file: Its name; others in the process grow on.
        where: `module:Class.method`.
    """
    full = False
    most: list[int] = []

    def fill() -> None:
        nonlocal full
        full = True

    @sa.event.listens_for(sa.pool.Pool, "checkout")
    def limit(connection: Any, *_: object) -> None:
        name = connection.execute("PRAGMA database_list").fetchall()[0][2]
        if full and name.endswith(file):
            ((pages,),) = connection.execute("PRAGMA page_count").fetchall()
            most.append(pages)
            connection.execute(f"PRAGMA max_page_count = {most[0]}").fetchall()

    _around(where, lambda: None, fill)


def _around(where: str, before: Callable[[], None], after: Callable[[], None]) -> None:
    module, _, path = where.partition(":")
    owner_name, _, method = path.partition(".")
    owner = getattr(importlib.import_module(module), owner_name)
    original = getattr(owner, method)

    def wrapped(*args: object, **kwargs: object) -> object:
        before()
        result = original(*args, **kwargs)
        after()
        return result

    setattr(owner, method, wrapped)
