"""The form of a results folder: what is read, what is refused and how, and that its page names every field."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from burnish.errors import DataError
from burnish.results import (
    SCHEMA_VERSION,
    Answered,
    Change,
    Confidence,
    CurvePoint,
    Machine,
    Metric,
    NoiseRow,
    PairedRow,
    PromptGrades,
    Record,
    Reliability,
    ReliabilityBin,
    Results,
    RlPoint,
    Run,
    StageTiming,
    SummaryRow,
    Timings,
    TrainedModel,
    TrainedModels,
    read_changes,
    read_confidence,
    read_results,
    read_timings,
)
from burnish.stats import mean_interval
from burnish.store.files import pretty
from burnish.types import Reason

FIXTURE = Path(__file__).parent / "fixtures" / "results-v1"
PAGE = Path(__file__).parents[1] / "docs" / "results-schema.md"
MODELS = (
    *(
        Results,
        Run,
        Metric,
        CurvePoint,
        RlPoint,
        SummaryRow,
        PairedRow,
        Timings,
        Machine,
        StageTiming,
        TrainedModels,
        TrainedModel,
        Change,
        Confidence,
    ),
    *(Reliability, ReliabilityBin, NoiseRow, PromptGrades, Answered),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FIXTURE, tmp_path / "results"))


def change_json(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_released_folder_is_read() -> None:
    results = read_results(FIXTURE)
    assert {run.method for run in results.runs} == {"weak", "sft", "ceiling", "naive", "ilr"}
    assert {run.seed for run in results.runs} == {0, 1, 2}
    assert results.paired[0].a == "ilr"
    assert read_timings(FIXTURE).machine.cpu_count == 2
    assert read_changes(FIXTURE)[0].reason is Reason.ACCEPTED


def test_what_is_written_is_read_back_equal(folder: Path) -> None:
    results = read_results(folder)
    (folder / "results.json").write_bytes(pretty(results.model_dump(mode="json")))
    assert read_results(folder) == results


@pytest.mark.parametrize("version", [0, 2, "1", True, None])
@pytest.mark.parametrize(("name", "reader"), [("results.json", read_results), ("timings.json", read_timings)])
def test_another_version_is_refused_with_the_way_out(folder: Path, version: object, name: str, reader: Any) -> None:
    change_json(folder / name, schema_version=version)
    with pytest.raises(DataError) as caught:
        reader(folder)
    message = str(caught.value)
    assert name in message
    assert f"schema_version {version!r} found" in message
    assert f"reads {SCHEMA_VERSION}" in message
    assert "burnish run" in message
    assert "install" in message


def test_the_refusal_names_the_version_that_wrote_the_file(folder: Path) -> None:
    change_json(folder / "results.json", schema_version=2, burnish_version="9.9.9")
    with pytest.raises(DataError, match=re.escape("install burnish 9.9.9")):
        read_results(folder)


def test_an_unknown_field_is_refused_by_name(folder: Path) -> None:
    change_json(folder / "results.json", colour="blue")
    with pytest.raises(DataError, match=r"results\.json: colour: .*not permitted.*'blue'"):
        read_results(folder)


def test_a_wrong_field_deep_inside_is_named_by_its_path(folder: Path) -> None:
    runs = json.loads((folder / "results.json").read_text())["runs"]
    runs[2]["metrics"]["test_accuracy"]["n"] = -1
    change_json(folder / "results.json", runs=runs)
    with pytest.raises(DataError, match=r"runs\.2\.metrics\.test_accuracy\.n"):
        read_results(folder)


def test_a_run_that_is_there_twice_is_refused(folder: Path) -> None:
    runs = json.loads((folder / "results.json").read_text())["runs"]
    change_json(folder / "results.json", runs=[*runs, runs[0]])
    with pytest.raises(DataError, match=r"method 'weak', seed 0, round 0 is in the file twice"):
        read_results(folder)


def test_a_wrong_change_is_named_by_its_line(folder: Path) -> None:
    path = folder / "changes.jsonl"
    path.write_text(path.read_text() + '{"method": "ilr"}\n')
    with pytest.raises(DataError, match=r"changes\.jsonl:7: seed: Field required"):
        read_changes(folder)


def test_a_folder_of_0_1_0_has_no_confidence_and_a_wrong_line_is_named(folder: Path) -> None:
    assert read_confidence(folder) == []
    line = {"method": "ilr", "seed": 0, "round": 1, "judged": [3, 1], "accepted": [0, 1]}
    path = folder / "confidence.jsonl"
    path.write_text(json.dumps(line))
    assert read_confidence(folder) == [Confidence.model_validate(line)]
    path.write_text(json.dumps(line | {"accepted": [0, 2]}))
    with pytest.raises(DataError, match=r"confidence\.jsonl:1: file: .*and accepted \[0, 2\] do not fit"):
        read_confidence(folder)


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_what_is_not_an_object_is_refused(folder: Path, text: str) -> None:
    (folder / "results.json").write_text(text)
    with pytest.raises(DataError, match=r"results\.json"):
        read_results(folder)


def test_a_folder_without_results_says_what_to_give(tmp_path: Path) -> None:
    for reader in (read_results, read_timings, read_changes):
        with pytest.raises(DataError, match=r"no such file; give the folder that `burnish run` wrote"):
            reader(tmp_path)


@pytest.mark.parametrize("model", MODELS)
def test_every_field_is_documented_as_it_is(model: type[Record]) -> None:
    page = PAGE.read_text()
    assert f"## {model.__name__}\n" in page
    section = page.split(f"## {model.__name__}\n")[1].split("\n## ")[0]
    for line in documented(model):
        assert line in section, f"docs/results-schema.md, {model.__name__}: write the line\n{line}"
    assert section.count("\n| `") == len(model.model_fields)


def documented(model: type[Record]) -> list[str]:
    """Return the lines of the page that describe a model, one for each field."""
    properties = model.model_json_schema()["properties"]
    return [
        f"| `{name}` | {in_words(properties[name])} | {field.description} |"
        for name, field in model.model_fields.items()
    ]


def in_words(schema: dict[str, Any]) -> str:
    """Say a JSON schema's type in a few words."""
    if "anyOf" in schema:
        return " or ".join(in_words(option) for option in schema["anyOf"])
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return "text" if name == "Reason" else f"[{name}](#{name.lower()})"
    if "const" in schema:
        return f"{schema['const']}"
    if schema.get("type") == "array":
        return "two numbers" if "prefixItems" in schema else f"list of {in_words(schema['items'])}"
    if schema.get("type") == "object":
        values: dict[str, Any] = dict(schema.get("additionalProperties") or {})
        return "object" if "JsonValue" in str(values) else f"object of {in_words(values)}"
    kind = str(schema["type"])
    return {"string": "text", "boolean": "true or false"}.get(kind, kind)


def test_a_share_is_a_metric_with_wilsons_interval() -> None:
    share = Metric.share(15, 20)
    assert (share.value, share.n) == (0.75, 20)
    assert share.ci95 == pytest.approx((0.531299, 0.888138), abs=1e-6)
    assert Metric.share(0, 0) == Metric.of(None) == Metric(value=None, n=0, ci95=None)


def test_one_value_is_a_metric_without_an_interval() -> None:
    assert Metric.of(mean_interval([0.5])) == Metric(value=0.5, n=1, ci95=None)


def test_a_paired_difference_is_found_from_both_sides() -> None:
    results = read_results(FIXTURE)
    row = results.paired[0]
    a, b = (row.a, row.a_round), (row.b, row.b_round)
    assert results.paired_row(row.metric, a, b) == row
    other = results.paired_row(row.metric, b, a)
    assert other is not None
    assert row.ci95 is not None
    assert (other.a, other.a_round, other.b, other.b_round) == (*b, *a)
    assert (other.difference, other.ci95) == (-row.difference, (-row.ci95[1], -row.ci95[0]))
    assert other.turned() == row
    assert results.paired_row("label_accuracy", a, b) is None
    assert results.paired_row(row.metric, a, (row.b, 99)) is None
