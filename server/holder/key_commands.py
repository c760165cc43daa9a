"""`keys` and `replace` at HQ and at the privacy office: keys renewed, and cards in place of others.

What a renewal means stands in `privacy.identity`; which card may take another's place, in
`privacy.cards`.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from privacy.identity import Card, PartyKind, RenewalUnsigned, Renewed
from privacy.keyring import Keyring
from server.holder.console import Home, one_line_errors, say
from server.holder.locks import stopped
from server.wire.handshakes import HandshakeFailed, shake_hands

if TYPE_CHECKING:
    from collections.abc import Callable

    from privacy.identity import Identity

OverlapDays = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="How long others take the old certificate beside the new one; until it ends if not "
        "given. 0 where somebody else may have its key.",
    ),
]
Signing = Annotated[bool, typer.Option("--signing", help="Makes the signing key anew too.")]
Sealing = Annotated[
    bool, typer.Option("--sealing", help="At HQ: makes the key of registrations anew too.")
]
Stolen = Annotated[
    bool, typer.Option("--stolen", help="Somebody else has the keys: what they signed is refused.")
]
BeforeCard = Annotated[
    Path | None,
    typer.Option("--card", help="This party's last public file, where it is gone here too."),
]
Yes = Annotated[bool, typer.Option("--yes", help="Does not ask.")]

_BOUND: dict[PartyKind, str] = {
    PartyKind.HQ: (
        "Slots, directories, models, nights, kept answers and an open seal go on: they are in "
        "hq.db, under no key of this file.\n"
        "Registrations that wait at the office for HQ do not open any more; outlets hand them in "
        "again by themselves within a week.\n"
        "Books of before {books}."
    ),
    PartyKind.OFFICE: (
        "The ledger goes on: its entries are chained by hashes, under no key of this file. So do "
        "one-time keys, kept seeds and the relay.\n"
        "Directories, books and heads of logs that were countersigned {books}."
    ),
    PartyKind.OUTLET: "",
}
"""What of a holder's folder is bound to its keys, and what becomes of it."""

_BOOKS = {
    False: "stay readable: the new card names the key that signed them",
    True: (
        "by the stolen key are refused by whoever has the new card: bands are shown again with "
        "the next night's book, and outlets' logs find older statements unusable"
    ),
}


def add_key_commands(
    app: typer.Typer, kind: PartyKind, here: Path, sign_again: Callable[[Keyring], None]
) -> None:
    """Adds the group `keys`: `show`, `renew`, `finish`, `anew`.

    Args:
        app: The holder's program.
        kind: What the holder is.
        here: Its folder, where none is given.
        sign_again: Signs what the holder's stores have signed last with keys that were made anew.
    """
    keys = typer.Typer(no_args_is_help=True, help="Keys and card of this party: renewed, replaced.")
    app.add_typer(keys, name="keys")

    @keys.command("show")
    def show(home: Home = here) -> None:
        """Says which card is to be handed on; writes it anew where its file is damaged."""
        with one_line_errors():
            ring = Keyring(home, kind)
            identity = ring.identity()
            ring.keep(identity)
            for line in card_lines(ring, identity):
                say(line)

    @keys.command("renew")
    def renew(
        home: Home = here,
        overlap_days: OverlapDays = None,
        signing: Signing = False,  # noqa: FBT002  (a flag on the command line)
        sealing: Sealing = False,  # noqa: FBT002  (a flag on the command line)
    ) -> None:
        """Makes the next certificate, and its card to hand on; goes on with the old one meanwhile.

        Everybody imports the card by `replace`, without comparing fingerprints. Then `keys finish`.
        """
        with one_line_errors():
            overlap = None if overlap_days is None else dt.timedelta(days=overlap_days)
            what = Renewed(signing=signing, sealing=sealing, overlap=overlap)
            _renew(Keyring(home, kind), what)

    @keys.command("finish")
    def finish(
        home: Home = here,
        yes: Yes = False,  # noqa: FBT002  (a flag on the command line)
    ) -> None:
        """Goes on with the renewed keys, once everybody has their card. The old ones are gone.

        Names those who are not known to have it, and asks. To such a party this one shows a
        certificate that is not on its card: it reaches this one no more until it runs `replace`.
        """
        with one_line_errors():
            ring = Keyring(home, kind)
            unsure = peers_without_card(ring, ring.identity())
            for line in unsure:
                say(line)
            if unsure and not yes:
                typer.confirm("Has each of them imported it?", abort=True)
            identity = ring.finish()
            say(
                f"{identity.card.kind} {identity.card.name} goes on with its keys of serial "
                f"{identity.card.serial}: restart `serve`. Back the folder up now, and destroy the "
                "backups of before: nobody takes the keys in them once their certificate's end or "
                "overlap has come."
            )

    @keys.command("anew")
    def anew(
        home: Home = here,
        card: BeforeCard = None,
        stolen: Stolen = False,  # noqa: FBT002  (a flag on the command line)
        yes: Yes = False,  # noqa: FBT002  (a flag on the command line)
    ) -> None:
        """Makes all keys anew where identity.json is lost, or somebody else has it; keeps the rest.

        Nothing signs their card: everybody compares its fingerprint and imports it by `replace`.
        Stop `serve` before.
        """
        with one_line_errors():
            _make_anew(Keyring(home, kind), card, sign_again, stolen=stolen, yes=yes)


def peers_without_card(ring: Keyring, identity: Identity) -> list[str]:
    """Who is not known to have a party's renewed card, a line each, with how to find out.

    Who serves is asked by a handshake with the renewed certificate. Who only calls shows nothing of
    which card it has.

    Args:
        ring: The party's.
        identity: Its keys; of which nothing is said where none are renewed.
    """
    if identity.next is None:
        return []
    serial, lines = identity.next.card.serial, []
    for card in (one for kind in PartyKind for one in ring.peers(kind).values()):
        who = f"{card.kind} {card.name}"
        if card.kind is PartyKind.OFFICE:
            accepted = "".join(card.accepted(dt.datetime.now(dt.UTC)))
            own = identity.next
            try:
                shake_hands(card.address, accepted, own.card.certificate, own.tls_key)
            except HandshakeFailed as error:
                lines.append(f"{who}: not known to have the card of serial {serial}: {error}")
            continue
        program = "hq office" if card.kind is PartyKind.HQ else "outlet peers"
        lines.append(
            f"{who}: not known to have the card of serial {serial}; `escapement-{program} list` "
            "shows it there"
        )
    return lines


def _renew(ring: Keyring, what: Renewed) -> None:
    if what.sealing and ring.kind is not PartyKind.HQ:
        raise typer.BadParameter("--sealing: only HQ has a key of registrations")
    at = dt.datetime.now(dt.UTC)
    identity = ring.renew(at, what)
    if ring.finish_where_over(at):
        identity = ring.identity()
        say("The old certificate is taken by nobody who has the new card: restart `serve`.")
    for line in card_lines(ring, identity):
        say(line)


def _make_anew(
    ring: Keyring,
    file: Path | None,
    sign_again: Callable[[Keyring], None],
    *,
    stolen: bool,
    yes: bool,
) -> None:
    before = ring.own_card() if file is None else Card.decode(file.read_bytes(), ring.kind)
    if not yes:
        question = f"Is {before.name} stopped, and is there no backup of identity.json?"
        typer.confirm(question, abort=True)
    with stopped(ring.folder, f"escapement-{ring.kind}"):
        made = ring.make_anew(before, dt.datetime.now(dt.UTC), stolen=stolen)
        sign_again(ring)
    say(_BOUND[ring.kind].format(books=_BOOKS[stolen]))
    if made.card.token_key == before.token_key:
        say("The share of the token key is the same: tokens, slots and bands stay.")
    else:
        say(
            "The share of the token key was gone too, so tokens are lost: run `escapement-hq "
            "tokens renew` and `escapement-office tokens renew`; everybody is registered anew."
        )
    for line in card_lines(ring, made):
        say(line)
    say(
        "Everybody who has this party's card compares the fingerprint by another way and imports "
        "the public file by `replace`. Then start `serve`, and back the folder up."
    )


def replace_card(ring: Keyring, file: Path, kind: PartyKind | None, fingerprint: str | None) -> str:
    """Puts a card in the place of the party's pinned one; asks where that one did not sign it.

    Args:
        ring: Whose list it is.
        file: The public file.
        kind: What the party has to be; None for any.
        fingerprint: What its owner read; None asks, where it has to be compared.

    Returns:
        What happened, in one line.

    Raises:
        CardRefused: If it is malformed, of another kind, or no newer than the pinned one.
        KeyringError: If no card of the party is pinned.
    """
    data = file.read_bytes()
    card = Card.decode_any(data) if kind is None else Card.decode(data, kind)
    try:
        before, card = ring.take_renewal(data)
    except RenewalUnsigned as error:
        if fingerprint is None:
            say(f"{error}.\n{card.kind} {card.name}, fingerprint {card.fingerprint}")
            typer.confirm("Did its owner read you the same by another way?", abort=True)
        elif fingerprint.split() != card.fingerprint.split():
            raise typer.BadParameter(f"{file}: its fingerprint is {card.fingerprint}") from error
        ring.replace(card, data)
        return f"{card.kind} {card.name} has other keys from now on; those before are refused."
    old = f", and the one before until {card.until[:10]}" if card.until else ""
    return (
        f"{card.kind} {card.name}: its card of serial {card.serial} took the place of serial "
        f"{before.serial}. Its certificate is taken until {card.ends:%Y-%m-%d}{old}."
    )


def card_lines(ring: Keyring, identity: Identity) -> list[str]:
    """What to say of a party's newest card, and of what to do with it."""
    card = identity.newest.card
    lines = [
        f"{card.kind} {card.name}, serial {card.serial}, certificate until {card.ends:%Y-%m-%d}",
        f"Public file: {ring.public_file}",
        f"Fingerprint: {card.fingerprint}",
    ]
    if identity.next is not None:
        lines.append(
            "Renewed: give the public file to everybody who has this party's card; they import it "
            "by `replace`. Until then, and until `keys finish`, this party goes on with its old "
            f"keys, which are taken until {card.until[:10]}."
        )
    return lines
