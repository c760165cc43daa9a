"""Which directories an outlet follows in a night, and which it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from features.learning import (
    MOMENTS_DIMENSION,
    ROW_CLIP,
)
from outlet_client.errors import (
    QuestionRefused,
    ServiceRefused,
)
from outlet_client.people.people_store import State
from privacy.directory import Directory, DirectoryRefused
from privacy.envelopes import digest
from privacy.errors import PrivacyError
from privacy.publications import PublicationRefused
from privacy.purposes import Purpose
from privacy.registrations import fresh_secret, nonce_of
from tests.outlet_client.nightly_outlet import (
    CUT_OFF,
    IDENTIFIERS,
    OneOutlet,
    ask,
    names_in,
    one,
    plan_of,
)

__all__ = ["one"]


def test_an_outlet_is_ready_for_one_directory_and_refuses_plans_of_another(one: OneOutlet) -> None:
    outlet = one.prepare(one.tonight())
    plan = plan_of(one, Purpose.MOMENTS, MOMENTS_DIMENSION, ROW_CLIP**2)
    one.network.elsewhere("tel:+6598000777")
    second = one.network.publish(2)
    named = second.directory.digest
    assert named != one.directory.digest
    with pytest.raises(QuestionRefused, match="directory is not tonight's"):
        outlet.answer(ask(one, replace(plan, directory=named)))
    assert outlet.answer(ask(one, plan)).vector.shape == (MOMENTS_DIMENSION,)
    anew = one.prepare(one.tonight(second))
    with pytest.raises(QuestionRefused, match="directory is not tonight's"):
        anew.answer(ask(one, replace(plan, release="r2")))
    with pytest.raises(QuestionRefused, match="another plan of this name"):
        anew.answer(ask(one, replace(plan, directory=named)))
    other = replace(plan, release="r3", directory=named)
    assert anew.answer(ask(one, other)).vector.shape == (MOMENTS_DIMENSION,)


def kept(one: OneOutlet) -> tuple[object, ...]:
    """Where people stand, their consents, and the directories on disk."""
    files = sorted(file.name for file in one.home.glob("directory-*.bin"))
    return one.people.counts(), one.people.consents().to_dicts(), files


def test_a_directory_of_another_digest_than_roll_call_named_is_refused(one: OneOutlet) -> None:
    before = kept(one)
    one.network.elsewhere("tel:+6598000777")
    second = one.network.publish(2)
    name = one.directory.digest
    one.network.library.instead[name] = one.network.library.directory(second.directory.digest, "")
    with pytest.raises(PublicationRefused, match=f"got .*, expected {name[:16]}; tell HQ"):
        one.prepare(one.tonight())
    with pytest.raises(ServiceRefused, match="none of this digest"):
        one.prepare(one.tonight("ab" * 32))
    assert kept(one) == before


@pytest.mark.parametrize("data", [b"", b"escapement/v1/directory\n{}\n", b"x" * 100])
def test_a_malformed_directory_is_refused(one: OneOutlet, data: bytes) -> None:
    before = kept(one)
    for said in (data, one.published.countersigned.encode() + data):
        one.network.library.instead[digest(data)] = said
        with pytest.raises((DirectoryRefused, PublicationRefused)):
            one.prepare(one.tonight(digest(data)))
    assert kept(one) == before


def false_directories(one: OneOutlet) -> dict[str, Directory]:
    """What HQ may make by itself: each lacks anna, ben and away, or moves them."""
    good = one.directory
    random = np.random.default_rng(5).integers(0, 256, good.rows.shape).astype(np.uint8)
    nothing = np.zeros_like(good.rows)
    return {
        "of random bytes": replace(good, rows=random),
        "all blank": replace(good, rows=nothing, batch=2),
        "of no slot": replace(good, rows=good.rows[:0], batch=9),
        "in another order": replace(good, rows=good.rows[::-1].copy()),
    }


def test_a_directory_that_the_office_did_not_countersign_ends_no_consent(one: OneOutlet) -> None:
    before, press = kept(one), one.network.press
    for directory in false_directories(one).values():
        own = replace(press, office=press.hq).countersigned(directory, 9)
        of_another = press.countersigned(one.directory, 9)
        for said in (b"", own.encode(), of_another.encode()):
            one.network.library.instead[directory.digest] = said + directory.encode()
            with pytest.raises(PrivacyError):
                one.prepare(one.tonight(directory.digest))
            assert kept(one) == before


def test_where_no_home_tag_is_ours_nobody_is_at_home_and_parts_go_on(one: OneOutlet) -> None:
    slots = one.network.slots
    slots.rows = [row and row._replace(nonce=nonce_of(fresh_secret())) for row in slots.rows]
    one.published = one.network.publish(2)
    outlet = one.prepare(one.tonight())
    assert len(outlet.home.sums) == 0
    assert not outlet.views[CUT_OFF].at_home.any()
    assert names_in(outlet, CUT_OFF) == {one.slot(person) for person in ("anna", "ben", "away")}


def test_tonights_directory_goes_on_from_last_nights_and_both_give_the_same(
    one: OneOutlet,
) -> None:
    first = one.prepare(one.tonight())
    one.network.withdrawn_elsewhere(IDENTIFIERS["away"])
    one.network.elsewhere("tel:+6598000777")
    second = one.network.publish(2)
    outlet = one.prepare(one.tonight(second))
    assert len(outlet.keys) == len(first.keys) + 1
    assert names_in(outlet, CUT_OFF) == {one.slot(person) for person in ("anna", "ben")}
    assert one.people.counts()[State.BURIED] == 1
    with pytest.raises(PublicationRefused, match="number 2, number 3 is here already"):
        one.prepare(one.tonight())
    assert one.people.counts()[State.BURIED] == 1
