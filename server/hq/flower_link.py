"""HQ's only contact with Flower: questions out, answers in, through any `Grid`.

A question is a signed plan with what it is taken at; an answer is a masked share. Both travel as
one `ConfigRecord` of bytes. What an outlet answers with an error is its type, never its text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from flwr.app import ConfigRecord, Message, RecordDict

from privacy.fixed_point import RING_TYPES
from privacy.two_key_sum import Envelope, MaskedShare

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flwr.serverapp import Grid

ROLL_CALL = "query.roll_call"
RELEASE = "query.release"
GOODNIGHT = "query.goodnight"

_ABSENT = (3, 4, 5)
"""Flower's codes for a message, a reply or a node that is not available."""


@dataclass(frozen=True, slots=True)
class Replies:
    """What came back from one question.

    Attributes:
        shares: The masked shares, by Flower node.
        failures: How many nodes answered with an error, by its reason.
        silent: The nodes that did not answer in time.
    """

    shares: Mapping[int, MaskedShare]
    failures: Mapping[str, int]
    silent: frozenset[int]


@dataclass(frozen=True, slots=True)
class FlowerLink:
    """Asks outlets through a Flower grid.

    Attributes:
        grid: The grid: SuperLink's, or a local one.
        names: Outlet id of each Flower node: whoever registered the nodes knows, not the nodes.
        timeout: Seconds to wait for answers to one question.
    """

    grid: Grid
    names: Mapping[int, str]
    timeout: float = 60.0

    def roll_call(self, tonight: Mapping[str, str]) -> dict[int, str]:
        """Asks who is there and ready for tonight: node to outlet id.

        Args:
            tonight: `cut_off`, `as_of`, `outcomes` and `directory`, all of it public.
        """
        question = {name: value.encode() for name, value in tonight.items()}
        nodes = [node for node in self.grid.get_node_ids() if node in self.names]
        replies, _, _ = self._ask(nodes, ROLL_CALL, question)
        return {node: self.names[node] for node in replies}

    def release(self, nodes: list[int], question: Mapping[str, bytes]) -> Replies:
        """Asks nodes for their masked shares."""
        replies, failures, silent = self._ask(nodes, RELEASE, question)
        shares: dict[int, MaskedShare] = {}
        for node, content in replies.items():
            try:
                shares[node] = _share(content)
            except (KeyError, TypeError, ValueError):
                failures["malformed"] = failures.get("malformed", 0) + 1
        return Replies(shares, failures, silent)

    def goodnight(self) -> None:
        """Tells everybody who is there that the night is over; they may leave."""
        nodes = [node for node in self.grid.get_node_ids() if node in self.names]
        self._ask(nodes, GOODNIGHT, {})

    def _ask(
        self, nodes: list[int], kind: str, question: Mapping[str, bytes]
    ) -> tuple[dict[int, Mapping[str, object]], dict[str, int], frozenset[int]]:
        content = RecordDict({"question": ConfigRecord(dict(question))})
        messages = [
            Message(content=content, dst_node_id=node, message_type=kind, ttl=self.timeout)
            for node in nodes
        ]
        answers: dict[int, Mapping[str, object]] = {}
        failures: dict[str, int] = {}
        heard: set[int] = set()
        for reply in self.grid.send_and_receive(messages, timeout=self.timeout):
            if reply.has_error() and reply.error.code in _ABSENT:
                continue
            if reply.metadata.src_node_id not in nodes:
                continue
            heard.add(reply.metadata.src_node_id)
            if reply.has_error():
                reason = _type_name(reply.error.reason)
                failures[reason] = failures.get(reason, 0) + 1
            else:
                records = reply.content.config_records
                answers[reply.metadata.src_node_id] = records.get("answer", ConfigRecord())
        return answers, failures, frozenset(nodes) - heard


def _type_name(reason: str | None) -> str:
    """An error's type as an outlet may send it; anything else is nobody's business here."""
    return reason if reason is not None and re.fullmatch(r"[A-Za-z]{1,40}", reason) else "error"


def _share(content: Mapping[str, object]) -> MaskedShare:
    """Reads a masked share off the wire."""
    fields = {}
    for name in ("vector", "salt", "sealed_seed", "signature"):
        value = content[name]
        if not isinstance(value, bytes):
            raise TypeError(f"{name}: expected bytes")
        fields[name] = value
    ring_bits = content["ring_bits"]
    if not isinstance(ring_bits, int) or ring_bits not in RING_TYPES:
        raise ValueError("ring_bits: expected 16, 32 or 64")
    envelope = Envelope(
        str(content["outlet"]),
        fields["sealed_seed"],
        str(content["commitment"]),
        fields["signature"],
    )
    vector = np.frombuffer(fields["vector"], dtype=RING_TYPES[ring_bits])
    return MaskedShare(vector, fields["salt"], envelope)
