"""Record linkage: which client-book entries are one person, by phones and e-mails.

Invariant: two customers are joined only if nothing in the whole group speaks against it, or a
person decided so. What is shared against the rules is *contested*: nobody uses it.

Two customers who share a phone or an e-mail are one person, unless both have e-mails and none in
common, or both have phones and none in common. Such a pair is listed for a person. So is every pair
of a chain whose ends would be such a pair; and what more than `MOST_SHARING` customers share is
nobody's own, but the till's, or made up. So is what a customer has who has more phones, or e-mails,
than that: such a key stands for all who gave no name.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

MOST_SHARING = 8
"""An identifier of more customers than this is not one person's, and a customer with more phones or
e-mails than this is no person."""

MOST_JOINED = 50
"""A group of more customers than this is a chain that nobody meant."""


class Shared(StrEnum):
    """What an ambiguous pair shares."""

    PHONE = "phone"
    EMAIL = "email"
    CHAIN = "chain"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two customers of whom nobody can tell yet whether they are one person.

    Attributes:
        one: A customer id of the outlet's.
        other: Another.
        shared: What they share while the other identifier differs; `CHAIN` where they differ in
            nothing, but one of them is linked to somebody who differs from the other.
    """

    one: str
    other: str
    shared: Shared


@dataclass(frozen=True, slots=True, repr=False)
class ClientEntry:
    """One row of a client book, as keys."""

    customer: str
    phone: str | None
    email: str | None


@dataclass(frozen=True, slots=True, repr=False)
class Groups:
    """Who is one person.

    Attributes:
        persons: For each customer who is joined to another, the first customer of the group.
        contested: Keys that nobody uses.
    """

    persons: Mapping[str, str]
    contested: frozenset[str]
    pairs: tuple[Pair, ...]


@dataclass(slots=True, eq=False, repr=False)
class _Node:
    """Customers who are one beyond doubt, with all their keys."""

    customers: list[str] = field(default_factory=list)
    phones: set[str] = field(default_factory=set)
    emails: set[str] = field(default_factory=set)

    def take(self, other: _Node) -> None:
        self.customers += other.customers
        self.phones |= other.phones
        self.emails |= other.emails


_Link = tuple[int, int]


def link_entries(
    entries: Iterable[ClientEntry],
    same: Collection[tuple[str, str]] = (),
    different: Collection[tuple[str, str]] = (),
) -> Groups:
    """Groups entries into persons.

    Args:
        entries: In the order in which customers are to be named; several of one customer are one.
        same: Pairs of customers that a person decided to be one.
        different: Pairs that a person decided to be two.
    """
    nodes = _decided(entries, same)
    contested = _take_out_crowds(nodes)
    apart = {frozenset(pair) for pair in different}
    nodes = _identical(nodes, apart)
    links, pairs = _links(nodes, apart, contested)
    joined = _whole(nodes, apart, links, contested, pairs)
    persons: dict[str, str] = {}
    for places in joined:
        customers = [customer for place in places for customer in nodes[place].customers]
        if len(customers) > 1:
            persons |= dict.fromkeys(customers, customers[0])
    return Groups(
        persons, frozenset(contested), tuple(Pair(*names, why) for names, why in pairs.items())
    )


def _decided(entries: Iterable[ClientEntry], same: Collection[tuple[str, str]]) -> list[_Node]:
    """One node a customer, or for all whom a person decided to be one."""
    nodes: dict[str, _Node] = {}
    for entry in entries:
        node = nodes.setdefault(entry.customer, _Node([entry.customer]))
        node.phones |= set(filter(None, (entry.phone,)))
        node.emails |= set(filter(None, (entry.email,)))
    ordered = list(nodes)
    places = {customer: place for place, customer in enumerate(ordered)}
    known = [(places[a], places[b]) for a, b in same if a in places and b in places]
    found = []
    for group_ in _components(len(ordered), known):
        first, *others = (nodes[ordered[place]] for place in group_)
        for node in others:
            first.take(node)
        found.append(first)
    return found


def _take_out_crowds(nodes: Sequence[_Node]) -> set[str]:
    """Takes keys that too many share out of all nodes, and those of who has too many.

    A customer with so many phones is the till's, such as "CASH": each of them is a stranger's.

    Returns:
        These keys.
    """
    counts: dict[str, int] = defaultdict(int)
    crowds: set[str] = set()
    for node in nodes:
        for key in node.phones | node.emails:
            counts[key] += 1
        if max(len(node.phones), len(node.emails)) > MOST_SHARING:
            crowds |= node.phones | node.emails
    crowds |= {key for key, count in counts.items() if count > MOST_SHARING}
    for node in nodes:
        node.phones -= crowds
        node.emails -= crowds
    return crowds


def _identical(nodes: Iterable[_Node], apart: Collection[frozenset[str]]) -> list[_Node]:
    """Joins those who have the very same phones and the very same e-mails, and both."""
    alike: dict[object, _Node] = {}
    for place, node in enumerate(nodes):
        whole = node.phones and node.emails
        name = (frozenset(node.phones), frozenset(node.emails)) if whole else place
        first = alike.get(name)
        if first is None:
            alike[name] = node
        elif _parted(first, node, apart):
            alike[place] = node
        else:
            first.take(node)
    return list(alike.values())


def _links(
    nodes: Sequence[_Node], apart: Collection[frozenset[str]], contested: set[str]
) -> tuple[list[_Link], dict[tuple[str, str], Shared]]:
    """Pairs of nodes that share a key: who may be one, and who is for a person to decide."""
    agreed: dict[_Link, None] = {}
    pairs: dict[tuple[str, str], Shared] = {}
    for key, holders in _holders(nodes).items():
        for one, other in combinations(holders, 2):
            if _agree(nodes[one], nodes[other], apart):
                agreed[one, other] = None
                continue
            contested.add(key)
            if not _parted(nodes[one], nodes[other], apart):
                shared = Shared.PHONE if key in nodes[one].phones else Shared.EMAIL
                pairs.setdefault(_named(nodes, (one, other)), shared)
    return list(agreed), pairs


def _holders(nodes: Iterable[_Node]) -> dict[str, list[int]]:
    holders: dict[str, list[int]] = defaultdict(list)
    for place, node in enumerate(nodes):
        for key in sorted(node.phones) + sorted(node.emails):
            holders[key].append(place)
    return holders


def _whole(
    nodes: Sequence[_Node],
    apart: Collection[frozenset[str]],
    links: Sequence[_Link],
    contested: set[str],
    pairs: dict[tuple[str, str], Shared],
) -> list[list[int]]:
    """Groups of linked nodes that all agree; others fall apart, and are for a person to decide.

    In the end what links by nothing but contested keys links nobody: whose they are is yet to be
    said.
    """
    begins: dict[int, list[_Link]] = defaultdict(list)
    for link in links:
        begins[link[0]].append(link)
    loose: set[_Link] = set()
    for places in _components(len(nodes), links):
        if not _all_agree([nodes[place] for place in places], apart):
            loose.update(link for place in places for link in begins[place])
    for link in loose:
        contested |= _common(nodes, link)
    loose.update(link for link in links if _common(nodes, link) <= contested)
    for link in sorted(loose):
        pairs.setdefault(_named(nodes, link), Shared.CHAIN)
    return _components(len(nodes), [link for link in links if link not in loose])


def _agree(one: _Node, other: _Node, apart: Collection[frozenset[str]]) -> bool:
    """Whether two nodes may be one person: neither identifier differs, and nobody said no."""
    phones = not (one.phones and other.phones) or bool(one.phones & other.phones)
    emails = not (one.emails and other.emails) or bool(one.emails & other.emails)
    return phones and emails and not _parted(one, other, apart)


def _parted(one: _Node, other: _Node, apart: Collection[frozenset[str]]) -> bool:
    if not apart:
        return False
    return any(frozenset((a, b)) in apart for a in one.customers for b in other.customers)


def _all_agree(nodes: Sequence[_Node], apart: Collection[frozenset[str]]) -> bool:
    if len(nodes) > MOST_JOINED:
        return False
    return all(_agree(one, other, apart) for one, other in combinations(nodes, 2))


def _common(nodes: Sequence[_Node], link: _Link) -> set[str]:
    one, other = (nodes[place] for place in link)
    return (one.phones & other.phones) | (one.emails & other.emails)


def _named(nodes: Sequence[_Node], link: _Link) -> tuple[str, str]:
    one, other = (nodes[place].customers[0] for place in link)
    return one, other


def _components(size: int, links: Collection[_Link]) -> list[list[int]]:
    """The connected groups of places 0 to size - 1, each in order, the first place's first."""
    # Loaded here: every command would pay for it otherwise.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = np.array(list(links), dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(size, size))
    found: dict[int, list[int]] = {}
    for place, label in enumerate(connected_components(graph, directed=False)[1].tolist()):
        found.setdefault(label, []).append(place)
    return list(found.values())
