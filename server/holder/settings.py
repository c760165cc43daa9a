"""How many evaluations a holder gives a day: the section `[tokens]` of its settings."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from privacy.quotas import Quota

ADay = Annotated[int, Field(ge=0)]


class TokenSettings(BaseModel):
    """What a holder gives of its share of the token key. Unknown keys are refused.

    Attributes:
        outlet_a_day: Evaluations a day (UTC) to one outlet, dummies included.
        network_a_day: To all outlets together.
        outlets: To an outlet by name instead, such as one with a large first load.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    outlet_a_day: ADay = 640
    network_a_day: ADay = 100_000
    outlets: dict[str, ADay] = {}

    def quota(self) -> Quota:
        """The rule that every request is checked against."""
        return Quota(self.outlet_a_day, self.network_a_day, self.outlets)
