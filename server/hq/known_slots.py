"""What HQ knows of the slots of a night's directory: keys, homes, and numbers of registrations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from privacy.seal_plans import most_counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from privacy.directory import Slots


@dataclass(frozen=True, slots=True, eq=False)
class KnownSlots:
    """The slots of one directory.

    Attributes:
        keys: uint8[slots, KEY_BYTES], public slot keys; zeros where the customer has withdrawn.
        nonces: Of each home's registration; anything where withdrawn.
        registrations: int64[slots], how many outlets have the customer.
    """

    keys: Slots = field(repr=False)
    nonces: Sequence[bytes] = field(repr=False)
    registrations: npt.NDArray[np.int64] = field(repr=False)

    @property
    def blank(self) -> npt.NDArray[np.bool_]:
        """bool[slots], whose customer has withdrawn."""
        return np.logical_not(self.keys.any(axis=1))

    @property
    def marked(self) -> npt.NDArray[np.bool_]:
        """bool[slots], whose sums so many outlets add to that they could wrap: a person looks."""
        return np.asarray(self.registrations > most_counted(len(self.keys)))
