"""`burnish seam score` with models, on the fake backend and on built-in models."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from refinement import PROBLEMS, RIGHT, fake
from refused import check_refused
from rewarding import Misjudging, prompts, run, scored
from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType]

from burnish.backends.fake import FakeBackend
from burnish.cli import main
from burnish.config import DataConfig, ModelConfig, OwnSource
from burnish.errors import ConfigError, DataError
from burnish.models.location import EMBEDDED
from burnish.protocols import Score
from burnish.seam.options import checker_of, source_of
from burnish.seam.page import write_results
from burnish.seam.results import write_table
from burnish.seam.table import read_table


def test_the_table_has_what_both_models_say(tmp_path: Path) -> None:
    done = scored(tmp_path)
    assert (len(done.rows), done.fewer, done.no_gold, done.no_reward, done.bad_rows) == (20, 0, 0, 0, 0)
    for row, problem in zip(done.rows, PROBLEMS, strict=False):
        values: Any = row.values
        assert (values["prompt"], values["source"]) == (problem.question, "adversarial")
        assert values["gold"]["text"] == problem.solution
        assert row.gold.reward == float(problem.solution[-1])
        # The fake backend says -2 to -1 for wrong answers and -1 to 0 for right ones, in 2 tokens.
        assert -1 <= row.gold.logprob <= 0
        assert all(-2 <= one.logprob <= -1 and one.tokens == 2 for one in row.worse)
        assert [one.reward for one in row.worse] == [float(one["text"][-1]) for one in values["worse"]]
        assert len({one["text"] for one in values["worse"]}) == 4
    written = read_table(write_table(done.rows, tmp_path / "out"))
    assert [row.score for row in written] == [row.score for row in done.rows]
    page = write_results(done.rows, tmp_path / "out", "prompts", list(done.words())).read_text()
    assert "possible answers that were not taken" in page


def test_own_answers_and_prompts_without_a_worse_one(tmp_path: Path) -> None:
    done = scored(tmp_path, OwnSource(kind="own", samples=2))
    # The fake policy has one wrong answer to a prompt, and never writes it for some of them.
    assert {len(row.worse) for row in done.rows} == {0, 1}
    undefined = [row for row in done.rows if not row.worse]
    assert undefined
    assert all(not row.score.defined for row in undefined)
    assert done.fewer == 20
    assert "20 prompts with fewer than 4 worse answers" in list(done.words())


def test_nothing_is_computed_twice(tmp_path: Path) -> None:
    first = scored(tmp_path)
    units: list[str] = []
    assert scored(tmp_path, backend=fake(units.append)).rows == first.rows
    assert units == []
    scored(tmp_path, backend=Misjudging(RIGHT, units.append), reward=ModelConfig(source="builtin:weak"))
    assert set(units) == {"rewards"}


def test_a_limit_draws_prompts_by_id(tmp_path: Path) -> None:
    ids = [[row.id for row in scored(tmp_path, limit=5, seed=seed).rows] for seed in (0, 0, 1)]
    assert len(ids[0]) == 5
    assert ids[0] == ids[1] != ids[2]


class Choosy(Misjudging):
    """Gives no reward to answers that end in some digits."""

    without: Sequence[str] = ()

    def rewards(self, model: Any, rows: Any, done: Any) -> Any:
        for batch in super().rewards(model, rows, done):
            yield [score for score in batch if str(score.value)[0] not in self.without]


def test_answers_that_do_not_fit_are_counted(tmp_path: Path) -> None:
    backend = Choosy(RIGHT)
    backend.without = ("4", "5")
    done = scored(tmp_path, backend=backend)
    gold = [problem.solution[-1] for problem in PROBLEMS[:20]]
    assert done.no_gold == sum(digit in "45" for digit in gold) > 0
    assert len(done.rows) == 20 - done.no_gold
    assert done.no_reward > 0
    assert {one.reward for row in done.rows for one in row.worse}.isdisjoint({4.0, 5.0})


def test_gold_answers_that_the_checker_cannot_read_are_counted_as_prompts(tmp_path: Path) -> None:
    path = prompts(tmp_path / "mine")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows[:3]:
        row["answer"] = "no number"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = list(scored(tmp_path, backend=fake(), data=DataConfig(source=str(path))).words())
    reason = "because the checker finds no final answer in the gold answer"
    assert f"3 prompts without a worse answer, {reason}" in words
    assert not any("no gold" in line for line in words)


class Short(Misjudging):
    """Has a context into which some answers do not fit."""

    long: Sequence[str] = ()

    def fitting(self, model: Any, rows: Any) -> set[str]:
        return {row.id for row in rows} - {*self.long}


def test_answers_too_long_for_the_policy_are_counted(tmp_path: Path) -> None:
    backend = Short(RIGHT)
    backend.long = ("0:p01", "2:p01", "1:p02", "3:p02", "4:p05")
    done = scored(tmp_path, backend=backend)
    assert (len(done.rows), done.no_gold, done.no_logprob, done.no_reward) == (19, 1, 3, 0)
    assert {row.id: len(row.worse) for row in done.rows if len(row.worse) < 4} == {"p02": 2, "p05": 3}
    whole = {row.id: row.worse for row in scored(tmp_path / "whole").rows}
    (row,) = [row for row in done.rows if row.id == "p02"]
    assert row.worse == (whole["p02"][1], whole["p02"][3])
    assert "3 worse answers left out that do not fit into the policy" in list(done.words())
    backend.long = tuple(f"0:p{number:02d}" for number in range(20))
    with pytest.raises(DataError, match="no gold answer fits into both models"):
        scored(tmp_path / "none", backend=backend)


class Broken(Misjudging):
    """Gives no number for the answers of one prompt."""

    def logprobs(self, model: Any, rows: Any, done: Any) -> Any:
        for batch in super().logprobs(model, rows, done):
            yield [Score(id=s.id, value=float("nan") if s.id == "2:p03" else s.value, tokens=2) for s in batch]


def test_a_policy_without_a_number_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"answer 2:p03: the model gives the log-probability nan; .*dtype: float32"):
        scored(tmp_path, backend=Broken(RIGHT))
    # Nothing of it was kept: a repaired model is asked again.
    assert len(scored(tmp_path).rows) == 20


class Flat(FakeBackend):
    """Gives every answer the same reward."""

    def rewards(self, model: Any, rows: Any, done: Any) -> Any:
        for batch in self._batches("rewards", rows, done):
            yield [Score(id=row.id, value=0.25, tokens=3) for row in batch]


def test_a_reward_model_that_tells_nothing_apart_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gives all 100 answers the reward 0\.25"):
        scored(tmp_path, backend=Flat(RIGHT))


def test_rows_that_cannot_be_used(tmp_path: Path) -> None:
    path = prompts(tmp_path / "mine")
    path.write_text(path.read_text() + '{"id": "empty", "question": "q", "answer": ""}\n')
    with pytest.raises(DataError, match=r"prompts\.jsonl:21: empty completion.*--on-bad-row skip"):
        scored(tmp_path, data=DataConfig(source=str(path)))
    done = scored(tmp_path, data=DataConfig(source=str(path), on_bad_row="skip"))
    assert (len(done.rows), done.bad_rows) == (20, 1)
    path.write_text(path.read_text().replace("p01", "p00"))
    with pytest.raises(DataError, match="'p00' occurs twice"):
        scored(tmp_path, data=DataConfig(source=str(path), on_bad_row="skip"))


@pytest.mark.parametrize(
    ("text", "changes", "expected"),
    [
        ("own", [], {"kind": "own", "samples": 16}),
        ("own", ["samples=4", "temperature=0.7"], {"kind": "own", "samples": 4, "temperature": 0.7}),
        ("weaker:builtin:weak", [], {"kind": "weaker"}),
        ("contrast", [], {"kind": "contrast", "embedder": None}),
        ("contrast:my/embedder", [], {"kind": "contrast", "embedder": "my/embedder"}),
        ("adversarial:words", [], {"kind": "adversarial", "edits": "words"}),
    ],
)
def test_short_forms_of_sources(text: str, changes: list[str], expected: dict[str, Any]) -> None:
    assert source_of(text, changes).model_dump(mode="json").items() >= expected.items()


def test_a_source_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "source.yaml"
    path.write_text("kind: weaker\nmodel: builtin:weak\nsamples: 3\n")
    assert source_of(str(path)).model_dump(mode="json")["samples"] == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nothing", "adversarial[:EDITS], contrast[:EMBEDDER], own, weaker:MODEL"),
        ("own:x", "write own"),
        ("weaker", "model: is missing"),
        ("adversarial:sounds", "edits"),
        ("contrast:", "write contrast[:EMBEDDER]"),
    ],
)
def test_wrong_sources_are_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        source_of(text)
    assert words in str(refused.value)


def test_checkers() -> None:
    assert checker_of("number").reader == "number, numbers 2"
    assert checker_of("gsm8k").reader == "gsm8k, numbers 2"
    with pytest.raises(ConfigError, match=r"--checker: 'nothing' is unknown.*number, marked or text"):
        checker_of("nothing")
    with pytest.raises(ConfigError, match="executes answers"):
        checker_of("text_to_sql")


def test_wrong_commands_are_refused(tmp_path: Path) -> None:
    path, store = str(prompts(tmp_path)), ["--store", str(tmp_path / "store")]
    check_refused(run("score", path, "--policy", "builtin:strong", *store), "--reward: it is missing")
    check_refused(run("score", path), "no column 'gold'", "--policy and --reward")
    both = ["--policy", "builtin:strong", "--reward", "builtin:nothing"]
    check_refused(run("score", path, *both, "--out", str(tmp_path / "out"), *store), "reward: 'builtin:nothing'")
    check_refused(run("mismatch", path, *both, *store), "--checker", "--annotator")
    check_refused(
        run("score", path, *both[:-1], "builtin:strong", *store), "reward: 'builtin:strong' has no trained head"
    )
    both[-1] = str(tmp_path / "rm")
    shutil.copytree(EMBEDDED / "strong", both[-1])
    # A file with a head of one number makes it look like a reward model.
    save_file({"score.weight": np.zeros((1, 8), dtype=np.float32)}, tmp_path / "rm" / "head.safetensors")
    check_refused(
        run("score", path, *both, "--source", "own", "--out", str(tmp_path / "out"), *store), "kind own", "--checker"
    )


@pytest.mark.slow
def test_built_in_models_score_and_mismatch(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pairs, store = tmp_path / "pairs.jsonl", ["--store", str(tmp_path / "store")]
    rows = [
        {"prompt": p.question, "chosen": p.solution, "rejected": f"#### {p.answer + n % 3 - 1}"}
        for n, p in enumerate(PROBLEMS[::2])
    ]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = str(tmp_path / "rm")
    train = ["reward", "train", str(pairs), "--base", "builtin:weak", "--epochs", "1", "--out", model, *store]
    assert CliRunner().invoke(main, train).exit_code == 0
    both = ["--policy", "builtin:weak", "--reward", model, "--checker", "sums", "--limit", "6", *store]
    out = tmp_path / "seam"
    done = run("score", str(prompts(tmp_path)), *both, "--n", "3", "--out", str(out), "--json")
    assert done.exit_code == 0, done.output
    scored = json.loads(done.stdout)
    assert (0 < len(scored["rows"]) < 6, scored["undefined"]) == (True, 0)
    assert json.loads(run("score", str(out / "table.jsonl"), "--json").stdout) == scored
    done = run("mismatch", str(prompts(tmp_path)), *both, "--samples", "2", "--max-new-tokens", "8", "--json")
    found = json.loads(done.stdout)
    # Prompts that the reward model was trained on do not count.
    assert (found["prompts"] + found["trained_on"], found["trained_on"] > 0) == (6, True)
    assert len(scored["rows"]) == found["prompts"]
    assert found["policies"][0]["samples"] == 2 * found["prompts"]
