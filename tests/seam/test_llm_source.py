"""Worse answers that a model on a server writes: what is asked, counted and paid for, and what a pause leaves."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from refinement import PROBLEMS, RIGHT
from rewarding import prompts, run
from rewarding import scored as scored_by
from servers import Fault, FaultServer, Reaction

from burnish.config import DataConfig, LlmSource
from burnish.errors import AnnotatorError, ConfigError, Paused
from burnish.perturbations.llm import question
from burnish.seam.options import source_of
from burnish.seam.scoring import Computed
from burnish.services import endpoint
from burnish.services.calls import CallBudget
from burnish.types import Example, Message, Role

pytest.importorskip("openai")
PARTS = re.compile(r"\[Question\]\n(.*?)\n\n\[Correct answer\]\n(.*?)\n\nWrite .* in it: (.*?)\. Keep", re.DOTALL)
RIGHT_AGAIN, SILENT, SAME = "left out", "misread", "mixed up"
"""Words of three of the four mistakes: for these, the server repeats the right number, says nothing, or says the same
as for the first mistake."""


COUNT = 5
"""The number of prompts. Each has four worse answers, and a call takes some milliseconds."""


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_DELAY", 0.001)


def parts(prompt: str) -> tuple[str, str, str]:
    found = PARTS.search(prompt)
    assert found is not None, prompt
    return found[1], found[2], found[3]


def writes(prompt: str) -> Mapping[str, float]:
    """Write a wrong number, except where one of the words above is in the mistake that is asked for."""
    asked, _, mistake = parts(prompt)
    right = int(RIGHT[asked])
    if SILENT in mistake:
        return {" ": 1.0}
    return {f"so it is\n#### {right if RIGHT_AGAIN in mistake else right + 7}": 1.0}


def scored(where: Path, source: LlmSource, **more: Any) -> Computed:
    where.mkdir(exist_ok=True)
    given: dict[str, Any] = {"data": DataConfig(source=str(prompts(where / "mine", COUNT)))}
    return scored_by(where, source, **(given | more))


def source(address: str, **more: Any) -> LlmSource:
    given = {"kind": "llm", "base_url": address, "model": "test", "api_key_env": None, "concurrency": 4, "timeout": 10}
    return LlmSource.model_validate({**given, **more})


def test_each_worse_answer_is_asked_for_once_and_checked(tmp_path: Path) -> None:
    with FaultServer(rule=writes) as server:
        done = scored(tmp_path, source(server.address))
        assert scored(tmp_path, source(server.address)).rows == done.rows
    assert server.asked.total() == COUNT * 4
    assert set(server.answered.values()) == {1}
    for row, problem in zip(done.rows, PROBLEMS, strict=False):
        values: Any = row.values
        # One wrong answer; the right one, the empty one and the repeated one are not taken.
        assert [one["text"] for one in values["worse"]] == [f"so it is\n#### {problem.answer + 7}"]
        assert values["source"] == "llm"
    assert dict(done.left_out) == {"repeated": COUNT, "right": COUNT, "unanswered": COUNT}
    assert done.fewer == COUNT
    assert "20 calls answered, 0 given up" in list(done.words())
    asked = {parts(body["messages"][0]["content"])[:2] for body in server.bodies.values()}
    assert asked == {(problem.question, problem.solution) for problem in PROBLEMS[:COUNT]}
    assert {body["temperature"] for body in server.bodies.values()} == {1.0}


def test_without_a_checker_the_server_is_believed(tmp_path: Path) -> None:
    with FaultServer(rule=writes) as server:
        done = scored(tmp_path, source(server.address), checker=None)
    assert {len(row.worse) for row in done.rows} == {2}
    assert dict(done.left_out) == {"repeated": COUNT, "unanswered": COUNT}


def test_a_cut_answer_is_not_taken(tmp_path: Path) -> None:
    with FaultServer(rule=writes, ending=lambda prompt: "length" if SAME in prompt else "stop") as server:
        done = scored(tmp_path, source(server.address))
    assert dict(done.left_out) == {"cut": COUNT, "right": COUNT, "unanswered": COUNT}


def test_a_spent_budget_pauses_and_nothing_is_paid_for_twice(tmp_path: Path) -> None:
    with FaultServer(rule=writes) as server:
        with pytest.raises(Paused, match=r"7 calls are spent \(--max-calls 7\); raise --max-calls"):
            scored(tmp_path, source(server.address), budget=CallBudget(max_calls=7), out=tmp_path / "out")
        assert server.answered.total() == 7
        # A larger budget counts what was spent before, but only in the same folder.
        with pytest.raises(Paused, match="12 calls are spent"):
            scored(tmp_path, source(server.address), budget=CallBudget(max_calls=12), out=tmp_path / "out")
        done = scored(tmp_path, source(server.address), out=tmp_path / "out")
    assert server.answered.total() == 20
    assert done.spent is not None
    assert (done.spent.calls, done.spent.cost) == (20, None)


def test_faults_are_retried_and_a_refused_prompt_has_fewer_answers(tmp_path: Path) -> None:
    refused = PROBLEMS[3].question

    def refuse(body: Mapping[str, Any], headers: Mapping[str, str]) -> Reaction | None:
        hit = refused in body["messages"][0]["content"]
        return (400, '{"error": {"message": "flagged by the content filter"}}') if hit else None

    with FaultServer(rule=writes) as server:
        clean = scored(tmp_path / "clean", source(server.address))
    with FaultServer(rule=writes, faults=0.2, kinds=(Fault.BUSY, Fault.BROKEN), refuse=refuse) as server:
        found = scored(tmp_path / "faulty", source(server.address, retries=8))
    assert server.faulty.total() > 0
    assert [row.values["worse"] for row in found.rows if row.id != "p03"] == [
        row.values["worse"] for row in clean.rows if row.id != "p03"
    ]
    (row,) = [row for row in found.rows if row.id == "p03"]
    assert row.worse == ()
    assert not row.score.defined
    assert found.left_out["unanswered"] == COUNT - 1 + 4
    assert found.spent is not None
    assert found.spent.failed == 4


def test_placeholders_are_filled_in_one_pass() -> None:
    row = Example(id="a", group="a", prompt=(Message(role=Role.USER, content="{gold}?"),), reference="{mistake} {x}")
    settings = source("http://localhost/v1", prompt="{question} | {gold} | {mistake} | {x}", mistakes=["one", "two"])
    asked = [question(settings, row, number) for number in range(3)]
    assert [one.messages[0].content for one in asked] == [
        "{gold}? | {mistake} {x} | one | {x}",
        "{gold}? | {mistake} {x} | two | {x}",
        "{gold}? | {mistake} {x} | one | {x}",
    ]
    assert [one.sample for one in asked] == [0, 1, 2]


def test_wrong_settings_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = ["base_url=http://localhost:1/v1", "model=m"]
    with pytest.raises(ConfigError, match=r"\{gold\} is not in it"):
        source_of("llm", [*there, "prompt='{question}'"])
    with pytest.raises(ConfigError, match="mistakes"):
        source_of("llm", [*there, "mistakes=[]"])
    with pytest.raises(ConfigError, match="base_url: is missing"):
        source_of("llm")
    with pytest.raises(ConfigError, match=r"source\.prices: not given, and --max-cost 1"):
        scored(tmp_path, source("http://localhost:1/v1"), budget=CallBudget(max_cost=1))
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(ConfigError, match=r"source\.api_key_env: the environment variable NO_SUCH_KEY is not set"):
        scored(tmp_path, source("https://example.org/v1", api_key_env="NO_SUCH_KEY"))
    with pytest.raises(AnnotatorError, match=r"source\.base_url: http://localhost:1/v1 does not answer"):
        scored(tmp_path, source("http://localhost:1/v1"))


def test_the_command_pauses_with_the_command_that_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from burnish.backends.fake import FakeBackend
    from burnish.inputs import context
    from burnish.seam import scoring

    def opener(*_: object) -> Callable[[], FakeBackend]:
        return lambda: FakeBackend(RIGHT)

    def every_head_is_there(_: object) -> None:
        pass  # the fake backend scores in the place of the model that is named

    monkeypatch.setattr(context, "opener_of", opener)
    monkeypatch.setattr(scoring, "check_heads", every_head_is_there)
    with FaultServer(rule=writes) as server:
        changes = [f"base_url={server.address}", "model=test", "api_key_env=null"]
        done = run(
            *("score", str(prompts(tmp_path)), "--policy", "builtin:weak", "--reward", "builtin:weak"),
            *("--source", "llm", *(part for change in changes for part in ("--set", change)), "--max-calls", "5"),
            *("--out", str(tmp_path / "out"), "--store", str(tmp_path / "store")),
        )
    assert done.exit_code == 3
    assert "5 calls are spent (--max-calls 5)" in done.output
    assert server.answered.total() == 5
