"""`burnish reward pairs`: preference pairs from prompts with gold answers, on the fake backend."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from refinement import PROBLEMS, RIGHT, fake
from rewarding import ADVERSARIAL, STRONG, prompts

from burnish.backends.fake import FakeBackend
from burnish.cli import main
from burnish.config import DataConfig, ModelConfig, OwnSource, WeakerSource
from burnish.errors import ConfigError, DataError
from burnish.rewards.pairs import read_pairs
from burnish.seam.options import checker_of
from burnish.seam.pairing import MadePairs, PairOptions, make_pairs
from burnish.types import Example


def made(where: Path, backend: FakeBackend | None = None, **more: Any) -> MadePairs:
    data = DataConfig(source=str(prompts(where)))
    given: dict[str, Any] = {"most": 3, "data": data, "source": ADVERSARIAL, "checker": checker_of("sums")}
    options = PairOptions(**(given | more))
    return make_pairs(options, where / "store", where / "pairs.jsonl", lambda: backend or fake())


def test_edits_of_gold_answers_make_pairs_that_reward_train_reads(tmp_path: Path) -> None:
    done = made(tmp_path)
    assert (done.pairs, done.prompts, done.without) == (60, 20, 0)
    pairs = read_pairs(tmp_path / "pairs.jsonl").pairs
    # The first pair of every prompt comes first.
    questions = [problem.question for problem in PROBLEMS[:20]]
    assert [pair.prompt[0].content for pair in pairs] == questions * 3
    assert [pair.chosen for pair in pairs] == [problem.solution for problem in PROBLEMS[:20]] * 3
    assert len({(pair.group, pair.rejected) for pair in pairs}) == 60
    assert {pair.source for pair in pairs} == {"adversarial"}
    lines = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    assert [line["id"] for line in (lines[0], lines[20], lines[40])] == ["p00", "p00:1", "p00:2"]


@pytest.mark.parametrize(
    "source", [OwnSource(kind="own", samples=2), WeakerSource(kind="weaker", model=STRONG, samples=2)]
)
def test_wrong_answers_of_a_model_make_pairs(tmp_path: Path, source: Any) -> None:
    done = made(tmp_path, source=source, policy=STRONG if source.kind == "own" else None)
    # The fake model has one wrong answer to a prompt, and never writes it for some of them.
    assert 0 < done.pairs == done.prompts < 20
    assert done.without == 20 - done.prompts
    assert f"{done.without} prompts without a pair, because no worse answer was found" in list(done.words())
    for pair in read_pairs(tmp_path / "pairs.jsonl").pairs:
        example = Example(id="", group="", prompt=pair.prompt, reference=pair.chosen)
        assert not checker_of("sums").grader.on(example).grade(pair.rejected).correct


def test_the_same_call_computes_nothing_again(tmp_path: Path) -> None:
    source = WeakerSource(kind="weaker", model=STRONG, samples=2)
    made(tmp_path, source=source)
    units: list[str] = []
    made(tmp_path, FakeBackend(RIGHT, units.append), source=source)
    assert units == []


def test_a_source_without_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name one with --policy"):
        made(tmp_path, source=OwnSource(kind="own"))
    with pytest.raises(ConfigError, match="name one with --checker"):
        made(tmp_path, source=WeakerSource(kind="weaker", model=ModelConfig(source="builtin:weak")), checker=None)


def test_a_policy_that_the_source_does_not_use_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--policy: the source weaker does not use a policy; leave --policy out"):
        made(tmp_path, source=WeakerSource(kind="weaker", model=STRONG, samples=2), policy=STRONG)


def test_nothing_worse_is_an_error(tmp_path: Path) -> None:
    path = prompts(tmp_path / "mine", answer="no number")
    with pytest.raises(DataError, match=r"no pair was found .*20 prompts without a pair"):
        made(tmp_path, data=DataConfig(source=str(path)))
    assert not (tmp_path / "pairs.jsonl").exists()


def test_the_command(tmp_path: Path) -> None:
    to, store = tmp_path / "pairs.jsonl", tmp_path / "store"
    arguments = ["reward", "pairs", str(prompts(tmp_path)), "--source", "adversarial", "--checker", "sums", "--n", "2"]
    arguments += ["--to", str(to), "--store", str(store), "--json"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) | {"left_out": {}} == {
        **{"pairs": 40, "prompts": 20, "without": 0, "bad_rows": 0, "spent": None},
        "left_out": {},
    }
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 2
    assert "exists; name another file, or replace it with --overwrite" in again.stderr
    assert CliRunner().invoke(main, [*arguments, "--overwrite"]).exit_code == 0
