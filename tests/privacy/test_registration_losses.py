"""What may be said of lost registrations, and how long a registration is: to the edges."""

from __future__ import annotations

from typing import Any

import pytest

from privacy.envelopes import SealKey, seal
from privacy.registration_losses import LossRefused, RegistrationLoss
from privacy.registrations import _DOMAIN, MESSAGE_BYTES, Registration, RegistrationRefused

MOST, LATEST = 2**53, 253_402_300_799
LOSS: dict[str, Any] = {"number": 1, "after": 0, "upto": 1, "at": 0}


@pytest.mark.parametrize(
    "changes",
    [{}, {"number": MOST}, {"upto": MOST}, {"after": MOST - 1, "upto": MOST}, {"at": LATEST}],
)
def test_a_loss_within_its_bounds_is_one(changes: dict[str, int]) -> None:
    """Numbers that every reader of JSON keeps, and moments from 1970 to the end of 9999."""
    assert RegistrationLoss(**{**LOSS, **changes}).upto > RegistrationLoss(**LOSS).after


@pytest.mark.parametrize(
    "changes",
    [
        {"number": 0},
        {"number": MOST + 1},
        {"after": -1},
        {"after": 1},
        {"after": 2},
        {"upto": MOST + 1},
        {"at": -1},
        {"at": LATEST + 1},
    ],
)
def test_a_loss_outside_its_bounds_is_refused(changes: dict[str, int]) -> None:
    with pytest.raises(LossRefused, match=r"^loss of registrations: "):
        RegistrationLoss(**{**LOSS, **changes})


@pytest.mark.parametrize("length", [1, MESSAGE_BYTES - 1, MESSAGE_BYTES + 1])
def test_a_registration_that_is_shorter_or_longer_is_refused_by_its_length(length: int) -> None:
    key = SealKey.generate()
    sealed = seal(key.public, bytes(length), _DOMAIN, (7).to_bytes(8, "big"))
    with pytest.raises(RegistrationRefused, match=f"registration: got {length} bytes"):
        Registration.opened(sealed, key, bytes(32), 7)


def test_the_form_of_a_loss_is_frozen() -> None:
    """Outlets keep it with the office's signature over these bytes."""
    form = b'{"after":0,"at":0,"number":1,"upto":1}'
    assert RegistrationLoss(**LOSS).encode() == form
    assert RegistrationLoss.decode(form) == RegistrationLoss(**LOSS)
    for other in (form.replace(b"{", b"{ "), form.replace(b":", b": "), form + b" "):
        with pytest.raises(LossRefused):
            RegistrationLoss.decode(other)
