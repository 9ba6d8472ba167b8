"""Data as users have it: ids, rows that cannot be used, references, hub ids; and what goes into the report of it."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
from forms_data import WRITERS
from refinement import (
    CAP,
    COUNT,
    PROBLEMS,
    RIGHT,
    WRONG_LABELS,
    fake,
    label,
    refine,
    right,
    right_labels,
    rows,
    settings,
    trained_on,
    written,
)

from burnish.backends.fake import FakeBackend
from burnish.errors import BackendError, ConfigError, DataError
from burnish.ledger import cards, page
from burnish.ledger.folder import MODEL
from burnish.ledger.summary import reference_doubt
from burnish.protocols import Prompt
from burnish.refinery import FinishedRefinement, RunOptions
from burnish.refinery.dry_run import dry_run, words
from burnish.refinery.inputs import find
from burnish.refinery.words import closing
from burnish.report.text import percent
from burnish.types import Completion, Reason


def without_ids() -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "id"} for row in rows()]


# --- ids


@pytest.mark.slow
def test_ids_are_the_user_s_own(tmp_path: Path) -> None:
    found = refine(settings(written(tmp_path), rounds=1), tmp_path)
    assert [example.id for example in found.examples] == [row["id"] for row in rows()]
    named = [{"key": f"k{i}", **row} for i, row in enumerate(without_ids())]
    config = settings(written(tmp_path / "b", named), "data.id_column=key", rounds=1)
    assert [example.id for example in refine(config, tmp_path / "b").examples] == [f"k{i}" for i in range(COUNT)]


@pytest.mark.slow
def test_ids_that_are_made_do_not_depend_on_the_place(tmp_path: Path) -> None:
    config = settings(written(tmp_path, without_ids()), rounds=1)
    found = refine(config, tmp_path)
    ids = [example.id for example in found.examples]
    assert all(re.fullmatch("[0-9a-f]{16}", id_) for id_ in ids)
    turned = refine(settings(written(tmp_path / "b", without_ids()[::-1]), rounds=1), tmp_path / "b")
    assert [example.id for example in turned.examples] == ids[::-1]


def test_rows_with_one_prompt_are_told_apart_and_stay_together(tmp_path: Path) -> None:
    twice = without_ids()[:20] * 2
    found = refine(settings(written(tmp_path, twice), rounds=1), tmp_path)
    assert len({example.id for example in found.examples}) == 40
    halves = trained_on(found.store)
    for first, second in zip(found.examples[:20], found.examples[20:], strict=True):
        assert first.group == second.group
        assert all((first.id in half) == (second.id in half) for half in halves.values())


def test_an_id_that_comes_twice_is_an_error(tmp_path: Path) -> None:
    data, units = rows(), list[str]()
    data[7]["id"] = "row-03"
    with pytest.raises(DataError, match=r"data\.jsonl:8: id 'row-03' occurs twice; make ids unique, or name another"):
        refine(settings(written(tmp_path, data), on_bad_row="skip"), tmp_path, fake(units.append))
    assert units == []
    assert [path.name for path in (tmp_path / "out").iterdir() if path.name != ".lock"] == []


# --- rows that cannot be used

GOOD = [json.dumps(row).encode() + b"\n" for row in rows()]
BAD = {
    "no answer": b'{"question": "1 + 1 ?", "answer": "  "}\n',
    "null question": b'{"question": null, "answer": "2"}\n',
    "not JSON": b'{"question": "1 + 1 ?", "answer"\n',
    "a list": b'["1 + 1 ?", "2"]\n',
    "NaN": b'{"question": "1 + 1 ?", "answer": NaN}\n',
    "no UTF-8": b'{"question": "\xff\xfe", "answer": "2"}\n',
    "other columns": b'{"prompt": "1 + 1 ?", "completion": "2"}\n',
    "10 MB": b'{"question": "1 + 1 ?", "answer": "' + b"2 " * 5_000_000 + b'"}\n',
}


@pytest.mark.parametrize("flaw", BAD)
def test_a_row_that_cannot_be_used_is_an_error_with_its_place(tmp_path: Path, flaw: str) -> None:
    source, units = tmp_path / "data.jsonl", list[str]()
    source.write_bytes(b"".join([*GOOD[:4], BAD[flaw], *GOOD[4:]]))
    with pytest.raises(DataError, match=r"data\.jsonl:5.*: .*; or leave such rows as they are with --on-bad-row skip"):
        refine(settings(source), tmp_path, fake(units.append))
    assert units == []


@pytest.mark.slow
def test_skipped_rows_stay_as_they_are_and_are_counted(tmp_path: Path) -> None:
    source = tmp_path / "data.jsonl"
    lines = [line for i, good in enumerate(GOOD) for line in (*(list(BAD.values())[i : i + 1]), good)]
    source.write_bytes(b"".join(lines))
    found = refine(settings(source, on_bad_row="skip"), tmp_path)
    data = found.summary.data
    assert (data.rows, data.usable, data.skipped) == (COUNT + len(BAD), COUNT, len(BAD))
    assert [bad.partition(":")[0] for bad in data.bad_rows] == ["data.jsonl"] * len(BAD)
    assert [int(bad.split(":")[1].split()[0]) for bad in data.bad_rows] == list(range(1, 2 * len(BAD), 2))
    after = (found.out / "refined.jsonl").read_bytes().splitlines(keepends=True)
    assert len(after) == len(lines)
    changed = [i for i, (before, now) in enumerate(zip(lines, after, strict=True)) if before != now]
    assert len(changed) == 2 * CAP
    assert all(lines[i] in GOOD for i in changed)
    fixed = [json.loads(after[i]) for i in changed]
    assert all(right(row["question"], row["answer"]) for row in fixed)
    page = (found.out / "report.html").read_text()
    assert f"{len(BAD)} left as they are" in page
    assert all(
        html.escape(bad, quote=False) in html.unescape(page) or bad in html.unescape(page) for bad in data.bad_rows
    )
    assert [example.metadata["position"] for example in found.examples[:3]] == [1, 3, 5]


def test_only_the_first_bad_rows_are_listed_and_all_are_counted(tmp_path: Path) -> None:
    source = tmp_path / "data.jsonl"
    source.write_bytes(b"".join([*GOOD, *[BAD["no answer"]] * 70]))
    data = refine(settings(source, on_bad_row="skip", rounds=1), tmp_path).summary.data
    assert (data.skipped, len(data.bad_rows)) == (70, 50)


@pytest.mark.parametrize("on_bad_row", ["error", "skip"])
def test_a_file_without_a_usable_row(tmp_path: Path, on_bad_row: str) -> None:
    source = tmp_path / "data.jsonl"
    source.write_bytes(BAD["no answer"] * 3)
    with pytest.raises(DataError, match=r"data\.jsonl:1: .*no row of .* can be used"):
        refine(settings(source, on_bad_row=on_bad_row), tmp_path)
    source.write_bytes(b"")
    with pytest.raises(DataError, match="no rows; give a file with at least one"):
        refine(settings(source, on_bad_row=on_bad_row), tmp_path)
    assert not (tmp_path / "out").exists()


def test_two_rows_of_one_prompt_cannot_be_cut(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.jsonl: 2 rows with 1 different prompt found"):
        refine(settings(written(tmp_path, without_ids()[:1] * 2)), tmp_path)


def test_a_csv_of_a_spreadsheet(tmp_path: Path) -> None:
    text = WRITERS[".csv"](rows()).decode().replace(",", ";")
    (tmp_path / "data.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    found = refine(settings(tmp_path / "data.csv"), tmp_path)
    after = (found.out / "refined.csv").read_bytes()
    assert after.startswith(b"\xef\xbb\xbfid;question;answer")
    assert after.count(b"\r\n") == COUNT + 1
    assert found.summary.rounds[1].label_accuracy is not None
    assert found.summary.rounds[1].label_accuracy.value == (COUNT - WRONG_LABELS + 2 * CAP) / COUNT


# --- references


def test_a_reference_column_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.reference_column: no column 'truth' at data\.jsonl:1, found 'id'"):
        refine(settings(written(tmp_path), annotator="people", reference="truth"), tmp_path)
    with pytest.raises(ConfigError, match="the column 'gold' found, but the reference is 'topic'"):
        refine(settings(written(tmp_path), reference="topic"), tmp_path)


def test_some_rows_have_a_reference(tmp_path: Path) -> None:
    data = [row | ({"gold": None} if i % 3 else {}) for i, row in enumerate(rows())]
    config = settings(written(tmp_path, data), annotator=None, method="naive", rounds=1, reference="gold")
    found = refine(config, tmp_path)
    accuracy = found.summary.given_accuracy
    assert accuracy is not None
    known = [i for i in range(COUNT) if i % 3 == 0]
    assert (accuracy.n, accuracy.value) == (20, sum(i % 5 >= 2 for i in known) / 20)


def test_an_oracle_abstains_where_there_is_no_reference(tmp_path: Path) -> None:
    data = [row | {"gold": None} for row in rows()[:30]] + rows()[30:]
    found = refine(settings(written(tmp_path, data)), tmp_path)
    without = {row["id"] for row in data[:30]}
    judged = {line.example_id: line.reason for line in found.ledger if line.reason not in {"agreed", "invalid"}}
    assert {reason for id_, reason in judged.items() if id_ in without} == {Reason.ABSTAINED}
    assert Reason.ABSTAINED not in {reason for id_, reason in judged.items() if id_ not in without}
    assert found.rows[:30] == data[:30]


@pytest.mark.parametrize("annotator", ["oracle:gold", None])
def test_a_numeric_reference_is_read_as_a_number_where_texts_tell_answers_apart(
    tmp_path: Path, annotator: str | None
) -> None:
    data = [row | {"gold": int(row["gold"])} for row in rows()]
    method = {} if annotator else {"method": "naive", "reference": "gold"}
    found = refine(settings(written(tmp_path, data), annotator=annotator, differs="text", **method), tmp_path)
    given = found.summary.given_accuracy
    assert given is not None
    assert given.value == (COUNT - WRONG_LABELS) / COUNT  # as texts, none equals: "#### 14" is not "14"
    if annotator:
        first = found.summary.rounds[0].label_accuracy
        assert first is not None
        assert first.value == (COUNT - WRONG_LABELS + CAP) / COUNT
    assert reference_doubt(found.summary) is None


def test_references_of_text_stay_texts_where_one_is_no_number(tmp_path: Path) -> None:
    data = [row | {"gold": row["answer"] if i else "7"} for i, row in enumerate(rows())]
    found = refine(
        settings(written(tmp_path, data), annotator=None, method="naive", reference="gold", differs="text"), tmp_path
    )
    given = found.summary.given_accuracy
    assert given is not None
    assert given.value == (COUNT - 1) / COUNT


def test_a_reference_that_next_to_no_row_equals_is_said_everywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = [row | {"gold": f"it is {row['gold']} of them"} for row in rows()]
    found = refine(
        settings(written(tmp_path, data), annotator=None, method="naive", reference="gold", differs="text"), tmp_path
    )
    doubt = "Almost no given answer equals its reference (0 of 60): check whether the column 'gold'"
    assert f"warning: {doubt}" in " ".join(capsys.readouterr().err.split())
    assert f"warning: {doubt}" in "\n".join(closing(FinishedRefinement(out=found.out, summary=found.summary)))
    assert any(line.startswith(doubt) for line in page.headline(found.summary, 1))
    assert doubt in cards._accuracies(found.summary)


def test_a_reference_that_is_not_one_number_as_a_whole_is_named_with_its_line(tmp_path: Path) -> None:
    data = [row | ({"gold": "5 of 12"} if i == 6 else {}) for i, row in enumerate(rows())]
    told = r"data\.jsonl:7 \(row-06\): the reference '5 of 12' has no final answer that is one number as a whole"
    with pytest.raises(DataError, match=told):
        find(settings(written(tmp_path, data)), offline_ok=True)  # a dry run says so, too


def test_a_reference_that_is_no_answer_is_said_before_anything_is_spent(tmp_path: Path) -> None:
    units: list[str] = []
    data = [row | {"gold": "about a dozen"} for row in rows()]
    with pytest.raises(DataError, match=r"row-.*: the reference 'about a dozen' has no final answer"):
        refine(settings(written(tmp_path, data)), tmp_path, fake(units.append))
    assert units == []


# --- hub ids


def test_hub_ids_are_unresolved_in_a_dry_run_and_an_error_in_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants: Any = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    config = settings(written(tmp_path), "model.source=nobody/no-model", annotator="reward_model:nobody/no-judge")
    plan = dry_run(config, RunOptions(out=tmp_path / "out", store=tmp_path / "store"))
    assert plan.unresolved == ["nobody/no-judge@main", "nobody/no-model@main"]
    text = "\n".join(words(plan))
    assert "unresolved  nobody/no-model@main" in text
    assert "first row: cannot be shown" in text
    assert plan.estimate.seconds is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.jsonl"]
    with pytest.raises(BackendError, match=r"'nobody/no-.*' cannot be resolved to a commit"):
        refine(config, tmp_path)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("source", ["nothing.jsonl", "data.xml", "no such/thing at all", "."])
def test_a_source_that_is_not_there_or_of_no_kind(tmp_path: Path, source: str) -> None:
    (tmp_path / "data.xml").write_text("<row/>")
    with pytest.raises(ConfigError, match=r"data\.source: "):
        refine(settings(tmp_path / source), tmp_path)


# --- the report


def text_of(page: str) -> str:
    """Return what a reader sees of a page."""
    return html.unescape(re.sub(r"<[^>]+>", " ", page)).replace("\u00a0", " ")


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> \x1b[31mred\x1b[0m \u202egnp.exe"


class Hostile(FakeBackend):
    """Writes what should never run."""

    def _answer(self, prompt: Prompt, skill: float, model: str) -> Completion:
        answer = super()._answer(prompt, skill, model)
        return Completion(id=answer.id, sample=0, text=f"{HOSTILE} {answer.text}", finished=True, tokens=9)


def test_hostile_text_is_shown_and_does_nothing(tmp_path: Path) -> None:
    data = [row | {"question": f"{row['question']}{HOSTILE}", "id": f"<b>{row['id']}"} for row in rows()]
    gold = {f"{question}{HOSTILE}": answer for question, answer in RIGHT.items()}
    source = written(tmp_path / "<i>x", data)
    config = settings(source, "name=hostile", on_bad_row="skip")
    found = refine(config, tmp_path, Hostile(gold))
    assert found.reasons(1)[Reason.ACCEPTED] == CAP
    page = (found.out / "report.html").read_text()
    for harm in ("<script>alert", "<img src=x", "\x1b", "\u202e", "<b>row", "<i>x"):
        assert harm not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert page.count("<article>") == min(24, 2 * CAP)
    assert "http://" not in page.replace("http://www.w3.org/", "")
    assert found.rows[0]["question"] == data[0]["question"]


def test_the_report_has_the_summary_s_numbers_and_a_figure(tmp_path: Path) -> None:
    found = refine(settings(written(tmp_path)), tmp_path)
    page = (found.out / "report.html").read_text()
    seen = text_of(page)
    assert "<svg" in page
    assert (
        f"{2 * CAP} labels of {COUNT} changed ({percent(2 * CAP / COUNT)}) in 2 rounds.".replace("\u00a0", " ") in seen
    )
    for one in found.summary.rounds:
        for metric in (one.label_accuracy, one.annotator_accuracy, one.accepted_accuracy, one.replaced):
            assert metric is not None
            assert metric.value is not None
            assert percent(metric.value).replace("\u00a0", " ") in seen
        cells = "".join(rf"\s+{n}\b.*?" for n in [one.round, one.compared, one.counts["accepted"]])
        assert re.search(cells, seen, re.DOTALL)


@pytest.mark.slow
def test_without_a_reference_there_is_no_figure_and_no_accuracy(tmp_path: Path) -> None:
    found = refine(settings(written(tmp_path), annotator=None, method="majority"), tmp_path)
    assert found.summary.given_accuracy is None
    assert [one.label_accuracy for one in found.summary.rounds] == [None, None]
    page = (found.out / "report.html").read_text()
    assert "<svg" not in page
    assert "right labels" not in page.lower()
    assert (found.out / MODEL).is_dir()
    assert right_labels(found) > 0
    assert label(0) == f"#### {PROBLEMS[0].answer + 2}"
