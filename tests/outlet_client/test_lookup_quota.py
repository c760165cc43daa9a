"""Look-ups' quota: as many answers a day as one person may have, however they ask."""

from __future__ import annotations

import datetime as dt
import threading
from typing import TYPE_CHECKING

import pytest

from outlet_client.bands.lookup import LookUp, Status
from outlet_client.bands.lookup_quota import LookupQuotaReached
from outlet_client.records.actor import Actor, LookupPurpose
from tests.outlet_client.fake_network import network
from tests.outlet_client.lookup_shop import ANNA, ASKED, BEN, LOOK, Folder, Shop, folder, shop

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["folder", "network", "shop"]


def test_by_however_many_programs_at_once_nobody_gets_more_than_the_days_quota(shop: Shop) -> None:
    programs = [shop.another(quota=3) for _ in range(4)]
    answered, refused = list[Status](), list[str]()

    def ask(look: LookUp) -> None:
        for name in ("mei", " MEI"):
            try:
                answered.append(look.look_up(ANNA, None, Actor.of(name, LookupPurpose.SALE)).status)
            except LookupQuotaReached as refusal:
                refused.append(str(refusal))

    threads = [threading.Thread(target=ask, args=(look,)) for look in programs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (answered, len(refused)) == ([Status.KNOWN] * 3, 5)
    shop.look = shop.another(quota=3)  # as after a restart
    with pytest.raises(LookupQuotaReached) as caught:
        shop.look.first_time(BEN, None, "n", shop.network.services, shop.network.pinned, ASKED)
    assert "You have made 3 look-ups today" in str(caught.value)
    assert f"from {caught.value.free.astimezone():%Y-%m-%d} 00:00 on" in str(caught.value)
    assert shop.people.consents().filter(key=shop.key(BEN)).is_empty()
    assert shop.log(BEN) == [("mei", "sale", "LookupQuotaReached")]
    assert shop.look.look_up(ANNA, None, Actor("noor", LookupPurpose.SALE)).status is Status.KNOWN
    shop.now = caught.value.free - dt.timedelta(seconds=1)
    with pytest.raises(LookupQuotaReached):
        shop.look.look_up(ANNA, None, ASKED)
    shop.now = caught.value.free
    assert shop.look.look_up(ANNA, None, ASKED).status is Status.KNOWN
    for look in (*programs, shop.look):
        look.close()


def test_commands_that_answer_a_band_have_the_desks_quota(folder: Folder, tmp_path: Path) -> None:
    with (folder.folder / "escapement.toml").open("a") as settings:
        settings.write("[desk]\nlookups_a_day = 2\n")
    file = tmp_path / "consents.csv"
    file.write_text(
        f"phone,email,notice,recorded_at,recorded_by\n{ANNA},,2026-03,2026-03-01T10:00:00Z,mei\n"
    )
    folder.run("consent", "import", str(file))
    who = ("--phone", ANNA, "--by", "Mei Tan")
    for _ in range(2):
        assert folder.run(*LOOK, *who)[0] == 0
    free = (dt.datetime.now() + dt.timedelta(days=1)).date()  # noqa: DTZ005  (this machine's day)
    code, said = folder.run(*LOOK, *who)
    assert code == 1
    (folder.folder / "ledger.csv").write_text("customer_id,purchased_at,price,kind\n")
    (folder.folder / "clients.csv").write_text(f"customer_id,phone,email\na,{ANNA},\n")
    refusal = "You have made 2 look-ups today, which is as many as one person may."
    assert f"{refusal} The next is answered from {free} 00:00 on." in said
    assert refusal in folder.run("customer", "show", *who)[1]  # all else is the customer's right
    assert folder.run(*LOOK, *who, "--consent", "n")[0] == 1
    assert "1 standing" in folder.run("consent", "show")[1]
    assert folder.run(*LOOK, "--phone", ANNA, "--by", "Noor Aziz")[0] == 0
    assert "LookupQuotaReached" in folder.run("log", "show")[1]
