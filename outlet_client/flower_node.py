"""The outlet's only contact with Flower: a ClientApp that answers questions, and nothing else.

No code travels: the app is the one that is installed here. An exception leaves as Flower's error
with its type's name, never its text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from outlet_client.errors import QuestionRefused

if TYPE_CHECKING:
    from outlet_client.contribute import Outlet


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
        if len(question) != len(record):
            raise QuestionRefused("question: expected bytes in every field")
        share = outlet.answer(question)
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


def _reply(message: Message, fields: dict[str, str | int | bytes]) -> Message:
    return Message(RecordDict({"answer": ConfigRecord(dict(fields))}), reply_to=message)
