"""The outlet's only contact with Flower: a ClientApp that answers questions, and nothing else.

No code travels: the app is the one that is installed here. An exception leaves as Flower's error
with its type's name, never its text; Flower itself would send the text.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from flwr.app import ConfigRecord, Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp

from features.errors import FeatureError
from outlet_client.errors import OutletError
from privacy.errors import PrivacyError

if TYPE_CHECKING:
    from outlet_client.contribute import Outlet


_LOG = logging.getLogger(__name__)

RAISED = 2
"""Flower's code for an exception in a ClientApp."""


def client_app(outlet: Outlet) -> ClientApp:
    """Makes the ClientApp of an outlet."""
    app = ClientApp()

    @app.query("roll_call")
    def roll_call(message: Message, _context: Context) -> Message:
        return _reply(message, {"outlet": outlet.name})

    @app.query("release")
    def release(message: Message, _context: Context) -> Message:
        record = message.content.config_records["question"]
        question = {name: value for name, value in record.items() if isinstance(value, bytes)}
        try:
            share = outlet.answer(question)
        except Exception as error:  # noqa: BLE001  (whatever it is, its text must not leave)
            _LOG.warning("question refused: %s", error if _is_ours(error) else type(error).__name__)
            return Message(Error(RAISED, type(error).__name__), reply_to=message)
        return _reply(
            message,
            {
                "outlet": share.envelope.outlet,
                "vector": share.vector.tobytes(),
                "ring_bits": 8 * share.vector.dtype.itemsize,
                "sealed_seed": share.envelope.sealed_seed,
                "vector_digest": share.envelope.vector_digest,
                "signature": share.envelope.signature,
            },
        )

    @app.query("goodnight")
    def goodnight(message: Message, _context: Context) -> Message:
        return _reply(message, {"outlet": outlet.name})

    return app


def _is_ours(error: Exception) -> bool:
    """Whether an error's text was written to be read: ours carry no customer's value."""
    return isinstance(error, OutletError | PrivacyError | FeatureError)


def _reply(message: Message, fields: dict[str, str | int | bytes]) -> Message:
    return Message(RecordDict({"answer": ConfigRecord(dict(fields))}), reply_to=message)
