"""Win rates against references: what a judge said, what was not judged, and what length explains."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from pathlib import Path

import pytest
from experiment import TEST, measured, run_small, small
from pydantic import ValidationError
from servers import FaultServer
from weights_files import with_head

from burnish.config import Config, JudgeConfig, ReferenceJudgeConfig
from burnish.errors import AnnotatorError, ConfigError, Paused
from burnish.lab.running import plan
from burnish.lab.win_rates import contests
from burnish.report.words import headline, judge_words
from burnish.stats import length_controlled
from burnish.store.files import write_rows
from burnish.types import (
    Artifact,
    Comparison,
    Demonstration,
    DemonstrationSource,
    Example,
    Message,
    Order,
    Preference,
    Role,
    Verdict,
)

SIGMOID_OF_1 = 1 / (1 + math.exp(-1))
LOCAL = {"kind": "reward_model", "model": "builtin:strong"}


def controlled(p_wins: list[float], longer_by: list[float]) -> tuple[float, float, float]:
    """Return the rate and its bounds, which are there."""
    found = length_controlled(p_wins, longer_by)
    assert found is not None
    assert found.ci95 is not None
    return found.value, *found.ci95


def test_where_length_says_nothing_the_controlled_rate_is_the_rate():
    found = length_controlled([0.7, 0.9, 0.2], [0, 0, 0])
    assert found is not None
    assert (found.value, found.n) == (pytest.approx(0.6, abs=1e-4), 3)


def test_wins_that_length_explains_are_no_wins():
    # Wins exactly where it is longer, loses exactly where it is shorter: at equal length nothing is left to say.
    value, low, high = controlled([1, 1, 1, 0, 0, 0], [5, 4, 3, -3, -4, -5])
    assert value == pytest.approx(0.5)
    assert low < 0.5 < high


def test_the_controlled_rate_finds_the_intercept_of_a_made_up_world():
    draw = random.Random(1)
    longer = [draw.gauss(30, 50) for _ in range(4000)]
    spread = (sum(x * x for x in longer) / len(longer) - (sum(longer) / len(longer)) ** 2) ** 0.5
    chance = [1 / (1 + math.exp(0.4 - 1.2 * math.tanh(x / spread))) for x in longer]
    won = [float(draw.random() < p) for p in chance]
    value, low, high = controlled(won, longer)
    assert sum(won) / len(won) > 0.5  # by length alone it wins
    assert low < 1 / (1 + math.exp(0.4)) < high
    assert high - low < 0.06
    assert controlled([1 - p for p in won], [-x for x in longer])[0] == pytest.approx(1 - value, abs=1e-6)


def test_a_side_that_always_wins_has_finite_bounds():
    value, low, _ = controlled([1.0] * 20, [*range(20)])
    assert 0.98 < low <= value < 1


def test_no_rate_is_extrapolated_to_a_length_that_nobody_wrote():
    assert length_controlled([0.9] * 21, [50] * 20 + [-1]) is None  # one of 21 is shorter
    assert length_controlled([0.9] * 20, [-50] * 20) is None
    assert length_controlled([0.9] * 20, [50] * 19 + [0]) is not None


def test_a_controlled_rate_needs_two_prompts_and_one_length_each():
    assert length_controlled([1.0], [3]) is None
    with pytest.raises(ValueError, match="2 probabilities and 1 lengths"):
        length_controlled([1.0, 0.0], [3])


def shown(id_: str, text: str, source: DemonstrationSource) -> Demonstration:
    return Demonstration(example_id=id_, completion=text, source=source)


def judged_by(
    p_bs: Mapping[str, float | None], comparisons: list[Comparison], where: Path
) -> tuple[Artifact, Artifact]:
    write_rows(where / "comparisons.jsonl", comparisons)
    verdicts = {None: Verdict.ABSTAIN, 0.5: Verdict.TIE}
    write_rows(
        where / "preferences.jsonl",
        [
            Preference(
                comparison_id=one.id,
                shown=(Order.AB,) if p_bs[one.example_id] is not None else (),
                verdict=verdicts.get(p, Verdict.B if p is not None and p > 0.5 else Verdict.A),
                p_b=p,
                judge="test",
                raw=() if p is None else (p,),
            )
            for one in comparisons
            for p in [p_bs[one.example_id]]
        ],
    )
    place = Artifact(path=str(where), kind="", fingerprint="")
    return place, place


def test_wins_losses_abstentions_empty_and_equal_answers_are_counted_apart(tmp_path: Path):
    answers = {"won": "much longer", "lost": "b", "abstained": "c", "empty": " \n", "equal": "same", "none": "d"}
    references = {"won": "short", "lost": "aa", "abstained": "x", "empty": "y", "equal": "same", "none": None}
    examples = {
        id_: Example(
            id=id_,
            group=id_,
            prompt=(Message(role=Role.USER, content=id_),),
            reference=references[id_],
            metadata={"category": "safety" if id_ in {"lost", "empty"} else "general"},
        )
        for id_ in answers
    }
    comparisons = [
        Comparison(
            example_id=id_,
            a=shown(id_, str(references[id_]), DemonstrationSource.GOLD),
            b=shown(id_, answers[id_], DemonstrationSource.PROPOSAL),
        )
        for id_ in ("won", "lost", "abstained")
    ]
    compared, judged = judged_by({"won": 0.9, "lost": 0.2, "abstained": None}, comparisons, tmp_path)
    met = contests(compared, judged, examples, answers)
    assert met.counts() == {
        "reference_won": 1,
        "reference_tied": 1,
        "reference_lost": 2,
        "reference_abstained": 1,
        "reference_equal": 1,
        "reference_empty": 1,
    }
    metrics = met.metrics()
    # .9, .2, 0 for the empty one, .5 for the equal one; the abstention and the row without a reference in none.
    assert (metrics["reference_win_rate"].value, metrics["reference_win_rate"].n) == (pytest.approx(0.4), 4)
    assert metrics["reference_win_rate_general"].value == pytest.approx(0.7)
    assert (metrics["reference_win_rate_safety"].value, metrics["reference_win_rate_safety"].n) == (
        pytest.approx(0.1),
        2,
    )
    assert met.by_id["won"].longer_by == 6
    assert met.by_id["lost"].longer_by == -1


@pytest.mark.slow
def test_a_local_judge_measures_every_round_and_supervises_nothing(tmp_path: Path):
    with_judge, without = small(judge=LOCAL), small()
    found, plain = measured(with_judge, tmp_path), measured(without, tmp_path)
    for run, other in zip(found.results.runs, plain.results.runs, strict=True):
        accuracy = run.metrics["test_accuracy"].value
        assert accuracy == other.metrics["test_accuracy"].value
        # The reference is right: a right answer ties, a wrong one has sigmoid(0 - 1).
        assert accuracy is not None
        expected = accuracy / 2 + (1 - accuracy) * (1 - SIGMOID_OF_1)
        assert run.metrics["reference_win_rate"].value == pytest.approx(expected)
        assert run.metrics["reference_win_rate"].n == TEST
        assert run.counts["reference_abstained"] == run.counts["reference_empty"] == 0
        assert not any(name.startswith("reference") for name in other.metrics)
    paired = [row for row in found.results.paired if row.metric == "reference_win_rate"]
    assert len(paired) == len([row for row in found.results.paired if row.metric == "test_accuracy"]) > 0
    assert {(row.a, row.b) for row in paired} >= {("ilr", "sft"), ("sft", "weak")}


def test_the_report_names_a_local_judge_as_a_substitute(tmp_path: Path):
    finished = run_small(small(judge=LOCAL, methods=[{"kind": "sft"}]), tmp_path)
    assert judge_words(finished.results) == (
        "a local reward model (builtin:strong): a substitute for a large language model as judge"
    )
    assert "a substitute for a large language model" in (finished.out / "report.html").read_text()
    judge = finished.results.config["judge"]
    assert isinstance(judge, dict)
    assert isinstance(judge["model"], dict)
    assert judge["model"]["dtype"] == "float32"  # as it ran, not `auto`
    assert "right" in headline(finished.results)[0]  # sums are right or wrong, whatever a judge says


def prefers_the_first(prompt: str) -> Mapping[str, float]:
    return {"A": 0.8, "B": 0.2}


@pytest.mark.slow
def test_a_server_is_asked_in_both_orders_so_that_a_position_wins_nothing(tmp_path: Path):
    pytest.importorskip("openai")
    with FaultServer(rule=prefers_the_first) as server:
        judge = {"kind": "judge", "base_url": server.address, "model": "test"}
        found = measured(small(judge=judge, methods=[{"kind": "sft"}]), tmp_path)
        prompts = [str(body["messages"][0]["content"]) for body in server.bodies.values()]
    run = found.run("sft", 0)
    assert run.metrics["reference_win_rate"].value == pytest.approx(0.5)
    assert run.counts["reference_tied"] == TEST
    assert all("# Answer A" in prompt and "{" not in prompt for prompt in prompts)
    assert len(prompts) % 2 == 0


@pytest.mark.slow
def test_a_server_that_says_nothing_usable_abstains_and_is_counted(tmp_path: Path):
    pytest.importorskip("openai")
    with FaultServer(rule=lambda _: {"Well": 1.0}) as server:
        judge = {"kind": "judge", "base_url": server.address, "model": "test"}
        found = measured(small(judge=judge, methods=[{"kind": "sft"}]), tmp_path)
    run = found.run("sft", 0)
    equal = run.counts["reference_equal"]
    assert run.counts["reference_abstained"] == TEST - equal > 0
    assert run.metrics["reference_win_rate"].n == equal  # none of the silence became a zero


@pytest.mark.slow
def test_a_budget_pauses_an_experiments_judge(tmp_path: Path):
    pytest.importorskip("openai")
    with FaultServer(rule=prefers_the_first) as server:
        judge = {"kind": "judge", "base_url": server.address, "model": "test"}
        config = small(judge=judge, methods=[{"kind": "sft"}], execution={"max_calls": 4})
        with pytest.raises(Paused, match=r"4 calls are spent \(execution\.max_calls 4\); raise execution\.max_calls"):
            measured(config, tmp_path)
        assert sum(server.answered.values()) == 4
        rest = config.model_copy(update={"execution": config.execution.model_copy(update={"max_calls": None})})
        assert measured(rest, tmp_path).run("sft", 0).counts["reference_tied"] == TEST
        assert max(server.answered.values()) == 1  # nothing is paid twice


@pytest.mark.parametrize(
    ("judge", "execution", "message"),
    [
        (
            {"base_url": "https://far.example/v1"},
            {},
            r"judge\.api_key_env: the environment variable NO_SUCH_KEY is not",
        ),
        (
            {"base_url": "http://localhost:1/v1"},
            {"max_cost": 2},
            r"judge\.prices: not given, and execution\.max_cost 2",
        ),
    ],
)
def test_what_a_judge_lacks_is_said_before_anything_runs(
    judge: dict[str, str], execution: dict[str, float], message: str, tmp_path: Path
):
    pytest.importorskip("openai")
    config = small(judge={"kind": "judge", "model": "m", "api_key_env": "NO_SUCH_KEY", **judge}, execution=execution)
    with pytest.raises(ConfigError, match=message):
        measured(config, tmp_path)
    assert not (tmp_path / "store").exists()
    plan(config, tmp_path / "store")  # a dry run needs neither


def test_a_judge_that_is_gone_is_named_by_its_field(tmp_path: Path):
    pytest.importorskip("openai")
    config = small(
        judge={"kind": "judge", "base_url": "http://localhost:1/v1", "model": "m"}, methods=[{"kind": "sft"}]
    )
    with pytest.raises(AnnotatorError, match=r"judge\.base_url: http://localhost:1/v1 does not answer"):
        measured(config, tmp_path)


def test_prompts_come_from_files_that_can_be_swapped(tmp_path: Path):
    own = tmp_path / "own.txt"
    own.write_text("{question} or {first} or {second}? {A}{B}\n")
    judge = {"kind": "judge", "base_url": "http://localhost:1/v1", "model": "m"}
    assert ReferenceJudgeConfig.model_validate(judge | {"prompt_file": str(own)}).template == own.read_text().strip()
    plain, explained = (ReferenceJudgeConfig.model_validate(judge | {"explain": on}) for on in (False, True))
    assert plain.tie is None
    assert 'Then end with a last line that holds only "Verdict:"' in explained.template
    assert plain.template != explained.template != JudgeConfig.model_validate(judge | {"explain": True}).template
    same = ReferenceJudgeConfig.model_validate(judge | {"prompt_file": "builtin:two_choice"})
    assert same.semantic() == plain.semantic()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"prompt_file": "builtin:nothing"},
            "prompt_file: no prompt 'builtin:nothing' comes with burnish; choose builtin:pair",
        ),
        ({"prompt_file": "/no/such.txt"}, r"prompt_file: '/no/such.txt' cannot be read"),
        ({"prompt_file": "builtin:pair", "prompt": "{question}{first}{second}"}, "both are given; give one"),
        ({"prompt": "{question} {first}"}, r"prompt: \{second\} is not in it"),
    ],
)
def test_a_bad_prompt_is_refused(changes: dict[str, str], message: str):
    judge = {"kind": "judge", "base_url": "http://localhost:1/v1", "model": "m"}
    with pytest.raises(ValidationError, match=message):
        ReferenceJudgeConfig.model_validate(judge | changes)


def test_a_judging_model_that_is_missing_is_said_before_anything_runs(tmp_path: Path):
    config = Config.model_validate(small(judge={"kind": "reward_model", "model": "/no/judge"}).model_dump())
    with pytest.raises(ConfigError, match=r"judge\.model: '/no/judge' does not exist"):
        plan(config, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_plan_with_a_judge_runs_the_same_stages(tmp_path: Path):
    config = small(judge=LOCAL | {"model": with_head(tmp_path / "judge")})
    planned = [stage.fingerprint for stage in plan(config, tmp_path).stages]
    executed = measured(config, tmp_path)
    assert planned == [record.fingerprint for record in executed.executor.records]


def test_a_dry_run_counts_the_calls_of_a_judge(tmp_path: Path):
    judge = {"kind": "judge", "base_url": "http://localhost:1/v1", "model": "m"}
    prices = {"prices": {"input_per_million": 1, "output_per_million": 10}}
    found = plan(small(judge=judge | prices, methods=[{"kind": "sft"}]), tmp_path).judge
    assert found is not None
    assert found.calls == 2 * 2 * TEST  # both orders, the weak model and SFT
    assert found.completion_tokens == 8 * found.calls
    assert found.cost == pytest.approx((found.prompt_tokens + 10 * found.completion_tokens) / 1e6)
    assert found.words().startswith(f"judge: at most {found.calls} calls, about ")
    local = LOCAL | {"model": with_head(tmp_path / "judge")}
    assert plan(small(judge=local), tmp_path).judge is None
