"""Quotas: the only barrier against guessing phone numbers.

Whoever can ask both holders for evaluations can try numbers one after another; each holder counts
for itself, an outlet at a time and the network together, and stops. A day is a day in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from privacy.errors import PrivacyError

if TYPE_CHECKING:
    from collections.abc import Mapping


class QuotaReached(PrivacyError):
    """More evaluations were asked for than a day allows.

    Attributes:
        who: The outlet's id, or "network".
        quota: Evaluations a day.
    """

    def __init__(self, who: str, quota: int) -> None:
        super().__init__(
            f"{who}: its quota of {quota} evaluations a day is reached; wait until tomorrow, or "
            "ask HQ and the privacy office, who were alerted"
        )
        self.who = who
        self.quota = quota


@dataclass(frozen=True, slots=True)
class Quota:
    """How many evaluations a day a holder gives.

    Attributes:
        outlet: To one outlet.
        network: To all together.
        outlets: To an outlet by name instead, such as one with a large first load.
    """

    outlet: int
    network: int
    outlets: Mapping[str, int]

    def check(self, name: str, asked: int, by_outlet: int, by_network: int) -> None:
        """Refuses what would go over a quota; nothing of it is given then.

        Args:
            name: Who asks.
            asked: For how many evaluations.
            by_outlet: How many it had today.
            by_network: How many everybody had today.

        Raises:
            QuotaReached: If either quota does not hold them.
        """
        own = self.outlets.get(name, self.outlet)
        if by_outlet + asked > own:
            raise QuotaReached(name, own)
        if by_network + asked > self.network:
            raise QuotaReached("network", self.network)
