"""Proposals from a file: how rows are paired, what is refused, and a refinement without a model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from forms_data import WRITERS
from refinement import ALPHA, CAP, COUNT, PROBLEMS, WRONG_LABELS, Refined, fake, right_labels, rows, written
from refinement import refine as refine_with

import burnish
from burnish.config import RefineConfig
from burnish.errors import BurnishError, ConfigError, DataError
from burnish.ledger.history import WHY
from burnish.ledger.pushing import push
from burnish.ledger.reverting import revert
from burnish.ledger.summary import State
from burnish.protocols import Backend
from burnish.refinery import RunOptions, refine_data
from burnish.refinery.dry_run import dry_run, words
from burnish.refinery.options import Options, config_of
from burnish.refinery.words import closing
from burnish.types import Reason


def answers() -> list[dict[str, Any]]:
    """Return a right proposal for each row."""
    return [{"id": f"row-{i:02d}", "proposal": f"#### {problem.answer}"} for i, problem in enumerate(PROBLEMS)]


def proposed(folder: Path, given: list[dict[str, Any]], suffix: str = ".jsonl") -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"proposals{suffix}"
    path.write_bytes(WRITERS[suffix](given))
    return str(path)


def config(source: Path, proposals: Any, *changes: str, **options: Any) -> RefineConfig:
    given: dict[str, Any] = {"annotator": "oracle:gold", "alpha": ALPHA, "differs": "number", **options}
    return config_of(Options(data=str(source), proposals=proposals, changes=changes, **given))


def no_backend() -> Backend:
    raise AssertionError("nothing is trained, so no backend is opened")


def refine(config: RefineConfig, where: Path, **more: Any) -> Refined:
    there = Refined(where / "out", where / "store")
    refine_data(config, RunOptions(out=there.out, store=there.store, backend=no_backend, **more))
    return there


def test_a_file_takes_the_place_of_models(tmp_path: Path) -> None:
    found = refine(config(written(tmp_path), proposed(tmp_path, answers())), tmp_path)
    assert right_labels(found) == COUNT - WRONG_LABELS + CAP
    assert found.reasons(1) == {
        Reason.ACCEPTED: CAP,
        Reason.OVER_CAP: WRONG_LABELS - CAP,
        Reason.AGREED: COUNT - WRONG_LABELS,
    }
    assert (found.summary.state, found.summary.model, len(found.summary.rounds)) == (State.DONE, None, 1)
    assert not (found.out / "model").exists()
    assert {stage.name for stage in (found.store / "stages").iterdir()} == {
        "given",
        "file_proposals",
        "compare",
        "judge",
        "refine",
    }
    page = (found.out / "report.html").read_text()
    assert "none was trained" in page
    assert "a file, proposals.jsonl" in page


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json"])
def test_every_kind_of_file_and_order_gives_the_same_labels(tmp_path: Path, suffix: str) -> None:
    source, given = written(tmp_path), answers()
    by_id = refine(config(source, proposed(tmp_path, given)), tmp_path / "id")
    other = refine(config(source, proposed(tmp_path / "other", given[::-1], suffix)), tmp_path / "other")
    assert other.labels() == by_id.labels()
    in_order = [{"text": row["proposal"]} for row in given]
    unnamed = proposed(tmp_path / "order", in_order, suffix)
    ordered = refine(config(source, unnamed, "proposals.column=text"), tmp_path / "order")
    assert ordered.labels() == by_id.labels()


def test_rows_without_a_proposal_are_invalid_and_keep_their_label(tmp_path: Path) -> None:
    given = answers()[:40]
    given[0]["proposal"], given[1]["proposal"] = "", None
    there = proposed(tmp_path, given)
    plan = dry_run(config(written(tmp_path), there), RunOptions(out=tmp_path / "out", store=tmp_path / "store"))
    assert "proposals: 38 of 60 rows have one, paired by id" in list(words(plan))
    found = refine(config(written(tmp_path), there), tmp_path)
    invalid = {line.example_id for line in found.of_round(1) if line.reason is Reason.INVALID}
    assert invalid == {"row-00", "row-01", *(f"row-{i}" for i in range(40, 60))}
    assert all(line.kept == line.chosen for line in found.ledger if line.example_id in invalid)
    assert "no proposal" in WHY[Reason.INVALID]
    # A row without a proposal was not cut: no longer limit would help it.
    assert found.summary.rounds[0].unfinished == 0


def without(column: str, given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != column} for row in given]


def swapped(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    asked = [{**row, "question": problem.question} for row, problem in zip(given, PROBLEMS, strict=True)]
    return without("id", [asked[1], asked[0], *asked[2:]])


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ([*answers(), {"id": "row-99", "proposal": "#### 1"}], r"proposals.jsonl:61: no row .* has the id 'row-99'"),
        ([*answers(), answers()[3]], r"proposals.jsonl:61: a second proposal for the row 'row-03'"),
        ([*answers()[:5], {"proposal": "#### 1"}], r"proposals.jsonl:6: column 'id' is empty"),
        (without("id", answers())[:-1], r"has 59 rows and no column 'id', but .* has 60 rows"),
        ([*without("id", answers()), {"proposal": "a"}], r"has 61 rows and no column 'id', but .* has 60 rows"),
        ([*without("id", answers())[:-1], answers()[-1]], r"proposals.jsonl:60: it has the column 'id', but the first"),
        (swapped(answers()), r"proposals.jsonl:1: column 'question' is .* but data.jsonl:1 has"),
        ([{**row, "proposal": ["a"]} for row in answers()], r"proposals.jsonl:1: column 'proposal' is list"),
        ([{**row, "proposal": " "} for row in answers()], r"column 'proposal' is empty in all rows"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_the_dry_run_and_before_anything_is_asked(
    tmp_path: Path, given: list[dict[str, Any]], why: str
) -> None:
    def never(request: str, first: str, second: str) -> float:
        raise AssertionError("nobody may be asked")

    source, there = written(tmp_path), proposed(tmp_path, given)
    with pytest.raises(DataError, match=why):
        dry_run(config(source, there), RunOptions(out=tmp_path / "out", store=tmp_path / "store"))
    with pytest.raises(DataError, match=why):
        burnish.refine(source, proposals=there, annotator=never, out=tmp_path / "out", store=tmp_path / "store")


def test_a_file_whose_columns_do_not_fit_is_refused(tmp_path: Path) -> None:
    source, where = written(tmp_path), RunOptions(out=tmp_path / "out", store=tmp_path / "store")
    there = proposed(tmp_path, answers())
    with pytest.raises(ConfigError, match=r"proposals.column: .* has no column 'mine', found 'id', 'proposal'"):
        dry_run(config(source, there, "proposals.column=mine"), where)
    with pytest.raises(ConfigError, match=r"proposals.path: 'nowhere.jsonl' is not a file"):
        dry_run(config(source, "nowhere.jsonl"), where)
    with pytest.raises(ConfigError, match=r"it has the column 'id', but the id column of the dataset is 'topic'"):
        dry_run(config(source, there, "data.id_column=topic"), where)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ConfigError, match=r"proposals.path: .*notes.txt' is of no known kind"):
        dry_run(config(source, str(tmp_path / "notes.txt")), where)
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(DataError, match=r"empty.jsonl: no rows"):
        dry_run(config(source, str(tmp_path / "empty.jsonl")), where)


@pytest.mark.parametrize(
    ("options", "changes", "why"),
    [
        ({"rounds": 2}, (), r"method.rounds: 2 found, but with proposals there is one round"),
        ({"rounds": "auto"}, (), r"method.rounds: auto found"),
        ({"method": "naive"}, (), r"method: naive found"),
        ({"method": "clear"}, (), r"method: clear found"),
        ({"method": "majority"}, (), r"method: majority found"),
        ({}, ("method.splits=3",), r"method.splits and method.cross_label"),
        ({}, ("method.cross_label=false",), r"method.splits and method.cross_label"),
        ({}, ("decode.beams=1",), r"decode: it is set, but proposals come from elsewhere"),
        ({"model": "builtin:strong"}, ("decode.beams=1",), r"decode: it is set"),
        ({}, ("train_proposers.epochs=1",), r"train_proposers: it is set"),
        ({}, ("train.epochs=1",), r"train: it is set, but no model is given"),
        ({"holdout": 20}, (), r"holdout: 20 found, but no model is given.*\(--model MODEL\)"),
        ({"model": "builtin:strong", "holdout": 20}, ("train_proposers.epochs=1",), r"train_proposers: it is set"),
        ({"merge": True}, (), r"merge: it is set, but no model is given"),
        ({"template": "paper"}, (), r"model.source: is missing"),
        ({"proposals": {"kind": "server", "base_url": "http://x/v1"}}, (), r"proposals.model: is missing"),
        ({"proposals": None}, (), r"model: none is given; give a base model"),
    ],
)
def test_settings_that_would_not_be_used_are_refused(
    options: dict[str, Any], changes: tuple[str, ...], why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        config(Path("d.jsonl"), options.pop("proposals", "p.jsonl"), *changes, **options)


@pytest.mark.slow
def test_with_a_model_the_model_is_trained_once_on_the_refined_labels(tmp_path: Path) -> None:
    given = config(written(tmp_path), proposed(tmp_path, answers()), "train.lora=null", model="builtin:strong")
    backend = fake()
    found = refine_with(given, tmp_path, backend)
    assert found.summary.model is not None
    assert len(list((found.store / "stages" / "train").iterdir())) == 1
    assert not (found.store / "stages" / "answer").exists()


# It needs the tokenizer of a model.
@pytest.mark.slow
def test_a_proposal_that_does_not_fit_into_the_model_is_found_before_anybody_is_asked(tmp_path: Path) -> None:
    given = answers()
    given[4]["proposal"] = "a " * 200
    long = config(written(tmp_path), proposed(tmp_path, given), "train.lora=null", model="builtin:strong")
    with pytest.raises(DataError, match=r"data.jsonl:5 with its proposal: .* takes at most 128"):
        dry_run(long, RunOptions(out=tmp_path / "out", store=tmp_path / "store"))


# It needs the tokenizer of a model.
@pytest.mark.slow
def test_with_held_out_prompts_the_limit_of_the_models_answers_is_checked(tmp_path: Path) -> None:
    changes = ("train.lora=null", "decode.max_new_tokens=1")
    source, there = written(tmp_path), proposed(tmp_path, answers())
    cut = config(source, there, *changes, model="builtin:strong", holdout=20)
    with pytest.raises(ConfigError, match=r"decode.max_new_tokens: 1 found"):
        dry_run(cut, RunOptions(out=tmp_path / "out", store=tmp_path / "store"))


@pytest.mark.slow
def test_the_content_of_the_file_identifies_the_refinement_and_not_its_place(tmp_path: Path) -> None:
    source, there = written(tmp_path), proposed(tmp_path, answers())
    first = refine(config(source, there), tmp_path)
    stages = tmp_path / "store" / "stages" / "file_proposals"
    refine(config(source, proposed(tmp_path / "moved", answers())), tmp_path)
    assert len(list(stages.iterdir())) == 1
    before = first.labels()
    proposed(tmp_path, [{**row, "proposal": "#### 7"} for row in answers()])
    with pytest.raises(ConfigError, match="holds 1 rounds of another refinement"):
        refine(config(source, there), tmp_path)
    assert refine(config(source, there), tmp_path, overwrite=True).labels() != before
    assert len(list(stages.iterdir())) == 2


@pytest.mark.slow
def test_show_diff_revert_and_push_work_without_a_model(tmp_path: Path) -> None:
    given = config(written(tmp_path), proposed(tmp_path, answers()), reference="gold")
    where = RunOptions(out=tmp_path / "out", store=tmp_path / "store", backend=no_backend)
    finished = refine_data(given, where)
    lines = list(closing(finished))
    assert "model: none was trained, because no --model was given; finetune one on the dataset" in lines
    found = Refined(where.out, where.store)
    changed = [line.example_id for line in found.ledger if line.reason is Reason.ACCEPTED]
    assert len(list(burnish.diff(found.out))) == CAP
    assert burnish.show(found.out, changed[0])
    assert revert(found.out, None, changed[:1]) == 1
    assert right_labels(found) == COUNT - WRONG_LABELS + CAP - 1
    again = refine_data(given, where)
    assert (again.summary.reverted, again.summary.model) == (1, None)
    assert right_labels(found) == COUNT - WRONG_LABELS + CAP - 1
    push(found.out, None, tmp_path / "pushed", private=False)
    assert sorted(path.name for path in (tmp_path / "pushed").iterdir()) == ["dataset"]
    card = (tmp_path / "pushed" / "dataset" / "README.md").read_text()
    assert "a file, proposals.jsonl" in card
    assert str(tmp_path) not in card


@pytest.mark.slow
def test_ids_that_burnish_made_and_skipped_rows_are_known(tmp_path: Path) -> None:
    data = without("id", rows())
    data[7]["answer"] = ""
    source = written(tmp_path, data)
    text = [{"answer": row["proposal"]} for row in answers()]
    ordered = refine(config(source, proposed(tmp_path, text), on_bad_row="skip"), tmp_path)
    assert ordered.summary.data.usable == COUNT - 1
    places = {example.id: int(str(example.metadata["position"])) for example in ordered.examples}
    made: list[dict[str, Any]] = [{"id": id_, **text[place]} for id_, place in places.items()]
    by_id = refine(config(source, proposed(tmp_path / "id", made[::-1]), on_bad_row="skip"), tmp_path / "id")
    assert by_id.labels() == ordered.labels()
    # The proposal for a row of the dataset that cannot be used is passed over.
    named = rows()
    named[7]["answer"] = ""
    source = written(tmp_path / "named", named)
    found = refine(config(source, proposed(tmp_path / "named", answers()), on_bad_row="skip"), tmp_path / "named")
    assert {line.example_id for line in found.ledger} == {f"row-{i:02d}" for i in range(COUNT) if i != 7}


def test_a_number_is_a_proposal_as_it_is_written(tmp_path: Path) -> None:
    source = tmp_path / "prices.jsonl"
    source.write_text('{"id": "a", "question": "q", "answer": 1.20, "gold": 1.10}\n' * 1)
    there = tmp_path / "p.jsonl"
    there.write_text('{"id": "a", "proposal": 1.10}\n')
    found = refine(config(source, str(there), alpha=1.0), tmp_path)
    assert [row["answer"] for row in found.rows] == [1.1]
    assert (found.out / "refined.jsonl").read_text() == '{"id": "a", "question": "q", "answer": 1.10, "gold": 1.10}\n'


# It starts an interpreter, because this one has torch in it already.
@pytest.mark.slow
def test_the_command_needs_no_model_library(tmp_path: Path) -> None:
    source, there = written(tmp_path), proposed(tmp_path, answers())
    arguments = ["refine", str(source), "--proposals", there, "--annotator", "oracle:gold", "--differs", "number"]
    code = f"""
import sys
from burnish.cli import main
main({[*arguments, "--json"]!r}, standalone_mode=False)
assert not {{"torch", "transformers", "peft", "trl", "datasets"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["model"] is None
    assert summary["config"]["proposals"] == {"kind": "file", "path": there, "column": None}
    assert summary["rounds"][0]["counts"]["accepted"] == 9


def test_python_gives_the_same_and_no_model(tmp_path: Path) -> None:
    done = burnish.refine(
        written(tmp_path),
        proposals=Path(proposed(tmp_path, answers())),
        annotator="oracle:gold",
        alpha=ALPHA,
        differs="number",
        out=tmp_path / "out",
        store=tmp_path / "store",
    )
    assert done.model is None
    assert sum(line.reason is Reason.ACCEPTED for line in done.ledger) == CAP
    with pytest.raises(BurnishError, match="proposals"):
        burnish.refine(written(tmp_path), proposals=3, annotator="oracle:gold", out=tmp_path / "other")
