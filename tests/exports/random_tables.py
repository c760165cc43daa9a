"""Random sales, written as random tills write them, and the settings that say how.

Invariant: what a table must be read as follows from the sales, never from what was written.
"""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from pathlib import Path

    from tests.exports.till import Event

_REFERENCES = ("126610LN", "M79030", "210.30.42", "5711/1A", "S 20", "Größe 8")
_GERMAN = (
    "Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober",
    "November", "Dezember",
)  # fmt: skip
_ENGLISH = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_ERAS = ((dt.date(2019, 5, 1), "令和", 2018), (dt.date(1989, 1, 8), "平成", 1988))
DATES = (
    "%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%Y/%m/%d", "%d.%m.%y", "%m/%d/%y",
    "%Y%m%d", "%Y-%m-%d %H:%M:%S", "%d/%m/%Y %H:%M", "%d. %B %Y", "%b %d, %Y", "%d-%b-%y", "excel",
    "epoch", "epoch-ms", "buddhist %d/%m/%Y", "japanese",
)  # fmt: skip


_PRICES = {"quantity": {"quantity": "Qty", "unit_price": "Unit Price"}}
_KINDS = {
    "code": {"kind": "Type"},
    "code and negative": {"kind": "Type"},
    "truth": {"is_return": "Returned"},
}
_STATUSES = {"counts": ["Paid"], "void": ["Voided"], "returned": ["Refunded"]}
_FILL_DOWN = {"key": "Order Number", "columns": ["Customer ID", "Phone"]}


@dataclass(frozen=True)
class Sale:
    """One line of an order, before it is written."""

    customer: int | None
    day: dt.date
    back: bool
    unit_cents: int
    quantity: int
    reference: str | None
    status: str
    order: int
    minute: int

    @property
    def price(self) -> float:
        return self.unit_cents * self.quantity / 100

    @property
    def phone(self) -> str:
        """One that is reserved for films."""
        return "" if self.customer is None else f"+447700900{100 + self.customer}"


@dataclass(frozen=True)
class Form:
    """How a till writes."""

    delimiter: str = ","
    encoding: str = "utf-8"
    packed: bool = False
    decimal: str = "."
    group: str = ""
    cents: bool = True
    currency: str = ""
    negative: str = "-{}"
    kind: str = "code"
    dates: str = "%Y-%m-%d"
    float_phones: bool = False
    filled_down: str = ""
    has_statuses: bool = False
    nobody: str = ""
    total: str = ""
    blanks: int = 0
    preamble: int = 0
    line_end: str = "\r\n"


def _sound(form: Form) -> Form:
    """The same form without what no till writes together."""
    if form.group in (form.decimal, "lakh") and form.decimal == ",":
        form = replace(form, group=".")
    elif form.group == form.decimal:
        form = replace(form, group=",")
    if form.encoding == "cp1252":
        if form.dates == "japanese":
            form = replace(form, dates="excel")
        if form.group == "\u202f":
            form = replace(form, group="\u00a0")
        negative = form.negative.replace("\u2212", "-")
        form = replace(form, negative=negative, total=form.total.replace("合计", "Summe"))
    if form.kind not in ("negative", "code and negative", "side"):
        form = replace(form, negative="-{}")
    return replace(form, negative="{} CR") if form.kind == "side" else form


FORMS = st.builds(
    Form,
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "utf-16"]),
    packed=st.booleans(),
    decimal=st.sampled_from([".", ","]),
    group=st.sampled_from(["", ",", ".", " ", "'", "\u2019", "\u00a0", "\u202f", "lakh"]),
    cents=st.booleans(),
    currency=st.sampled_from(["", "", "SGD {}", "{} SGD", "S${}"]),
    negative=st.sampled_from(["-{}", "{}-", "({})", "\u2212{}"]),
    kind=st.sampled_from(["code", "code and negative", "truth", "negative", "quantity", "side"]),
    dates=st.sampled_from(DATES),
    float_phones=st.booleans(),
    filled_down=st.sampled_from(["", "blank", "again"]),
    has_statuses=st.booleans(),
    nobody=st.sampled_from(["", "CASH"]),
    total=st.sampled_from(["", "Total", "TOTAL:", "Summe", "合计"]),
    blanks=st.integers(0, 2),
    preamble=st.integers(0, 3),
    line_end=st.sampled_from(["\n", "\r\n"]),
).map(_sound)

_LINES = st.tuples(
    st.booleans(),
    st.one_of(st.integers(1, 9_999_999), st.integers(1, 99_999).map(lambda whole: whole * 100)),
    st.integers(1, 3),
    st.sampled_from([None, *_REFERENCES]),
    st.sampled_from(["Paid", "Paid", "Voided", "Refunded"]),
    st.integers(0, 1439),
)
_ORDERS = st.tuples(
    st.one_of(st.none(), *[st.integers(1, 9)] * 4),
    st.dates(dt.date(2015, 1, 1), dt.date(2025, 12, 31)),
    st.lists(_LINES, min_size=1, max_size=3),
)


def sales_of(orders: list[Any]) -> list[Sale]:
    """The lines of some orders."""
    return [
        Sale(customer, day, back, cents, quantity, reference, status, number, minute)
        for number, (customer, day, lines) in enumerate(orders, 1001)
        for back, cents, quantity, reference, status, minute in lines
    ]


SALES = st.lists(_ORDERS, min_size=2, max_size=14).map(sales_of)


@dataclass(frozen=True)
class Table:
    """Some sales in a form."""

    sales: tuple[Sale, ...]
    form: Form

    @classmethod
    def of(cls, sales: list[Sale], form: Form) -> Table:
        """Where only sides tell sales from returns, two thirds of returns would be the sales."""
        back = sum(one.back for one in sales)
        if form.kind != "side" or back * 3 < len(sales) * 2:
            return cls(tuple(sales), form)
        return cls(tuple(replace(one, back=not one.back) for one in sales), form)

    # --- what it must be read as ------------------------------------------------------------------

    def events(self) -> dict[str, list[Event]]:
        """Each customer's events."""
        found: dict[str, list[Event]] = {}
        for sale in self.sales:
            if sale.customer is None or self._is_void(sale):
                continue
            kinds = ["return" if sale.back else "purchase"]
            if self._status(sale) == "Refunded":
                kinds.append("return")
            for kind in kinds:
                event = (f"{sale.day}", kind, sale.reference, round(self._price(sale), 2))
                found.setdefault(f"K{sale.customer}", []).append(event)
        return {customer: sorted(some, key=str) for customer, some in found.items()}

    def fates(self) -> Counter[str]:
        """What becomes of each row."""
        found = Counter[str]()
        for sale in self.sales:
            if self._is_void(sale):
                found["void"] += 1
            else:
                found["walk-in" if sale.customer is None else "used"] += 1
        found["blank"] = self.form.blanks
        found["total"] = int(bool(self.form.total))
        return +found

    def phones(self) -> dict[str, set[str]]:
        """Who can be recognised by what."""
        some = [sale for sale in self.sales if sale.customer is not None]
        return {f"K{sale.customer}": {f"tel:{sale.phone}"} for sale in some}

    def _status(self, sale: Sale) -> str:
        """A line that came back is not refunded on top."""
        if not self.form.has_statuses or (sale.back and sale.status == "Refunded"):
            return "Paid"
        return sale.status

    def _is_void(self, sale: Sale) -> bool:
        return self._status(sale) == "Voided"

    def _price(self, sale: Sale) -> float:
        """A till that writes no cents has none."""
        if self.form.cents:
            return sale.price
        return float(_whole(sale.unit_cents) * sale.quantity)

    # --- how it is written ------------------------------------------------------------------------

    def settings(self, file: str) -> dict[str, Any]:
        """What escapement.toml must say of it."""
        form = self.form
        columns = {
            "customer_id": "Customer ID",
            "purchased_at": "Date",
            "reference": "SKU",
            "phone": "Phone",
            "basket_id": "Order Number",
            **_PRICES.get(form.kind, {"price": "Amount"}),
            **_KINDS.get(form.kind, {}),
            **({"status": "Status"} if form.has_statuses else {}),
        }
        ledger = {
            "source": file,
            "delimiter": form.delimiter,
            "encoding": form.encoding,
            "decimal": form.decimal,
            "dates": form.dates,
            "skip_rows": form.preamble,
            "columns": columns,
            **({"currency": "SGD"} if form.currency else {}),
            **({"sales_side": "debit"} if form.kind == "side" else {}),
            **({"statuses": _STATUSES} if form.has_statuses else {}),
            **({"fill_down": _FILL_DOWN} if form.filled_down else {}),
            **({"walk_ins": [form.nobody]} if form.nobody else {}),
        }
        if "kind" in columns:
            ledger["codes"] = {"purchase": ["Sale"], "return": ["Refund"]}
        elif "is_return" not in columns:
            ledger["constants"] = {"kind": "purchase"}
        return {"region": "GB", "keep_days": 36500, "ledger": ledger}

    def write(self, folder: Path) -> Path:
        """Writes the file."""
        form, text = self.form, io.StringIO()
        for number in range(form.preamble):
            text.write(f"Report {number}{form.line_end}")
        rows = csv.writer(text, delimiter=form.delimiter, lineterminator=form.line_end)
        header, *cells = self._cells()
        rows.writerow(header)
        for number, row in enumerate(cells):
            if number < form.blanks:
                rows.writerow([""] * len(header))
            rows.writerow(row)
        for _ in range(len(cells), form.blanks):
            rows.writerow([""] * len(header))
        if form.total:
            rows.writerow(self._total(header))
        data = text.getvalue().encode(form.encoding)
        place = folder / ("sales.csv.gz" if form.packed else "sales.csv")
        place.write_bytes(gzip.compress(data) if form.packed else data)
        return place

    def _total(self, header: list[str]) -> list[str]:
        where = "Unit Price" if self.form.kind == "quantity" else "Amount"
        amount = self._amount(sum(round(100 * self._price(sale)) for sale in self.sales))
        said = {"Customer ID": self.form.total, where: amount}
        return [said.get(name, "") for name in header]

    def _cells(self) -> list[list[str]]:
        form = self.form
        found: list[dict[str, str]] = []
        before = 0
        for sale in self.sales:
            goes_on = sale.order == before and form.filled_down
            cells = {
                "Customer ID": form.nobody if sale.customer is None else f"K{sale.customer}",
                "Order Number": str(sale.order),
                "Date": self._day(sale),
                "SKU": sale.reference or "",
                "Phone": sale.phone.replace("+44", "0"),
            }
            if form.float_phones and sale.phone:
                cells["Phone"] = sale.phone.removeprefix("+44") + ".0"
            if goes_on:
                cells |= {"Customer ID": "", "Phone": ""}
                cells["Order Number"] = "" if form.filled_down == "blank" else str(sale.order)
            found.append({**cells, **self._what(sale)})
            before = sale.order
        header = list(found[0])
        return [header, *([row[name] for name in header] for row in found)]

    def _what(self, sale: Sale) -> dict[str, str]:
        """The cells that say what the row is, and of how much."""
        form, cells = self.form, dict[str, str]()
        cents = round(100 * self._price(sale))
        below = sale.back and form.kind in ("negative", "code and negative", "side")
        if form.kind == "quantity":
            one = sale.unit_cents if form.cents else 100 * _whole(sale.unit_cents)
            cells["Qty"] = f"{'-' if sale.back else ''}{sale.quantity}"
            cells["Unit Price"] = self._amount(one)
        else:
            cells["Amount"] = self._amount(-cents if below else cents)
        if form.kind in ("code", "code and negative"):
            cells["Type"] = "Refund" if sale.back else "Sale"
        elif form.kind == "truth":
            cells["Returned"] = "yes" if sale.back else "no"
        if form.has_statuses:
            cells["Status"] = self._status(sale)
        return cells

    def _amount(self, cents: int) -> str:
        form = self.form
        whole, rest = divmod(abs(cents), 100)
        text = _grouped(whole, form.group) + (f"{form.decimal}{rest:02}" if form.cents else "")
        text = (form.currency or "{}").format(text)
        if form.kind == "side" and cents >= 0:
            return f"{text} DR"
        return form.negative.format(text) if cents < 0 else text

    def _day(self, sale: Sale) -> str:
        moment = dt.datetime.combine(sale.day, dt.time(), dt.UTC)
        moment += dt.timedelta(minutes=sale.minute)
        return _DAYS.get(self.form.dates, _plain)(moment, self.form.dates)


def _whole(cents: int) -> int:
    return max(cents // 100, 1)


def _grouped(whole: int, mark: str) -> str:
    if mark != "lakh":
        return f"{whole:,}".replace(",", mark)
    head, last = divmod(whole, 1000)
    if not head:
        return str(last)
    pairs = []
    while head:
        head, pair = divmod(head, 100)
        pairs.append(f"{pair:02}")
    return ",".join([*reversed(pairs), f"{last:03}"]).lstrip("0")


def _plain(moment: dt.datetime, form: str) -> str:
    names = {"%B": _GERMAN[moment.month - 1], "%b": _ENGLISH[moment.month - 1]}
    for directive, name in names.items():
        form = form.replace(directive, name)
    return moment.strftime(form)


def _serial(moment: dt.datetime, _form: str) -> str:
    days = (moment - dt.datetime(1899, 12, 30, tzinfo=dt.UTC)) / dt.timedelta(days=1)
    return f"{days:.6f}".rstrip("0").rstrip(".")


def _buddhist(moment: dt.datetime, _form: str) -> str:
    return f"{moment:%d/%m}/{moment.year + 543}"


def _japanese(moment: dt.datetime, _form: str) -> str:
    _, era, before = next(one for one in _ERAS if moment.date() >= one[0])
    year = moment.year - before
    return f"{era}{'元' if year == 1 else year}年{moment.month}月{moment.day}日"


_DAYS = {
    "excel": _serial,
    "epoch": lambda moment, _: f"{moment.timestamp():.0f}",
    "epoch-ms": lambda moment, _: f"{moment.timestamp() * 1000:.0f}",
    "buddhist %d/%m/%Y": _buddhist,
    "japanese": _japanese,
}
