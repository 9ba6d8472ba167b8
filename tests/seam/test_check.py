"""`burnish reward check`: is a reward model fit for a policy?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from refinement import PROBLEMS, RIGHT
from refused import check_refused
from rewarding import STRONG, Misjudging, prompts

from burnish.algorithms.rewards import RewardedPair
from burnish.backends.fake import FakeBackend
from burnish.cli import main
from burnish.config import DataConfig, ModelConfig
from burnish.errors import ConfigError, DataError
from burnish.results import Metric
from burnish.rewards.report import report_on, write_report
from burnish.rewards.trained_prompts import write_prompts
from burnish.rewards.verbs import Workplace
from burnish.seam.checking import CheckOptions, check
from burnish.seam.fitness import LEAST_RIGHT, Check, Fit, FitReport, by_length, by_share, sentence, together
from burnish.seam.options import checker_of
from burnish.seam.prompts import read_prompts


def pairs(where: Path, longer: str = "") -> Path:
    """Write pairs of a right and a wrong answer, the right one with more words if they are given."""
    where.mkdir(exist_ok=True)
    path = where / "pairs.jsonl"
    rows = [
        {"prompt": p.question, "chosen": f"{longer}#### {p.answer}", "rejected": f"#### {p.answer + 1}"}
        for p in PROBLEMS[:40]
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def checked(where: Path, backend: FakeBackend | None = None, **more: Any) -> FitReport:
    given: dict[str, Any] = {
        "reward": STRONG,
        "pairs": pairs(where),
        "prompts": DataConfig(source=str(prompts(where))),
        "policy": STRONG,
        "checker": checker_of("number"),
    }
    chosen = backend or FakeBackend(RIGHT)
    place = Workplace(store=where / "store", own_backend=lambda: chosen)
    return check(CheckOptions(**(given | more)), place, where / "out")


def of(report: FitReport) -> dict[Check, tuple[Fit, float | None]]:
    return {one.check: (one.verdict, one.measured.value) for one in report.checks}


def test_a_reward_model_that_is_always_right_is_fit_if_its_length_is_known(tmp_path: Path) -> None:
    report = checked(tmp_path)
    # All answers of the fake backend have two tokens, so nothing can be said about the length.
    assert of(report) == {
        Check.HELD_OUT: (Fit.FIT, 1.0),
        Check.OWN_ANSWERS: (Fit.FIT, 1.0),
        Check.NEAR_MISSES: (Fit.FIT, 1.0),
        Check.LENGTH: (Fit.NOT_MEASURED, None),
    }
    assert report.verdict is Fit.UNCLEAR
    words = list(report.words())
    assert words[0] == "builtin:strong may or may not be fit for the policy builtin:strong."
    assert "Whether it looks at the length is not known" in words[4]
    assert json.loads((tmp_path / "out" / "check.json").read_text()) == report.model_dump(mode="json")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "of pairs of the policy&#39;s own answers" in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_a_reward_model_that_misjudges_the_policy_is_not_fit(tmp_path: Path) -> None:
    report = checked(tmp_path, Misjudging(RIGHT), pairs=None, reward=_trained(tmp_path))
    found = of(report)
    # It was right on all held-out pairs, as its folder says, and prefers the higher last digit of two answers.
    assert found[Check.HELD_OUT] == (Fit.FIT, 1.0)
    verdict, value = found[Check.OWN_ANSWERS]
    assert verdict is Fit.NOT_FIT
    assert value is not None
    assert value < 0.3
    assert report.verdict is Fit.NOT_FIT
    assert "is not fit for the policy" in next(report.words())


def _trained(where: Path) -> ModelConfig:
    """Write a folder as `burnish reward train` does, with the report of a training, and a model in it."""
    from burnish.models.location import EMBEDDED

    folder = where / "rm"
    folder.mkdir()
    for path in (EMBEDDED / "strong").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    tested = [
        RewardedPair(id=str(n), group=str(n), source="", better=1.0, worse=0.0, longer=n % 3 - 1) for n in range(30)
    ]
    write_report(report_on("rm", "pairs", tested, {}, 0, (100, ())), folder)
    return ModelConfig(source=str(folder))


def test_no_check_counts_prompts_that_the_reward_model_was_trained_on(tmp_path: Path) -> None:
    trained = _trained(tmp_path)
    seen = read_prompts(DataConfig(source=str(prompts(tmp_path))), None, 0).examples[:15]
    write_prompts([one.group for one in seen], Path(trained.source))
    report = checked(tmp_path, reward=trained)
    # 40 pairs and 20 prompts are given.
    assert [one.measured.n for one in report.checks[:3]] == [25, 5, 5]
    assert "pairs left out: 15 of prompts that it was trained on" in report.notes
    for part in ("the policy's own answers", "near misses"):
        assert f"{part}: 15 prompts left out that the reward model was trained on" in report.notes


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("reward.json", "{", "Invalid JSON"),
        ("reward.json", "{}", "model: Field required; name pairs with --pairs"),
        ("trained_on.json", "{", "no list of prompts"),
        ("trained_on.json", '{"groups": 3}', "no list of prompts"),
        ("trained_on.json", "{}", "no list of prompts"),
    ],
)
def test_a_damaged_file_beside_a_reward_model_is_named(tmp_path: Path, name: str, text: str, found: str) -> None:
    trained = _trained(tmp_path)
    (Path(trained.source) / name).write_text(text)
    with pytest.raises(DataError, match=rf"{name}: .*{found}"):
        checked(tmp_path, reward=trained, pairs=None)


@pytest.mark.parametrize(
    ("bounds", "verdict"),
    [
        ((0.66, 0.9), Fit.FIT),
        ((LEAST_RIGHT, 0.9), Fit.UNCLEAR),
        ((0.2, 0.66), Fit.UNCLEAR),
        ((0.2, LEAST_RIGHT), Fit.NOT_FIT),
        (None, Fit.UNCLEAR),
    ],
)
def test_a_share_is_judged_by_its_interval(bounds: tuple[float, float] | None, verdict: Fit) -> None:
    assert by_share(Check.HELD_OUT, Metric(value=0.6, n=9, ci95=bounds)).verdict is verdict
    nothing = Metric(value=None, n=0, ci95=None)
    assert by_share(Check.HELD_OUT, nothing).verdict is Fit.NOT_MEASURED


def test_the_length_is_judged_by_its_interval() -> None:
    # The intervals over 100 pairs are .13 to .49, .32 to .65 and .70 to .88. That of 9 pairs with .3 is -.49 to .82.
    found = [by_length(value, pairs) for value, pairs in ((0.32, 100), (0.5, 100), (0.81, 100), (0.3, 9))]
    assert [one.verdict for one in found] == [Fit.FIT, Fit.UNCLEAR, Fit.NOT_FIT, Fit.UNCLEAR]
    assert "32 (95 % interval 0.13 to 0.49, 100 pairs): nearer to 0 than 0.5." in sentence(found[0])
    assert "it cannot be told" in sentence(found[1])
    assert [by_length(sign, 100).verdict for sign in (1.0, -1.0)] == [Fit.NOT_FIT, Fit.NOT_FIT]
    # Three pairs say nothing, whatever their correlation is.
    assert by_length(1.0, 3).verdict is Fit.UNCLEAR
    # 100 pairs of nine prompts say hardly more than nine pairs.
    few = by_length(0.3, 100, 9)
    assert (few.verdict, few.measured.n) == (Fit.UNCLEAR, 100)
    assert few.measured.ci95 == found[3].measured.ci95
    assert by_length(None, 9).verdict is Fit.NOT_MEASURED


def test_a_report_on_pairs_counts_their_prompts() -> None:
    tested = [
        RewardedPair(id=str(n), group=str(n % 4), source="", better=1.0, worse=0.0, longer=n % 3 - 1) for n in range(30)
    ]
    found = report_on("rm", "pairs", tested, {}, 2)
    assert (found.tested, found.accuracy.n, found.prompts) == (32, 30, 4)


def test_two_prompts_without_a_mistake_do_not_make_a_reward_model_fit(tmp_path: Path) -> None:
    few = DataConfig(source=str(prompts(tmp_path / "few", 2)))
    verdict, value = of(checked(tmp_path, prompts=few))[Check.NEAR_MISSES]
    assert (verdict, value) == (Fit.UNCLEAR, 1.0)


def test_pairs_that_cannot_be_used_are_counted_if_the_user_says_so(tmp_path: Path) -> None:
    path = pairs(tmp_path / "given")
    path.write_text(path.read_text() + '{"prompt": "x"}\n')
    place = Workplace(store=tmp_path / "store", own_backend=lambda: FakeBackend(RIGHT))
    report = check(CheckOptions(reward=STRONG, pairs=path, skip_bad=True), place)
    assert (report.checks[0].measured.n, report.notes) == (40, ["pairs left out: 1 rows that cannot be used"])
    with pytest.raises(DataError, match=r"pairs\.jsonl:41"):
        check(CheckOptions(reward=STRONG, pairs=path), place)


def test_all_checks_together() -> None:
    def verdict(*parts: Fit) -> Fit:
        share = by_share(Check.HELD_OUT, Metric(value=0.5, n=1, ci95=None))
        return together([share.model_copy(update={"verdict": part}) for part in parts])

    assert verdict(Fit.FIT, Fit.FIT) is Fit.FIT
    assert verdict(Fit.FIT, Fit.NOT_MEASURED) is Fit.UNCLEAR
    assert verdict(Fit.FIT, Fit.UNCLEAR, Fit.NOT_FIT) is Fit.NOT_FIT
    assert verdict(Fit.NOT_MEASURED, Fit.NOT_MEASURED) is Fit.NOT_MEASURED


def test_what_is_missing_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--policy: it is missing"):
        checked(tmp_path, policy=None)
    with pytest.raises(ConfigError, match="--checker: name a checker"):
        checked(tmp_path, checker=None)
    with pytest.raises(ConfigError, match=r"--pairs: it is missing, and 'builtin:strong' has no reward\.json"):
        checked(tmp_path, pairs=None, prompts=None, policy=None, checker=None)
    with pytest.raises(ConfigError, match="--checker: nothing is judged without --prompts and --policy"):
        checked(tmp_path, prompts=None, policy=None)
    with pytest.raises(ConfigError, match="MODEL: 'nowhere' does not exist; give a folder"):
        check(CheckOptions(reward=ModelConfig(source="nowhere")), Workplace(store=tmp_path))
    only = checked(tmp_path, prompts=None, policy=None, checker=None)
    assert of(only)[Check.OWN_ANSWERS] == (Fit.NOT_MEASURED, None)


def test_the_command(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["reward", "check", "builtin:weak", "--policy", "builtin:weak"])
    check_refused(done, "--prompts: it is missing")
    there = tmp_path / "there"
    there.mkdir()
    (there / "mine.txt").write_text("x")
    done = CliRunner().invoke(main, ["reward", "check", "x", "--pairs", "pairs.jsonl", "--out", str(there)])
    check_refused(done, "--out", "not empty")
