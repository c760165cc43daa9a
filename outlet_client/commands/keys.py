"""`escapement-outlet keys` and `peers`: an outlet's keys renewed, and HQ's and the office's cards.

What a renewal means stands in `privacy.identity`; which card may take another's place, in
`privacy.cards`.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path  # noqa: TC003  (typer reads it in annotations)
from typing import TYPE_CHECKING, Annotated

import typer

from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import HERE, Home
from outlet_client.commands.output import say
from privacy.identity import Card, CardRefused, PartyKind, RenewalUnsigned, Renewed
from privacy.keyring import Keyring

if TYPE_CHECKING:
    from privacy.identity import Identity

Fingerprint = Annotated[
    str | None, typer.Option(help="What its owner read to you, where it has to be compared.")
]

keys_app = typer.Typer(no_args_is_help=True, help="Keys and card of this outlet, renewed.")
peers_app = typer.Typer(no_args_is_help=True, help="HQ's and the privacy office's cards.")


@keys_app.command("show")
def keys_show(home: Home = HERE) -> None:
    """Says which card is to be handed on; writes it anew where its file is damaged."""
    with failing():
        ring = Keyring(home, PartyKind.OUTLET)
        identity = ring.identity()
        ring.keep(identity)
        _say_card(ring, identity)


@keys_app.command("renew")
def keys_renew(
    home: Home = HERE,
    overlap_days: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="How long HQ and the office take the old certificate beside the new one; until "
            "it ends if not given. 0 where somebody else may have its key.",
        ),
    ] = None,
    signing: Annotated[
        bool, typer.Option("--signing", help="Makes the signing key anew too.")
    ] = False,
    node: Annotated[
        bool, typer.Option("--node", help="Makes the Flower node key anew too.")
    ] = False,
) -> None:
    """Makes the next certificate, and its card to hand on; goes on with the old one meanwhile.

    HQ and the office import the card by `outlets replace`, without comparing fingerprints. `doctor`
    says when both have it; then `keys finish`.
    """
    with failing():
        ring, at = Keyring(home, PartyKind.OUTLET), dt.datetime.now(dt.UTC)
        overlap = None if overlap_days is None else dt.timedelta(days=overlap_days)
        identity = ring.renew(at, Renewed(signing=signing, node=node, overlap=overlap))
        if ring.finish_where_over(at):
            identity = ring.identity()
            say("The old certificate is taken by nobody who has the new card.")
        _say_card(ring, identity)


@keys_app.command("finish")
def keys_finish(home: Home = HERE) -> None:
    """Goes on with the renewed keys, once HQ and the office have their card."""
    with failing():
        identity = Keyring(home, PartyKind.OUTLET).finish()
        say(
            f"Outlet {identity.card.name} goes on with its keys of serial {identity.card.serial}. "
            "Make a backup now, and destroy those of before: nobody takes the keys in them once "
            "their certificate's end or overlap has come."
        )


@keys_app.command("anew")
def keys_anew(
    home: Home = HERE,
    stolen: Annotated[
        bool, typer.Option("--stolen", help="Somebody else has this outlet's keys.")
    ] = False,
) -> None:
    """Makes all keys anew where somebody else has them; consents and tokens stay.

    Lost keys come from a backup: consents and tokens are stored under them. Of stolen ones HQ and
    the office compare the new card's fingerprint and import it by `outlets replace`. Whoever has
    `outlet.db` as well reads what is in it, also afterwards.
    """
    with failing():
        ring = Keyring(home, PartyKind.OUTLET)
        _say_card(ring, ring.make_anew(None, dt.datetime.now(dt.UTC), stolen=stolen))


@peers_app.command("list")
def peers_list(home: Home = HERE) -> None:
    """Lists HQ's and the office's cards, how long their certificates last, and damaged files."""
    with failing():
        ring = Keyring(home, PartyKind.OUTLET)
        for kind in (PartyKind.HQ, PartyKind.OFFICE):
            for card in ring.peers(kind).values():
                say(
                    f"{kind} {card.name}, serial {card.serial}, until {card.ends:%Y-%m-%d}, "
                    f"fingerprint {card.fingerprint}"
                )
        for unreadable in ring.unreadable():
            say(str(unreadable))


@peers_app.command("add")
def peers_add(file: Path, fingerprint: Fingerprint = None, home: Home = HERE) -> None:
    """Imports HQ's or the office's public file, where the one that is here is damaged or gone."""
    with failing():
        ring, data = Keyring(home, PartyKind.OUTLET), file.read_bytes()
        card = Card.decode_any(data)
        if card.kind is PartyKind.OUTLET:
            raise CardRefused(f"{file}: an outlet's card, expected HQ's or the privacy office's")
        _compare(card, file, fingerprint)
        ring.trust(card, data)
        say(f"{card.kind} {card.name} is trusted.")


@peers_app.command("replace")
def peers_replace(file: Path, fingerprint: Fingerprint = None, home: Home = HERE) -> None:
    """Imports HQ's or the office's renewed public file in place of the last one.

    Where its keys were lost and made anew, its fingerprint is compared.
    """
    with failing():
        ring, data = Keyring(home, PartyKind.OUTLET), file.read_bytes()
        try:
            before, card = ring.take_renewal(data)
        except RenewalUnsigned as error:
            say(f"{error}.")
            card = Card.decode_any(data)
            _compare(card, file, fingerprint)
            ring.replace(card, data)
            say(f"{card.kind} {card.name} has other keys from now on; those before are refused.")
            return
        say(
            f"{card.kind} {card.name}: its card of serial {card.serial} took the place of serial "
            f"{before.serial}. Its certificate is taken until {card.ends:%Y-%m-%d}"
            + (f", and the one before until {card.until[:10]}." if card.until else ".")
        )


def _compare(card: Card, file: Path, fingerprint: str | None) -> None:
    """Has a person compare a card's fingerprint with what its owner read."""
    if fingerprint is None:
        say(f"{card.kind} {card.name}, fingerprint {card.fingerprint}")
        typer.confirm("Did its owner read you the same by another way?", abort=True)
    elif fingerprint.split() != card.fingerprint.split():
        raise typer.BadParameter(f"{file}: its fingerprint is {card.fingerprint}")


def _say_card(ring: Keyring, identity: Identity) -> None:
    card = identity.newest.card
    say(
        f"Outlet {card.name}, serial {card.serial}, certificate until {card.ends:%Y-%m-%d}\n"
        f"Public file: {ring.public_file}\nFingerprint: {card.fingerprint}"
    )
    if identity.next is not None:
        say(
            "Renewed: give the public file to HQ and to the privacy office; they import it by "
            "`outlets replace`. Until then, and until `keys finish`, this outlet goes on with its "
            f"old keys, which are taken until {card.until[:10]}."
        )
