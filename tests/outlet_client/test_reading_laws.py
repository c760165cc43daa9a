"""Whatever form a table is written in, it is read as it was meant, or somebody is told to look."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given

from tests.exports.random_tables import FORMS, SALES, Form, Sale, Table
from tests.exports.till import NO_EXCUSE, Refused, Till

FATES = ("used", "ignored", "walk_ins", "left_out", "superseded", "quarantined")


@given(SALES, FORMS)
def test_with_its_true_settings_a_table_is_what_was_written(sales: list[Sale], form: Form) -> None:
    table = Table.of(sales, form)
    with tempfile.TemporaryDirectory() as folder:
        file = table.write(Path(folder))
        till = Till.over(Path(folder), file, table.settings(file.name))
        assert till.events() == table.events()
        assert till.fates() == table.fates()
        identified = till.identified()
        assert set(identified) == set(table.phones())
        for customer, keys in identified.items():
            if not form.float_phones or keys:  # a number that lost its zero may be refused
                assert keys == table.phones()[customer]


@given(SALES, FORMS)
def test_what_init_guesses_is_the_truth_or_somebody_is_told(sales: list[Sale], form: Form) -> None:
    table = Table.of(sales, form)
    with tempfile.TemporaryDirectory() as folder:
        file = table.write(Path(folder))
        try:
            till = Till.guessed(Path(folder), file)
        except Refused:
            return
        report = till.edit(accept=NO_EXCUSE).check().report
        assert report["counts"]["rows"] == sum(report["counts"][fate] for fate in FATES)
        if report["exit_code"] == 0:
            assert till.events() == table.events()
            for customer, keys in till.identified().items():
                assert keys <= table.phones()[customer]
