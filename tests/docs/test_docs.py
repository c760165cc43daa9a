"""What the documents claim is what the program does."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

import pytest
from click import Command, Group
from pydantic import BaseModel, ValidationError
from typer.main import get_command

from features.bands import BandPolicy
from outlet_client.errors import NotConfigured
from outlet_client.main import app as outlet_app
from outlet_client.settings import DeskSettings, MailSettings, OutletFile, OutletSettings
from outlet_client.sources.source import Source
from privacy.loss import EpsilonDelta, Rho, epsilon_of
from sandbox.main import app as sandbox_app
from server.holder.settings import TokenSettings
from server.hq.main import app as hq_app
from server.hq.settings import HqFile, HqSettings
from server.office.main import app as office_app
from server.office.settings import OfficeFile, OfficeSettings, OfficeTokens

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def test_the_privacy_statement_prints_the_programs_defaults() -> None:
    office, hq = OfficeSettings(), HqSettings()
    year = EpsilonDelta(office.epsilon, office.delta).rho()
    page = (ROOT / "docs/privacy-statement.md").read_text()
    assert f"epsilon {office.epsilon:g} at delta {office.delta:g}" in page
    assert f"rho {float(year):.5f}" in page
    uses = re.findall(r"^\| (\w+) \| \d+ % \|", page, re.MULTILINE)
    assert uses == list(office.shares)
    counts, costs, month = hq.counts(), hq.costs(), Rho(0)
    for purpose, share in office.shares.items():
        row = f"| {purpose} | {float(share):.0%} | {float(year * share):.5f} |".replace("%", " %")
        cost = costs[purpose]
        assert cost is not None
        month = Rho(month + cost * counts[purpose])
        row += f" {hq.trainings_a_year} | {counts[purpose]} | {float(cost):.6f} |"
        assert row in page
    assert f"training costs epsilon {epsilon_of(month, office.delta):.2f} by itself" in page
    unused = float(1 - sum(office.shares.values()))
    assert f"{unused:.0%} of the year".replace("%", " %") in page


def test_hq_asks_within_what_the_office_allows_for_a_year_of_trainings() -> None:
    policy, hq = OfficeSettings().policy(), HqSettings()
    for purpose, count in hq.counts().items():
        cost = hq.costs()[purpose]
        assert cost is not None
        assert cost * count * hq.trainings_a_year <= policy.limit(purpose)


def test_hq_seals_within_what_the_office_allows_for_a_year_of_trainings() -> None:
    office, hq = OfficeSettings(), HqSettings()
    trainings = 365 / hq.train_days
    # Bands begin a new week at each training.
    assert trainings * -(-hq.train_days // hq.band_days) <= office.seals_a_year
    assert trainings <= office.calibrations_a_year
    assert office.cut_days <= hq.train_days
    assert office.seals_a_week >= -(-7 // hq.band_days) + 1, "a training may come in any week"


def test_the_privacy_officers_page_prints_the_limits_on_seals() -> None:
    office, page = OfficeSettings(), (ROOT / "docs/privacy-officer.md").read_text()
    for name in ("seals_a_week", "seals_a_year", "calibrations_a_year", "cut_days"):
        assert f"| `promise.{name}` | {getattr(office, name)} |" in page


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
    listed = set(re.findall(r"^\| ([\w+ -]+) \|", references, re.MULTILINE))
    folders = ("features", "privacy", "server", "outlet_client", "sandbox")
    source = "\n".join(p.read_text() for folder in folders for p in (ROOT / folder).rglob("*.py"))
    known = r"\[((?:RFC|FIPS) \d+|NIST SP [\w-]+|[A-Z][A-Za-z]{1,4}\d{2})[,\]]"
    cited = set(re.findall(known, source))
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
        (MailSettings, "mail."),
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


@pytest.mark.parametrize(
    ("file", "model"), [("office.toml", OfficeFile), ("hq.toml", HqFile), ("escapement.toml", None)]
)
def test_a_setting_that_is_said_to_be_gone_is_refused(
    file: str, model: type[BaseModel] | None, tmp_path: Path
) -> None:
    page = (ROOT / "docs/upgrade-to-sealed-bands.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith(f"| `{file}` |")]
    gone = re.findall(r"`(\w+)\.(\w+)`", "\n".join(row.split("|")[2] for row in rows))
    assert gone
    for section, name in gone:
        if model is None:
            path = tmp_path / file
            path.write_text(f'ledger = "l.csv"\n[{section}]\n{name} = 1\n')
            with pytest.raises(NotConfigured, match=name):
                OutletFile.read(path)
        else:
            with pytest.raises(ValidationError, match=name):
                model.model_validate({section: {name: 1}})


def _shown() -> set[tuple[str, str, str]]:
    """Page, program, and the rest of each command line that a page for readers shows."""
    pages = [path for path in DOCUMENTS if path.name != "CHANGELOG.md"]
    pages = [path for path in pages if path.parent.name != "decisions"]
    return {
        (page.name, program, rest)
        for page in [*pages, ROOT / "deploy/README.md"]
        for program, rest in re.findall(
            r"escapement-(hq|office|outlet|sandbox) ([a-z][^`|\n#]*)", page.read_text()
        )
    }


def test_every_command_and_option_that_a_page_shows_exists() -> None:
    apps = {"hq": hq_app, "office": office_app, "outlet": outlet_app, "sandbox": sandbox_app}
    shown = _shown()
    for page, program, rest in shown:
        known: Command = get_command(apps[program])
        for word in rest.split():
            if not isinstance(known, Group) or not re.fullmatch(r"[a-z-]+", word):
                break
            assert word in known.commands, f"{page}: escapement-{program} {rest}"
            known = known.commands[word]
        options = {option for param in known.params for option in [*param.opts, "--help"]}
        for option in re.findall(r"(?<=\s)--[a-z-]+", rest):
            assert option in options, f"{page}: escapement-{program} {rest}"
    assert {"hq", "office", "outlet", "sandbox"} == {program for _, program, _ in shown}


def test_the_readme_is_read_in_five_minutes() -> None:
    assert len((ROOT / "README.md").read_text().split()) < 1000
