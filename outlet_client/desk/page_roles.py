"""Which roles may see and decide what at the desk.

A dispute of a customer is decided by the privacy officer, on the page of requests. On the command
line whoever may write in the outlet's folder decides, with `--by` and a person's name.
"""

from __future__ import annotations

from outlet_client.staff.accounts import Role

EVERYBODY = frozenset(Role)
HAVE_TODAY = frozenset({Role.MANAGER, Role.PRIVACY})
"""Who begins with what waits for them; an associate begins with the customer in front of them."""
MAY_LOOK_UP = frozenset({Role.ASSOCIATE, Role.MANAGER})
MAY_SEE_OWN_PURCHASES = MAY_LOOK_UP
"""Of a customer, at this outlet; and search its client book by name."""
MAY_REPORT_SIGHTINGS = MAY_LOOK_UP
MAY_DECIDE_SIGHTINGS = frozenset({Role.MANAGER})
MAY_DECIDE_DUPLICATES = frozenset({Role.MANAGER, Role.PRIVACY})
"""Whether two entries of the client book are one customer: who knows them, and who answers for
their consents."""
MAY_TAKE_LISTS = frozenset({Role.MANAGER, Role.PRIVACY})
"""As files; each the lists of the pages that they may see."""
MAY_ALLOCATE = frozenset({Role.MANAGER})
MAY_KEEP_WAITLIST = frozenset({Role.MANAGER})
"""Whoever may look up adds to it."""
MAY_READ_REPORT = frozenset({Role.MANAGER})
MAY_READ_LOG = frozenset({Role.PRIVACY})
MAY_READ_RECORDS = frozenset({Role.PRIVACY})
MAY_DECIDE_DISPUTES = frozenset({Role.PRIVACY})
"""And answer every other request of a customer."""
