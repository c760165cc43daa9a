"""What the documents claim is what the program does."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

import pytest
from click import Group
from pydantic import BaseModel
from typer.main import get_command

from features.bands import BandPolicy
from outlet_client.main import app as outlet_app
from outlet_client.settings import DeskSettings, OutletFile, OutletSettings
from outlet_client.sources.source import Source
from privacy.loss import EpsilonDelta, Rho, epsilon_of
from privacy.units import Purpose, Unit
from sandbox.main import app as sandbox_app
from server.holder.settings import TokenSettings
from server.hq.main import app as hq_app
from server.hq.settings import HqFile, HqSettings
from server.office.main import app as office_app
from server.office.settings import OfficeSettings, OfficeTokens

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def test_the_privacy_statement_prints_the_programs_defaults() -> None:
    office, hq = OfficeSettings(), HqSettings()
    year = EpsilonDelta(office.epsilon, office.delta).rho()
    page = (ROOT / "docs/privacy-statement.md").read_text()
    assert f"epsilon {office.epsilon:g} at delta {office.delta:g}" in page
    assert f"rho {float(year):.5f}" in page
    uses = re.findall(r"^\| (\w+) \| \d+ % \|", page, re.MULTILINE)
    assert uses == [purpose for purpose in office.shares if purpose.unit is Unit.CUSTOMER]
    counts, costs, month = hq.counts(), hq.costs(), Rho(0)
    for purpose, share in office.shares.items():
        if purpose.unit is Unit.EVENT:
            continue
        row = f"| {purpose} | {float(share):.0%} | {float(year * share):.5f} |".replace("%", " %")
        if purpose in counts:
            cost = costs[purpose]
            assert cost is not None
            month = Rho(month + cost * counts[purpose])
            row += f" {hq.trainings_a_year} | {counts[purpose]} | {float(cost):.6f} |"
        assert row in page
    assert f"training costs epsilon {epsilon_of(month, office.delta):.2f} by itself" in page


def test_the_privacy_statement_prints_what_a_year_of_points_costs_an_event() -> None:
    office, hq = OfficeSettings(), HqSettings()
    page = (ROOT / "docs/privacy-statement.md").read_text()
    cost, year = hq.points_cost(), office.policy().guarantee(Unit.EVENT)
    assert cost is not None
    row = f"| {office.event_noise:g} | {float(cost):g} | {office.points_a_year} |"
    assert f"{row} {year.epsilon:.0f} |" in page
    # Bands begin a new week at each training, which releases points once more to calibrate.
    a_training = -(-hq.train_days // hq.band_days) + 1
    assert a_training * 365 / hq.train_days <= office.points_a_year


def test_hq_asks_within_what_the_office_allows_for_a_year_of_trainings() -> None:
    policy, hq = OfficeSettings().policy(), HqSettings()
    for purpose, count in hq.counts().items():
        cost = hq.costs()[purpose]
        assert cost is not None
        assert cost * count * hq.trainings_a_year <= policy.limit(purpose)
    assert policy.limit(Purpose.POINTS) > 0


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_named_tests_exist(document: Path) -> None:
    page = document.read_text()
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page):
        assert (document.parent / target).exists(), f"{document.name} links to {target}"
    sources = "\n".join(path.read_text() for path in ROOT.glob("tests/**/test_*.py"))
    for name in re.findall(r"`(test_\w+)`", page):
        assert f"def {name}(" in sources, f"{document.name} names {name}"
    if document.name == "CHANGELOG.md" or document.parent.name == "decisions":
        return  # they say what was there then
    folders = "tests|docs|benchmarks|deploy|features|outlet_client|privacy|sandbox|scripts|server"
    for path in re.findall(rf"`((?:{folders})/[\w./-]+)`", page):
        assert (ROOT / path).exists(), f"{document.name} names {path}"


def test_every_source_that_a_docstring_cites_is_in_the_references() -> None:
    references = (ROOT / "docs/references.md").read_text()
    listed = set(re.findall(r"^\| ((?:RFC |FIPS )?\w+) \|", references, re.MULTILINE))
    folders = ("features", "privacy", "server", "outlet_client", "sandbox")
    source = "\n".join(p.read_text() for folder in folders for p in (ROOT / folder).rglob("*.py"))
    cited = set(re.findall(r"\[((?:RFC|FIPS) \d+|[A-Z][A-Za-z]{1,3}\d{2})[,\]]", source))
    assert cited <= listed, f"not in docs/references.md: {sorted(cited - listed)}"
    assert cited


@pytest.mark.parametrize(
    ("model", "prefix"),
    [
        (OfficeSettings, "promise."),
        (HqFile, ""),
        (HqSettings, "training."),
        (TokenSettings, "tokens."),
        (OfficeTokens, "tokens."),
        (OutletFile, ""),
        (OutletSettings, "floors."),
        (DeskSettings, "desk."),
        (Source, "[table]."),
    ],
)
def test_every_setting_is_documented_with_its_default(model: type[BaseModel], prefix: str) -> None:
    page = (ROOT / "docs/settings.md").read_text()
    for name, field in model.model_fields.items():
        if isinstance(field.default, BaseModel):
            continue  # a section of its own
        if isinstance(field.default, BandPolicy):
            for key, value in asdict(field.default).items():
                assert f"| `bands.{key}` | {value} |" in page
            continue
        row = next(
            (line for line in page.splitlines() if line.startswith(f"| `{prefix}{name}` |")), ""
        )
        assert row, f"docs/settings.md does not name {prefix}{name}"
        if isinstance(field.default, int | float | bool) or name == "night_at":
            assert f"| {field.default} |" in row


def test_every_command_that_the_readme_shows_exists() -> None:
    page = (ROOT / "README.md").read_text() + (ROOT / "deploy/README.md").read_text()
    shown = set(re.findall(r"escapement-(hq|office|outlet|sandbox) ([a-z]+)", page))
    apps = {"hq": hq_app, "office": office_app, "outlet": outlet_app, "sandbox": sandbox_app}
    for program, command in shown:
        known = get_command(apps[program])
        assert isinstance(known, Group)
        assert command in known.commands, f"escapement-{program} {command}"
    assert {"hq", "office", "outlet", "sandbox"} == {program for program, _ in shown}
