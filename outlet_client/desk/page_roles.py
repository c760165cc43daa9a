"""Which roles may see and decide what at the desk.

A dispute of a customer is decided by the privacy officer, on the page of requests. On the command
line whoever may write in the outlet's folder decides, with `--by` and a person's name.
"""

from __future__ import annotations

from outlet_client.staff.accounts import Role

EVERYBODY = frozenset(Role)
MAY_LOOK_UP = frozenset({Role.ASSOCIATE, Role.MANAGER})
MAY_REPORT_SIGHTINGS = MAY_LOOK_UP
MAY_DECIDE_SIGHTINGS = frozenset({Role.MANAGER})
MAY_ALLOCATE = frozenset({Role.MANAGER})
MAY_READ_REPORT = frozenset({Role.MANAGER})
MAY_READ_LOG = frozenset({Role.PRIVACY})
MAY_READ_RECORDS = frozenset({Role.PRIVACY})
MAY_DECIDE_DISPUTES = frozenset({Role.PRIVACY})
"""And answer every other request of a customer."""
