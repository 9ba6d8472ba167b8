"""From a refinement's comparisons to a reward model, and to the answer whether it is fit for the refined model."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from refinement import RIGHT, fake, refine, right, settings, written
from rewarding import STRONG, prompts

from burnish.algorithms.ledger_lines import verdict_on
from burnish.annotators.function import FunctionAnnotator
from burnish.config import DataConfig, ModelConfig
from burnish.rewards.options import training_of
from burnish.rewards.pairs import read_pairs
from burnish.rewards.verbs import Workplace, train_and_test
from burnish.seam.checking import CheckOptions, check
from burnish.seam.fitness import Check, Fit
from burnish.seam.options import checker_of
from burnish.steps.judging import AnnotatorPlan
from burnish.types import Verdict


def prefers(request: str, first: str, second: str) -> float | None:
    """Prefer the right answer. Abstain on a third of the requests, and find all others equal where none is right."""
    if len(request) % 3 == 0:
        return None
    return 0.5 + 0.4 * (right(request, second) - right(request, first))


JUDGE = AnnotatorPlan(
    kind="mine", config={"kind": "mine"}, inputs={}, over=lambda examples: FunctionAnnotator(prefers, examples)
)


def test_the_comparisons_of_a_refinement_train_a_reward_model_that_is_checked(tmp_path: Path) -> None:
    found = refine(settings(written(tmp_path), no_selftest=True), tmp_path, annotator=JUDGE)
    said = Counter(verdict_on(line) for line in found.ledger if line.score is not None or line.reason == "abstained")
    clear = said[Verdict.A] + said[Verdict.B]
    assert min(clear, said[Verdict.TIE], said[Verdict.ABSTAIN]) > 0, said
    # Both answers of every clear comparison are there, the better one as chosen.
    given = read_pairs(found.out)
    assert given.left_out == {"abstained": said[Verdict.ABSTAIN], "tie": said[Verdict.TIE]}
    assert len(given.pairs) == clear
    for pair in given.pairs:
        (asked,) = [message.content for message in pair.prompt]
        assert right(asked, pair.chosen)
        assert not right(asked, pair.rejected)
    place = Workplace(store=tmp_path / "rewards", own_backend=fake)
    report = train_and_test(found.out, training_of(STRONG.source, {"held_out": 0.3}), tmp_path / "rm", place)
    assert (report.trained or 0) + report.tested == clear
    assert report.tested > 0
    assert report.left_out == given.left_out
    # No prompt is on both sides of the cut, and `reward check` knows which prompts the model has seen.
    options = CheckOptions(
        reward=ModelConfig(source=str(tmp_path / "rm")),
        pairs=None,
        prompts=DataConfig(source=str(prompts(tmp_path))),
        policy=ModelConfig(source=str(found.out / "model")),
        checker=checker_of("number"),
    )
    checks = {one.check: one for one in check(options, place, tmp_path / "checked").checks}
    assert checks[Check.HELD_OUT].measured.n == report.tested
    assert checks[Check.OWN_ANSWERS].verdict in {Fit.FIT, Fit.UNCLEAR}
    assert len(RIGHT) > checks[Check.NEAR_MISSES].measured.n > 0
