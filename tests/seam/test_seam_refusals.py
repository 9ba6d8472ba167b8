"""Inputs with which SEAM and reward models must not go wrong silently: a named error, or a counted exclusion."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from refinement import PROBLEMS, RIGHT
from rewarding import STRONG, Misjudging, prompts, run, scored

from burnish.algorithms.seam import means
from burnish.backends.fake import FakeBackend
from burnish.config import AdversarialSource, ContrastSource, DataConfig, ModelConfig
from burnish.errors import DataError
from burnish.rewards.options import training_of
from burnish.rewards.verbs import Workplace, measure, train_and_test
from burnish.seam.mismatch import MismatchOptions, mismatch
from burnish.seam.options import checker_of
from burnish.seam.results import as_json, warnings
from burnish.seam.selecting import SelectOptions, select


def written(where: Path, rows: list[dict[str, Any]]) -> DataConfig:
    where.mkdir(exist_ok=True)
    path = where / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return DataConfig(source=str(path))


def test_a_prompt_without_a_gold_answer_is_named_or_counted(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"id": "a", "question": PROBLEMS[0].question, "answer": PROBLEMS[0].solution},
        {"id": "b", "question": PROBLEMS[1].question, "answer": None},
    ]
    data = written(tmp_path, rows)
    with pytest.raises(DataError, match=r"rows\.jsonl:2: empty completion: column 'answer' is null"):
        scored(tmp_path, data=data)
    done = scored(tmp_path, data=data.model_copy(update={"on_bad_row": "skip"}))
    assert ([row.id for row in done.rows], done.bad_rows) == (["a"], 1)
    with pytest.raises(DataError, match="no known form"):
        scored(tmp_path, data=written(tmp_path / "none", [{"id": "a", "question": "what?"}]))


def test_a_source_that_finds_nothing_worse_gives_no_score_and_never_zero(tmp_path: Path) -> None:
    rows = [{"id": str(n), "question": p.question, "answer": "no digits"} for n, p in enumerate(PROBLEMS[:3])]
    source = AdversarialSource.model_validate({"kind": "adversarial", "edits": "numbers"})
    done = scored(tmp_path, source, data=written(tmp_path, rows), checker=None, backend=Flat(RIGHT))
    found = as_json([row.score for row in done.rows])
    assert (found["undefined"], done.fewer) == (3, 3)
    assert {row["seam"] for row in found["rows"]} == {None}
    assert set(found["mean"].values()) == {None}
    assert means([]).values == means(row.score for row in done.rows).values
    assert any("no prompt has a score" in line for line in warnings(done.rows))
    kept = select(done.rows, SelectOptions(keep=0.5), tmp_path / "out")
    assert any("3" in line for line in kept.words())
    ledger = [json.loads(line) for line in (tmp_path / "out" / "ledger.jsonl").read_text().splitlines()]
    assert {(line["kept"], line["reason"], line["score"]) for line in ledger} == {(True, "undefined", None)}


class Flat(FakeBackend):
    """Rewards answers by their place."""

    def rewards(self, model: Any, rows: Any, done: Any) -> Any:
        from burnish.protocols import Score

        for batch in self._batches("rewards", rows, done):
            yield [Score(id=row.id, value=float(number), tokens=2) for number, row in enumerate(batch)]


@pytest.mark.parametrize(("count", "fewer"), [(1, 1), (3, 3), (20, 0)])
def test_fewer_neighbours_than_asked_are_counted_and_none_is_the_prompts_own(
    tmp_path: Path, count: int, fewer: int
) -> None:
    data = DataConfig(source=str(prompts(tmp_path / "some", count)))
    done = scored(tmp_path, ContrastSource(kind="contrast", max_cosine=1.0), data=data)
    assert (len(done.rows), done.fewer) == (count, fewer)
    for row, problem in zip(done.rows, PROBLEMS, strict=False):
        values: Any = row.values
        assert len(row.worse) == min(4, count - 1)
        assert problem.solution not in [one["text"] for one in values["worse"]]


def _trained(where: Path, count: int) -> ModelConfig:
    """Train a reward model of the fake backend on pairs of the first prompts, and return its folder."""
    pairs(where, 0, count)
    place = Workplace(store=where / "store", own_backend=lambda: Misjudging(RIGHT))
    train_and_test(where / "pairs.jsonl", training_of("builtin:strong", {"held_out": 0}), where / "rm", place)
    return ModelConfig(source=str(where / "rm"))


def pairs(where: Path, first: int, count: int) -> Path:
    where.mkdir(exist_ok=True)
    rows = [
        {"prompt": p.question, "chosen": f"#### {p.answer}", "rejected": f"#### {p.answer + 1}"}
        for p in PROBLEMS[first : first + count]
    ]
    path = where / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_pairs_of_prompts_that_a_reward_model_was_trained_on_are_no_test_of_it(tmp_path: Path) -> None:
    model = _trained(tmp_path / "a", 10)
    place = Workplace(store=tmp_path / "store", own_backend=lambda: Misjudging(RIGHT))
    report = measure(model, pairs(tmp_path / "b", 6, 10), place)
    assert (report.tested, report.left_out) == (6, {"trained_on": 4})
    assert "left out: 4 of prompts that it was trained on" in list(report.words())
    with pytest.raises(DataError, match="was trained on the prompts of all 5 pairs"):
        measure(model, pairs(tmp_path / "c", 0, 5), place)


def test_prompts_that_a_reward_model_was_trained_on_are_in_no_mismatch(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "data": DataConfig(source=str(prompts(tmp_path / "data"))),
        "policies": (STRONG,),
        "reward": _trained(tmp_path / "a", 8),
        "checker": checker_of("number"),
        "samples": 4,
        "off_policy": pairs(tmp_path / "b", 4, 10),
    }
    report = mismatch(MismatchOptions(**options), tmp_path / "store", tmp_path / "out", lambda: Misjudging(RIGHT))
    assert (report.prompts, report.trained_on, report.policies[0].samples) == (12, 8, 48)
    assert report.off_policy_accuracy is not None
    assert (report.off_policy_accuracy.n, report.off_policy_left_out) == (6, {"trained_on": 4})
    assert "  left out of the file: 4 of prompts that it was trained on" in list(report.words())
    assert "left out: 8 prompts that the reward model was trained on" in list(report.words())
    seen: dict[str, Any] = {**options, "data": DataConfig(source=str(prompts(tmp_path / "few", 8)))}
    with pytest.raises(DataError, match="was trained on all its prompts"):
        mismatch(MismatchOptions(**seen), tmp_path / "store", None, lambda: Misjudging(RIGHT))


def _with_head(folder: Path) -> Path:
    """Give a tiny model a head with one number."""
    import transformers

    library: Any = transformers
    model = library.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1)
    model.config.pad_token_id = 0
    model.save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_a_reward_model_and_a_policy_may_have_different_tokenizers(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from tiny_models import tiny_model

    given = ["--policy", "builtin:weak", "--checker", "sums", "--n", "2", "--store", str(tmp_path / "store")]
    counts: list[list[int]] = []
    for style in ("qwen", None):
        out = tmp_path / f"out-{style}"
        model = str(_with_head(tiny_model(tmp_path / f"tiny-{style}", style)))
        done = run("score", str(prompts(tmp_path, 3)), "--reward", model, *given, "--out", str(out))
        assert done.exit_code == 0, done.output
        rows = [json.loads(line) for line in (out / "table.jsonl").read_text().splitlines()]
        counts.append([one["tokens"] for row in rows for one in (row["gold"], *row["worse"])])
        # The policy's tokens are words; the answer's end is one of them.
        assert counts[-1] == [len(one["text"].split()) + 1 for row in rows for one in (row["gold"], *row["worse"])]
    assert counts[0] == counts[1]
