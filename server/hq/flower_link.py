"""HQ's only contact with Flower: questions out, answers in, through any `Grid`.

A question is a signed plan with what it is taken at; an answer is a masked share. Both travel as
one `ConfigRecord` of bytes. What an outlet answers with an error is its type, never its text.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from flwr.app import ConfigRecord, Message, RecordDict

from privacy.fixed_point import RING_TYPES
from privacy.two_key_sum import Envelope, MaskedShare

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flwr.serverapp import Grid

ROLL_CALL = "query.roll_call"
RELEASE = "query.release"
GOODNIGHT = "query.goodnight"


@dataclass(frozen=True, slots=True)
class Replies:
    """What came back from one question.

    Attributes:
        shares: The masked shares, by Flower node.
        failures: How many nodes answered with an error, by its reason.
        silent: How many nodes did not answer in time.
    """

    shares: Mapping[int, MaskedShare]
    failures: Mapping[str, int]
    silent: int


@dataclass(frozen=True, slots=True)
class FlowerLink:
    """Asks outlets through a Flower grid.

    Attributes:
        grid: The grid: SuperLink's, or a local one.
        timeout: Seconds to wait for answers to one question.
        now: A monotonic clock in seconds.
    """

    grid: Grid
    timeout: float = 60.0
    now: Callable[[], float] = time.monotonic

    def roll_call(self) -> dict[int, str]:
        """Asks who is there: Flower node to outlet id."""
        replies, _, _ = self._ask(list(self.grid.get_node_ids()), ROLL_CALL, {})
        named = {node: content.get("outlet") for node, content in replies.items()}
        return {node: name for node, name in named.items() if isinstance(name, str)}

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

    def goodnight(self, nodes: list[int]) -> None:
        """Tells nodes that the night is over; they may leave."""
        self._ask(nodes, GOODNIGHT, {})

    def _ask(
        self, nodes: list[int], kind: str, question: Mapping[str, bytes]
    ) -> tuple[dict[int, Mapping[str, object]], dict[str, int], int]:
        content = RecordDict({"question": ConfigRecord(dict(question))})
        messages = [
            Message(content=content, dst_node_id=node, message_type=kind, ttl=self.timeout)
            for node in nodes
        ]
        answers: dict[int, Mapping[str, object]] = {}
        failures: dict[str, int] = {}
        for reply in self.grid.send_and_receive(messages, timeout=self.timeout):
            if reply.has_error():
                reason = _type_name(reply.error.reason)
                failures[reason] = failures.get(reason, 0) + 1
            else:
                records = reply.content.config_records
                answers[reply.metadata.src_node_id] = records.get("answer", ConfigRecord())
        return answers, failures, len(nodes) - len(answers) - sum(failures.values())


def _type_name(reason: str | None) -> str:
    """An error's type as an outlet may send it; anything else is nobody's business here."""
    return reason if reason is not None and re.fullmatch(r"[A-Za-z]{1,40}", reason) else "error"


def _share(content: Mapping[str, object]) -> MaskedShare:
    """Reads a masked share off the wire."""
    fields = {}
    for name in ("vector", "sealed_seed", "signature"):
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
        str(content["vector_digest"]),
        fields["signature"],
    )
    return MaskedShare(np.frombuffer(fields["vector"], dtype=RING_TYPES[ring_bits]), envelope)
