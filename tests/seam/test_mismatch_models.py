"""`burnish seam mismatch` on the fake backend: by a checker, a program and people."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from refinement import PROBLEMS, RIGHT, fake, script
from refused import check_refused
from rewarding import STRONG, Misjudging, prompts, run, scored

from burnish.backends.fake import FakeBackend
from burnish.config import CommandConfig, DataConfig, ModelConfig, PeopleConfig
from burnish.errors import ConfigError, DataError, Paused
from burnish.people.sheet import export, import_
from burnish.seam.folders import check_out
from burnish.seam.mismatch import FILES, MismatchOptions, mismatch
from burnish.seam.mismatch_report import MismatchReport
from burnish.seam.options import checker_of
from burnish.seam.results import write_table


def measured(where: Path, backend: FakeBackend | None = None, **more: Any) -> MismatchReport:
    given: dict[str, Any] = {
        "data": DataConfig(source=str(prompts(where))),
        "policies": (STRONG,),
        "reward": STRONG,
        "checker": checker_of("number"),
        "samples": 6,
    }
    chosen = backend or Misjudging(RIGHT)
    return mismatch(MismatchOptions(**(given | more)), where / "store", where / "out", lambda: chosen)


def test_the_mismatch_of_a_policys_own_answers(tmp_path: Path) -> None:
    report = measured(tmp_path)
    (policy,) = report.policies
    assert (policy.samples, policy.unfinished, policy.undecided) == (120, 0, 0)
    assert policy.right is not None
    # A wrong answer is one more than the right one. Its last digit is higher, unless that of the right one is 9.
    lines = [json.loads(line) for line in (tmp_path / "out" / "prompts.jsonl").read_text().splitlines()]
    rates = {line["id"]: line["mismatch"] for line in lines if line["pairs"]}
    assert rates == {id_: float(PROBLEMS[int(id_[1:])].answer % 10 != 9) for id_ in rates}
    total = sum(line["pairs"] for line in lines)
    assert policy.pairs == total
    share = sum(line["pairs"] for line in lines if line["mismatch"]) / total
    assert policy.mismatch.value == pytest.approx(share)
    assert report.off_policy_accuracy is None
    assert json.loads((tmp_path / "out" / "mismatch.json").read_text()) == report.model_dump(mode="json")


def test_a_reward_model_that_is_always_right_has_no_mismatch(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    rows = [{"prompt": p.question, "chosen": f"#### {p.answer}", "rejected": "#### 99"} for p in PROBLEMS[:9]]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = write_table(scored(tmp_path).rows, tmp_path / "table")
    weak = ModelConfig(source="builtin:weak")
    report = measured(tmp_path, fake(), policies=(STRONG, weak), off_policy=pairs, against=table)
    assert [one.mismatch.value for one in report.policies] == [0.0, 0.0]
    assert report.off_policy_accuracy is not None
    assert (report.off_policy_accuracy.value, report.off_policy_accuracy.n) == (1.0, 9)
    # The rate does not vary, so nothing can be correlated with it.
    assert {metric.value for one in report.policies for metric in one.correlation.values()} == {None}
    words = "\n".join(report.words())
    assert "policy builtin:weak" in words
    assert "accuracy on the pairs of the file: 100.0" in words


def test_scores_that_follow_the_mismatch_correlate_with_it(tmp_path: Path) -> None:
    table = tmp_path / "table.jsonl"
    bad, good = ({"reward": reward, "logprob": -1, "tokens": 1} for reward in (2, 0))
    rows = [
        {
            "id": f"p{n:02d}",
            "gold": {"reward": 1, "logprob": -1, "tokens": 1},
            "worse": [good if p.answer % 10 == 9 else bad],
        }
        for n, p in enumerate(PROBLEMS)
    ]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (policy,) = measured(tmp_path, against=table, data=DataConfig(source=str(prompts(tmp_path / "all", 60)))).policies
    assert policy.correlation["seam"].value == pytest.approx(1.0)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<svg" in page
    assert "builtin:strong" in page
    assert not re.search(r'<script|(?:src|href)="(?!#)', page)


def test_an_annotator_may_say_which_answer_is_better(tmp_path: Path) -> None:
    # This program prefers the lower number, which is the right one. It cannot tell equal texts apart.
    judge = script(
        tmp_path,
        "judge.py",
        """
        import json, sys
        for line in sys.stdin:
            row = json.loads(line)
            first, second = (int(row[side].split()[-1]) for side in ("first", "second"))
            print(json.dumps({"id": row["id"], "verdict": "first" if first < second else "second"}), flush=True)
        """,
    )
    annotator = CommandConfig(kind="command", command=tuple(judge))
    (policy,) = measured(tmp_path, checker=None, annotator=annotator).policies
    (checked,) = measured(tmp_path).policies
    # The annotator compares each pair of different texts once: one for each prompt that has a right and a wrong answer.
    assert policy.pairs == checked.mismatch.n
    assert (policy.right, policy.undecided) == (None, 0)
    assert policy.mismatch.value == pytest.approx(checked.mismatch.value or 0, abs=0.2)


def test_people_may_say_which_answer_is_better(tmp_path: Path) -> None:
    out, people = tmp_path / "out", PeopleConfig(kind="people")
    with pytest.raises(Paused, match="pairs wait for people"):
        measured(tmp_path, checker=None, annotator=people)
    # The folder holds the pairs of people and no result, so that the same command goes on.
    check_out(out, False, FILES)
    export(out, tmp_path / "sheet.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "sheet.jsonl").read_text().splitlines()]
    for row in rows:
        first, second = (int(row[side].split()[-1]) for side in ("answer_1", "answer_2"))
        row["verdict"] = "1" if first < second else "2"
    rows[0]["verdict"] = "tie"
    (tmp_path / "sheet.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    import_(out, tmp_path / "sheet.jsonl", "ann")
    (policy,) = measured(tmp_path, checker=None, annotator=people).policies
    assert (policy.pairs, policy.undecided) == (len(rows) - 1, 1)
    with pytest.raises(ConfigError, match="not empty"):
        check_out(out, False, FILES)
    check_refused(
        run("mismatch", str(prompts(tmp_path)), "--policy", "x/y", "--reward", "x/y", "--annotator", "people"), "--out"
    )


def test_a_checker_that_reads_no_gold_answer_is_refused(tmp_path: Path) -> None:
    path = prompts(tmp_path / "mine", answer="no number")
    with pytest.raises(DataError, match="finds no final answer in any of 20 gold answers"):
        measured(tmp_path, data=DataConfig(source=str(path)))


class Choosy(Misjudging):
    """Gives no reward to answers that end in 4 or 5."""

    def rewards(self, model: Any, rows: Any, done: Any) -> Any:
        for batch in super().rewards(model, rows, done):
            yield [score for score in batch if score.value not in {4.0, 5.0}]


def test_what_is_in_no_pair_is_counted(tmp_path: Path) -> None:
    path = prompts(tmp_path / "mine")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows[:5]:
        row["answer"] = "no number"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = DataConfig(source=str(path))
    (policy,) = measured(tmp_path, Choosy(RIGHT), data=data).policies
    # The fake policy writes the right number or the next one.
    (whole,) = measured(tmp_path / "whole", data=data).policies
    assert (policy.samples, policy.no_gold, whole.no_gold, whole.without_reward) == (120, 5, 5, 0)
    assert 0 < policy.without_reward < 120
    assert policy.pairs < whole.pairs
    words = list(measured(tmp_path, Choosy(RIGHT), data=data).words())
    assert "  5 prompts left out in whose gold answer the checker finds no final answer" in words
    assert f"  {policy.without_reward} samples left out that do not fit into the reward model" in words
    page = (tmp_path / "out" / "report.html").read_text()
    assert "5 prompts left out in whose gold answer" in page


def test_rows_and_pairs_that_cannot_be_used_are_counted(tmp_path: Path) -> None:
    path, pairs = prompts(tmp_path / "mine"), tmp_path / "pairs.jsonl"
    path.write_text(path.read_text() + '{"id": "bad"}\n')
    pairs.write_text('{"prompt": "x"}\n{"prompt": "x", "chosen": "#### 2", "rejected": "#### 1"}\n')
    skipping = DataConfig(source=str(path), on_bad_row="skip")
    report = measured(tmp_path, data=skipping, off_policy=pairs)
    assert (report.prompts, report.bad_rows, report.off_policy_left_out) == (20, 1, {"bad_row": 1})
    assert "left out: 1 row that cannot be used" in list(report.words())
    with pytest.raises(DataError, match=r"pairs\.jsonl:1"):
        measured(tmp_path, off_policy=pairs)


@pytest.mark.parametrize(
    ("option", "value"), [("--max-new-tokens", "0"), ("--temperature", "-1"), ("--temperature", "nan")]
)
def test_a_way_of_answering_that_cannot_be_is_refused(tmp_path: Path, option: str, value: str) -> None:
    both = ("--policy", "builtin:weak", "--reward", "builtin:weak", "--checker", "number")
    field = option.removeprefix("--").replace("-", "_")
    check_refused(run("mismatch", str(prompts(tmp_path)), *both, option, value), "the policy's answers", field, value)
