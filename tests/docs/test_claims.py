"""Every claim of README and of the threat model names a test, or says that it is not shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
CLAIMS = (ROOT / "docs/claims.md").read_text()

CLAIMING = ("How it works", "What is protected")
"""Sections of README of which every sentence is a claim, but for those that only point on."""

EVIDENCE = re.compile(
    r"`test_\w+`|`tests/[\w./]+`|`Envelope`|the types?\b|not shown|\*\*not protected\*\*"
)
"""What a row of the threat model may end with."""


def section(page: str, title: str) -> str:
    """The text below a heading, on one line."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert found, f"no section {title}"
    return " ".join(found[1].split())


def sentences(text: str) -> list[str]:
    """Sentences that do not begin with a link."""
    told = re.sub(r"([.!?]\**|:(?= `)) (?=[A-Z*`\[])", r"\1\n", text).splitlines()
    return [one for one in told if not one.startswith("[")]


def rows(page: str) -> list[list[str]]:
    """The cells of all tables, without their heads."""
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    found = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [cells for cells in found if cells[-1] not in ("shown by", "what holds it")]


def claimed() -> list[str]:
    """What README claims, in its own words."""
    found = [one for title in CLAIMING for one in sentences(section(README, title))]
    roles = re.findall(r"^\| \*\*(.+?)\*\* \|.*\| (.+) \|$", README, re.MULTILINE)
    assert len(roles) == 3
    found += [f"{role}, never sees: {never}" for role, never in roles]
    above = README.split("## Five minutes")[0].splitlines()
    top = " ".join(" ".join(line for line in above if line[:1] not in ("|", "!", "#")).split())
    return found + [
        one for one in sentences(top) if "never" in one or one.startswith("Nobody learns")
    ]


def test_every_claim_of_readme_has_its_test() -> None:
    listed = [cells[0] for cells in rows(CLAIMS)]
    found = claimed()
    assert len(found) > 10, "else the sections are read wrongly"
    missing = [one for one in found if one not in listed]
    assert not missing, f"docs/claims.md lacks {missing}"
    gone = [one for one in listed if one not in found]
    assert not gone, f"README does not say any more {gone}"


@pytest.mark.parametrize("document", ["claims", "threat-model", "attacks"])
def test_every_row_names_its_evidence_or_says_that_there_is_none(document: str) -> None:
    page = (ROOT / f"docs/{document}.md").read_text()
    pairs = section(page, "Pairs") if document == "threat-model" else ""
    without = [
        cells[0] for cells in rows(page) if not EVIDENCE.search(cells[-1]) and cells[0] not in pairs
    ]
    assert not without, f"docs/{document}.md: nothing shows {without}"
