"""docs/refinement-schema.md names every field of a refinement's folder as the code has it."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from test_results import in_words

from burnish.config import RefineSettings
from burnish.ledger.folder import OWN
from burnish.ledger.summary import (
    CallSummary,
    DataSummary,
    HarmSummary,
    HoldoutSummary,
    ModelSummary,
    RoundSummary,
    RoutingSummary,
    State,
    Summary,
    read_summary,
)
from burnish.people.mailbox import Annotation, Ask
from burnish.results import Metric, Record, Reliability, ReliabilityBin
from burnish.selftest.report import Calibration, LabelledReport, SelftestReport, Tally
from burnish.types import Demonstration, DemonstrationSource, Example, Message, Refinement

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "refinement-schema.md").read_text(encoding="utf-8")
RECORDS = (Summary, DataSummary, RoundSummary, RoutingSummary, HarmSummary, CallSummary, HoldoutSummary, ModelSummary)
REPORTS = (SelftestReport, Calibration, Reliability, ReliabilityBin, Tally, LabelledReport, Metric)
LINES = (Refinement, Demonstration, Example, Message, Ask, Annotation)
FIELD = re.compile(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def section(name: str) -> str:
    assert PAGE.count(f"\n## {name}\n") == 1, name
    return PAGE.split(f"\n## {name}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("model", [*RECORDS, *REPORTS])
def test_every_field_of_the_summary_is_documented_as_it_is(model: type[Record]) -> None:
    properties = model.model_json_schema()["properties"]
    expected = [
        (name, words(properties[name]), " ".join((field.description or "").split()))
        for name, field in model.model_fields.items()
    ]
    assert FIELD.findall(section(model.__name__)) == expected


@pytest.mark.parametrize("line", LINES)
def test_every_field_of_a_line_is_documented(line: type[Any]) -> None:
    rows = FIELD.findall(section(line.__name__))
    assert [name for name, _, _ in rows] == [field.name for field in dataclasses.fields(line)]


def test_every_file_is_in_the_table_at_the_top() -> None:
    table = PAGE.split("\n\n")[2]
    assert [name for name in (*OWN, "waiting.jsonl", "annotations.jsonl") if f"`{name}" not in table] == []


def test_the_id_of_an_answer_is_made_as_the_page_says() -> None:
    answer = Demonstration(
        example_id="p0", completion="four – 4", source=DemonstrationSource.PROPOSAL, producer="m", round=2
    )
    assert "`[example_id, completion, source, producer, round as text]`" in PAGE
    parts = '["p0","four – 4","proposal","m","2"]'
    assert answer.id == hashlib.sha256(parts.encode()).hexdigest()[:16]


def words(schema: dict[str, Any]) -> str:
    """Say a type as `in_words` does; enums are text, and settings have a page of their own."""
    if schema.get("$ref", "").endswith(f"/{State.__name__}"):
        return "text"
    if schema.get("$ref", "").endswith(f"/{RefineSettings.__name__}"):
        return "object"
    return in_words(schema)


@pytest.mark.parametrize("path", sorted((DOCS / "results").glob("*/*/refinement.json")), ids=str)
def test_committed_refinements_read_as_what_the_code_writes(path: Path) -> None:
    summary = read_summary(path.parent)
    alpha = summary.config.model_dump()["method"]["alpha"]
    for one in summary.rounds:
        assert sum(one.counts.values()) == summary.data.usable
        assert one.counts.get("accepted", 0) <= alpha * summary.data.usable
