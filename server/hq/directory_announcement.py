"""A night's directory: what was registered is collected, and the office countersigns what it gives.

Invariant: outlets are announced nothing that the privacy office did not countersign; and a night
that is run again has the directory that it was planned with.

An HQ that was restored from an older copy goes on from the office's directory: what was
countersigned stands, and the batches that HQ lost the office has forgotten. It does so only where
its operator says that it was restored (`escapement-hq restored`): of such batches HQ sees no proof,
and an office that only had to name a later batch could end consents by itself, each night.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from privacy.budget import LedgerAhead, LedgerForked
from privacy.directory import Directory, DirectoryRefused
from privacy.errors import ClocksApart, PrivacyError
from privacy.publications import (
    Countersigned,
    PublicationKind,
    PublicationTooSoon,
    check_published,
)
from privacy.registrations import RegistrationRefused
from privacy.tokens import total_key
from server.holder.errors import HolderError, RefreshRefused
from server.hq.errors import OfficeUnreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from privacy.directory import DirectoryChanges, DirectoryPosition
    from privacy.envelopes import SealKey, VerifyKey
    from privacy.registrations import Evidence
    from privacy.tokens import TokenShare
    from server.holder.directory_copy import DirectoryCopy
    from server.hq.privacy_office import CollectedBatch
    from server.hq.registry import Registry
    from server.hq.registry_adoption import AdoptedSlots

_LOG = logging.getLogger(__name__)


_NOT_TONIGHT = (OfficeUnreachable, PublicationTooSoon, ClocksApart, LedgerAhead, LedgerForked)
"""Where the night goes on with the last directory; what the office refuses, its plan says too."""


class DirectoryOffice(Protocol):
    """The privacy office, as directories need it."""

    def collect_batch(self, after: int) -> CollectedBatch:
        """The batch after the last that HQ applied, which the office forgets."""

    def refresh_share(self, epoch: int, delta: bytes) -> tuple[int, bytes]:
        """Epoch and public half of the office's share; it moves in a later epoch only."""

    def last_directory(self) -> DirectoryPosition:
        """How far the directory is that the office countersigned last."""

    def fetch_directory(self, network: bytes, after: int) -> DirectoryCopy:
        """That directory whole, with the statement; outlets hear what HQ lost after a batch."""

    def countersign_directory(
        self,
        network: bytes,
        changes: DirectoryChanges,
        evidence: Mapping[int, Evidence],
        last: Countersigned | None,
    ) -> Countersigned:
        """Countersigns the directory that follows its last one."""


def tonights_directory(
    planned: str,
    office: DirectoryOffice,
    registry: Registry,
    key: SealKey,
    share: TokenShare,
    office_key: VerifyKey,
) -> Directory:
    """The directory that a night was planned with; else one with what was registered since.

    Args:
        planned: Digest of the first; "" where the night was not planned yet.
        office: The privacy office.
        registry: HQ's; what is collected and countersigned is in it afterwards.
        key: HQ's, which registrations are sealed to.
        share: HQ's of the token key.
        office_key: The pinned key of the office.

    Raises:
        OfficeUnreachable: If the office does not answer, and nothing was ever published.
        DirectoryRefused: If the office countersigned a later batch than the registry is of.
        PrivacyError: If it does not countersign, or with another key.
    """
    published = registry.published(planned)
    if published is not None:
        return _read(published)
    try:
        network = network_key(registry, share, office)
        check_not_behind(office, registry)
        _collect(office, registry, key, network)
        return announce(office, registry, network, office_key)
    except _NOT_TONIGHT as not_tonight:
        latest = registry.latest_directory()
        if latest is None:
            raise
        _LOG.warning("directory: %s; going on with the last one", not_tonight)
        return _read(latest)


def network_key(registry: Registry, share: TokenShare, office: DirectoryOffice) -> bytes:
    """The network's token key, which all proofs are bound to; kept for good at the first night.

    It is held against both shares, while they are of one epoch: under another key every
    registration would be refused.

    Raises:
        HolderError: If the office does not answer, its share is of another epoch and no key is
            kept, or the shares add up to another key than the one that is kept.
    """
    kept = registry.network()
    epoch, public = office.refresh_share(share.epoch, b"")
    if epoch != share.epoch:
        if kept is None:
            raise RefreshRefused(f"share: the office is in epoch {epoch}, HQ in {share.epoch}")
        return kept
    network = total_key(share.public, public)
    if kept not in (None, network):
        raise RefreshRefused(
            "token key: HQ's and the office's shares add up to another key than this network's; "
            "restore the newest copies of both folders, or, if both were renewed, run "
            "`escapement-hq tokens renew` again"
        )
    registry.keep_network(network)
    return network


def take_over(
    office: DirectoryOffice, registry: Registry, share: TokenShare, office_key: VerifyKey
) -> AdoptedSlots:
    """Takes over the office's directory, for a registry that was restored from an older copy.

    What the office says of the batches since then is believed: nothing at HQ proves it. The office
    tells outlets which batches HQ lost, and they hand in again what they had registered in these.

    Raises:
        DirectoryRefused: If it is not ahead, does not go on from the registry's, or is another
            network's; nothing is changed then.
        PublicationRefused: If the office did not countersign it with the pinned key.
        HolderError: If it does not answer, or its share does not fit HQ's.
    """
    network = network_key(registry, share, office)
    last, theirs = registry.last_batch(), office.last_directory().batch
    if theirs <= last:
        raise DirectoryRefused(
            f"directory: the privacy office countersigned one of batch {theirs}, HQ's registry is "
            f"of batch {last}, so it is no older copy; run the night"
        )
    copy = office.fetch_directory(network, last)
    check_published(copy.said, office_key, PublicationKind.DIRECTORY, copy.directory)
    directory = Directory.decode(copy.directory)
    return registry.adopt(directory, copy)


def collect_registrations(
    office: DirectoryOffice, registry: Registry, key: SealKey, network: bytes
) -> None:
    """Applies every batch that the office has ready. Logs counts and nothing else.

    Batches that HQ had before and lost, as it was restored from a copy, are passed over: no
    directory shows what was in them, so outlets hand it in again.

    Raises:
        RegistrationRefused: If the office answers with another batch than the next.
        HqError: If it does not answer.
    """
    gone = False
    while True:
        last = registry.last_batch()
        batch, sealed, forgotten = office.collect_batch(last)
        if forgotten > last and not gone:  # once a night: an office cannot go on for ever
            gone = True
            _pass_over(registry, last, forgotten)
            continue
        if not batch:
            return
        if batch != last + 1:
            raise RegistrationRefused(f"batch: got {batch}, expected {last + 1}")
        done = registry.apply(batch, sealed, key, network)
        _LOG.info(
            "batch %d: %d registered, %d withdrawn, %d refused",
            batch, done.registered, done.withdrawn, done.refused,
        )  # fmt: skip


def _pass_over(registry: Registry, last: int, forgotten: int) -> None:
    """Passes over batches that HQ had before and lost."""
    registry.pass_over(forgotten)
    _LOG.warning(
        "batches %d to %d were collected before and are lost; outlets hand in again what was in "
        "them",
        last + 1, forgotten,
    )  # fmt: skip


def announce(
    office: DirectoryOffice, registry: Registry, network: bytes, office_key: VerifyKey
) -> Directory:
    """Has the office countersign the registry's directory, and publishes it.

    Raises:
        DirectoryRefused: If the registry is behind what the office countersigned.
        PublicationRefused: If the office signed something else, or with another key.
        HqError: If it does not answer.
    """
    directory = registry.directory()
    changes, evidence = registry.changes_since(office.last_directory())
    said = office.countersign_directory(network, changes, evidence, registry.last_statement())
    found = check_published(said, office_key, PublicationKind.DIRECTORY, directory.encode())
    registry.publish(directory, said)
    _LOG.info("directory: %d slots, number %d", directory.slots, found.number)
    return directory


def check_not_behind(office: DirectoryOffice, registry: Registry) -> None:
    """Refuses to go on with a registry that is older than what the office countersigned.

    Raises:
        DirectoryRefused: If it is, as after HQ was restored from an older copy.
        HolderError: If the office does not answer.
    """
    last, theirs = registry.last_batch(), office.last_directory().batch
    if theirs > last:
        raise DirectoryRefused(
            f"directory: the privacy office countersigned one of batch {theirs}, HQ's registry is "
            f"of batch {last}; if HQ was restored from an older copy, run `escapement-hq "
            "restored`; if nobody restored one, ask the office why"
        )


def _collect(office: DirectoryOffice, registry: Registry, key: SealKey, network: bytes) -> None:
    """Collects what it can; the rest waits for the next night."""
    try:
        collect_registrations(office, registry, key, network)
    except OfficeUnreachable:
        raise
    except (HolderError, PrivacyError) as error:
        _LOG.warning("registrations: %s; going on with the directory as it is", error)


def _read(published: bytes) -> Directory:
    return Directory.decode(Countersigned.cut_off(published)[1])
