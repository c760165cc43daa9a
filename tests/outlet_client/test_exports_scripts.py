"""Exports in other scripts: read rightly, or said that they are not.

Each export has a trap in it, which tests/exports/README.md names. Without a hand on the settings
the law is `never_silent`; with the few settings that a person would make, each event is right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.exports.till import Till, never_silent, truth

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Export:
    """A till's export, the settings that a person would make for it, and what it must be.

    Attributes:
        without: Settings of `init` that are taken out first.
        identified: What one customer can be recognised by.
    """

    file: str
    region: str
    right: str
    without: tuple[str, ...]
    settings: Mapping[str, Any]
    fates: Mapping[str, int]
    identified: tuple[str, str]


THAI = Export(
    "thai_pos.csv",
    "TH",
    """
        C001 2025-01-05 purchase 126610LN 435000
        C002 2025-01-13 purchase M79030 159500.5
        C001 2025-01-20 return 126610LN 435000
        C003 2024-02-29 purchase S-20 3900
    """,
    ("columns", "constants", "codes"),
    {
        "columns": {
            "customer_id": "รหัสลูกค้า",
            "purchased_at": "วันที่",
            "price": "จำนวนเงิน",
            "kind": "ประเภท",
            "basket_id": "เลขที่บิล",
            "reference": "รหัสสินค้า",
            "phone": "เบอร์โทร",
        },
        "codes": {"purchase": ["ขาย"], "return": ["คืน"]},
        "encoding": "cp874",
        "dates": "buddhist %d/%m/%Y",
        "currency": "THB",
    },
    {"used": 4, "walk-in": 1},
    ("C001", "tel:+66800000001"),
)
JAPANESE = Export(
    "japanese_till.csv",
    "JP",
    """
        M001 2024-12-28 purchase 126610LN 1450000
        M002 2025-01-05 purchase M79030 640000
        M001 2025-01-06 return 126610LN 1450000
        M003 2019-05-01 purchase S-21 8800
    """,
    ("columns", "constants", "codes"),
    {
        "columns": {
            "customer_id": "会員番号",
            "purchased_at": "取引日",
            "price": "金額",
            "kind": "区分",
            "basket_id": "伝票番号",
            "reference": "商品コード",
            "phone": "電話番号",
        },
        "codes": {"purchase": ["売上"], "return": ["返品"]},
        "encoding": "cp932",
        "dates": "japanese",
        "currency": "JPY",
    },
    {"used": 4, "walk-in": 1, "total": 1},
    ("M001", "tel:+819000000001"),
)
TAOBAO = Export(
    "taobao_orders.csv",
    "CN",
    """
        云中客 2025-01-05 purchase 126610LN 99500
        小雨 2025-01-06 purchase M79030 38000
        山下人 2025-01-08 purchase S-20 900
    """,
    ("columns", "constants", "codes", "statuses"),
    {
        "columns": {
            "customer_id": "买家会员名",
            "purchased_at": "订单创建时间",
            "price": "买家实际支付金额",
            "status": "订单状态",
            "basket_id": "订单编号",
            "reference": "宝贝标题",
            "phone": "联系手机",
        },
        "constants": {"kind": "purchase"},
        "statuses": {"counts": ["交易成功"], "void": ["交易关闭", "等待买家付款"]},
        "encoding": "gb18030",
        "dates": "%Y-%m-%d %H:%M:%S",
    },
    {"used": 3, "void": 2},
    ("小雨", "tel:+8613000000002"),
)


@pytest.mark.parametrize(
    "export",
    [
        pytest.param(THAI, id="thai-codes-and-years"),
        pytest.param(JAPANESE, id="japanese-eras-and-totals"),
        pytest.param(TAOBAO, id="taobao-numbers-in-formulas-and-closed-orders"),
    ],
)
def test_an_export_in_another_script_is_read(tmp_path: Path, export: Export) -> None:
    right = truth(export.right)
    till = Till(tmp_path, export.file, "--region", export.region)
    never_silent(till, right)
    till.edit(without=export.without).edit(**export.settings)
    assert till.events() == right
    assert till.fates() == export.fates
    customer, key = export.identified
    assert till.identified()[customer] == {key}
    till.sound()
