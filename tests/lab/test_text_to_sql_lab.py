"""Experiments on queries with the fake backend: answers agree by their results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from experiment import measured, small
from sql_data import people, rows_of, write

from burnish.backends.fake import FakeBackend
from burnish.config import Config
from burnish.protocols import SaysMore
from burnish.steps.artifacts import read_demonstrations, read_ledger, read_samples
from burnish.tasks import make_task
from burnish.types import Completion, Message, Prompt, Reason, short_hash


class Queries(FakeBackend):
    """Writes the gold query in words of its own, or one with another result, or one that does not run."""

    def _answer(self, prompt: Prompt, skill: float, model: str) -> Completion:
        draw = int(short_hash(prompt.id, str(prompt.sample), model), 16) / 2**64
        gold = self.gold["\n".join(message.content for message in prompt.messages)]
        wrong = "SELECT 'wrong'" if int(draw * 1000) % 3 == 0 else f"SELECT nothing FROM {model[:6]}"
        text = f"```sql\n/* {model[:6]} */ {gold}\n```" if draw < skill else wrong
        return Completion(id=prompt.id, sample=prompt.sample, text=text, finished=True, tokens=2)

    def _right(self, prompt: Sequence[Message], completion: str) -> bool:
        return self.gold["\n".join(message.content for message in prompt)] in completion


def config(tmp_path: Path, **changes: Any) -> Config:
    path = write(tmp_path / "rows.jsonl", *rows_of(people(tmp_path / "people.sqlite"), 300))
    return small(task={"kind": "text_to_sql", "source": str(path), "databases": str(tmp_path)}, **changes)


def backend(settings: Config) -> Queries:
    data = make_task(settings.task).load()
    return Queries({row.prompt[0].content: row.reference or "" for row in (*data.train, *data.test)})


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["oracle", "classifier"])
def test_refinement_compares_queries_by_their_results(tmp_path: Path, kind: str) -> None:
    settings = config(tmp_path, supervision={"annotator": {"kind": kind}})
    done = measured(settings, tmp_path, backend(settings))
    round_ = done.outcome("ilr", 1).round
    assert round_.compared is not None
    texts = {
        row.id: row.completion for side in round_.compared.sides for rows in read_samples(side).values() for row in rows
    }
    ledger = read_ledger(round_.demonstrations)
    kinds = {row.example_id: (kind_of(texts[row.kept]), kind_of(texts[row.proposed])) for row in ledger}
    agreed = {row.example_id for row in ledger if row.reason is Reason.AGREED}
    # Each model's comment makes equal queries differ as texts; two that fail agree in nothing.
    assert agreed == {id_ for id_, sides in kinds.items() if sides in {("right", "right"), ("wrong", "wrong")}}
    assert {("right", "right"), ("fails", "fails")} <= set(kinds.values())
    assert any(row.reason is Reason.ACCEPTED for row in ledger)


def kind_of(text: str) -> str:
    return "right" if "/*" in text else "wrong" if "'wrong'" in text else "fails"


@pytest.mark.slow
def test_moving_the_databases_changes_no_fingerprint(tmp_path: Path) -> None:
    settings = config(tmp_path, methods=[{"kind": "sft"}])
    before = measured(settings, tmp_path, backend(settings))
    moved = tmp_path / "moved"
    moved.mkdir()
    (tmp_path / "people.sqlite").rename(moved / "people.sqlite")
    task = settings.task.model_copy(update={"databases": str(moved)})
    elsewhere = settings.model_copy(update={"task": task})
    after = measured(elsewhere, tmp_path, backend(elsewhere))
    assert all(record.reused for record in after.executor.records)
    assert after.results.runs == before.results.runs


@pytest.mark.slow
def test_dpo_and_votes_on_queries(tmp_path: Path) -> None:
    methods = [
        {"kind": "dpo", "rounds": 1, "samples": 2, "pairs": "differing"},
        {"kind": "majority", "rounds": 1, "samples": 3},
    ]
    settings = config(tmp_path, methods=methods, supervision={"annotator": {"kind": "oracle"}})
    done = measured(settings, tmp_path, backend(settings))
    assert {run.method for run in done.results.runs} == {"weak", "dpo", "majority"}


@pytest.mark.slow
def test_queries_that_do_not_run_are_counted_by_why(tmp_path: Path) -> None:
    settings = config(tmp_path, methods=[{"kind": "sft"}])
    done = measured(settings, tmp_path, backend(settings))
    run, answers = done.run("sft", 0), read_demonstrations(done.outcome("sft", 0).answers).values()
    kinds = Counter(kind_of(answer.completion) for answer in answers)
    assert kinds["fails"] > 0
    assert run.counts["answers_error"] == kinds["fails"]
    assert run.metrics["executed"].value == pytest.approx(1 - kinds["fails"] / kinds.total())
    assert run.metrics["executed"].n == kinds.total()


def test_answers_without_a_query_are_counted_by_why(tmp_path: Path) -> None:
    settings = config(tmp_path)
    example = make_task(settings.task).load().test[0]
    texts = ["", "Das weiß ich nicht.", "SELECT 1; SELECT 2", "SELECT name FROM person", "DROP TABLE person"]
    task = make_task(settings.task)
    assert isinstance(task, SaysMore)
    said = task.said([(example, text) for text in texts])
    assert said.shares == {"executed": (1, 5)}
    assert said.counts == {
        "answers_empty": 1,
        "answers_not_sql": 1,
        "answers_refused": 1,
        "answers_two_statements": 1,
    }
