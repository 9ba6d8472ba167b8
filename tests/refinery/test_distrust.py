"""SEAM inside a refinement: an annotator that prefers edits of a proposal is not believed about this proposal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from experiment import ROWS, Astray, gold, measured, small
from refinement import RIGHT, Refined, refine, settings, written

from burnish.annotators.function import FunctionAnnotator
from burnish.errors import ConfigError
from burnish.lab.inputs import resolve
from burnish.lab.running import planned
from burnish.refinery import FinishedRefinement
from burnish.refinery.estimate import comparisons_of
from burnish.refinery.words import closing
from burnish.steps.artifacts import DOUBTS, Doubt, iter_rows, read_comparisons
from burnish.steps.judging import AnnotatorPlan
from burnish.store.stages import Store
from burnish.types import Artifact, Reason

EDITS = "method.distrust={worse: 3, most: 0}"


def blind(request: str) -> bool:
    """Say whether the judge cannot tell right from wrong here."""
    return len(request) % 2 == 0


def prefers(request: str, first: str, second: str) -> float:
    """Prefer the right answer or, where the judge is blind, the larger text."""
    if blind(request):
        return 0.9 if second > first else 0.1
    right = f"#### {RIGHT[request]}"
    return 0.5 + 0.4 * ((second == right) - (first == right))


JUDGE = AnnotatorPlan(
    kind="mine", config={"kind": "mine"}, inputs={}, over=lambda examples: FunctionAnnotator(prefers, examples)
)


def refined(where: Path, *changes: str, **options: Any) -> Refined:
    config = settings(written(where), *changes, rounds=1, alpha=1.0, no_selftest=True, **options)
    return refine(config, where, annotator=JUDGE)


def stage(store: Path, name: str) -> Path:
    (found,) = Store(store).every(name)
    return found.path


def test_a_judge_that_cannot_see_edits_is_distrusted(tmp_path: Path) -> None:
    plain, seam = refined(tmp_path / "plain"), refined(tmp_path / "seam", EDITS)
    question = {example.id: example.prompt[-1].content for example in seam.examples}
    before = {line.example_id: line for line in plain.of_round(1)}
    doubts = {row.example_id: row for row in iter_rows(stage(seam.store, "distrust") / DOUBTS, Doubt)}
    distrusted = 0
    for line in seam.of_round(1):
        was = before[line.example_id]
        assert (line.p_b_ab, line.p_b_ba, line.proposed) == (was.p_b_ab, was.p_b_ba, was.proposed)
        if was.reason is not Reason.ACCEPTED:
            assert line.reason is was.reason
            continue
        # All of the proposals that the rule would have accepted were asked about, with three edits each.
        found = doubts[line.example_id]
        assert found.judged == 3
        assert line.reason is (Reason.DISTRUSTED if found.share else Reason.ACCEPTED)
        # A judge that sees which answer is right prefers no edit.
        assert not found.share or blind(question[line.example_id])
        distrusted += line.reason is Reason.DISTRUSTED
    assert distrusted > 2
    assert doubts.keys() == {id_ for id_, line in before.items() if line.reason is Reason.ACCEPTED}
    assert len(doubts) > distrusted


def test_a_proposal_is_compared_with_edits_that_change_its_answer(tmp_path: Path) -> None:
    found = refined(tmp_path, EDITS)
    proposals = {line.example_id: found.answers[line.proposed].completion for line in found.of_round(1)}
    pairs = read_comparisons(Artifact(path=str(stage(found.store, "edit")), kind="edit", fingerprint=""))
    assert len({pair.id for pair in pairs}) == len(pairs) > 0
    # The summary counts them, and the terminal says it.
    (round_,) = found.summary.rounds
    assert round_.edits == len(pairs)
    assert f"{round_.compared} comparisons and {len(pairs):,} with edits" in "\n".join(
        closing(FinishedRefinement(out=found.out, summary=found.summary))
    )
    for pair in pairs:
        assert pair.a.completion == proposals[pair.example_id]
        assert pair.b.completion != pair.a.completion
        assert pair.b.completion.startswith("#### ")  # an edit of a number, because answers are numbers


def test_edits_count_under_the_budget(tmp_path: Path) -> None:
    ilr: dict[str, Any] = {"kind": "ilr", "rounds": 1, "alpha": 1.0}
    seam = {**ilr, "name": "seam", "distrust": {"worse": 3, "most": 0.25}}
    supervision = {"annotator": {"kind": "oracle"}}
    for budget, limit in (("equal", ROWS), ({"kind": "equal", "comparisons": 10}, 10)):
        config = small(methods=[ilr, seam], budget=budget, supervision=supervision)
        done = measured(config, tmp_path / str(limit), Astray(gold()))
        counts = done.run("seam", 1).counts
        of_rows = sum(
            counts[reason]
            for reason in ("accepted", "over_cap", "rejected", "tie", "distrusted", "abstained")
            if reason in counts
        )
        assert 0 < of_rows <= limit // 4
        assert of_rows < counts["compared"] <= limit


def test_a_limit_that_is_too_small_for_one_row_is_refused(tmp_path: Path) -> None:
    method = {"kind": "ilr", "rounds": 1, "distrust": {"worse": 4}}
    config = small(methods=[method], budget={"kind": "equal", "comparisons": 4})
    with pytest.raises(ConfigError, match=r"comparisons: 4 found.*distrust\.worse: 4.*up to 5.*at least 5"):
        planned(config, resolve(config, offline_ok=False), Store(tmp_path))


def test_the_estimate_counts_the_edits(tmp_path: Path) -> None:
    assert comparisons_of(settings(written(tmp_path), EDITS), 60) == 2 * 60 * 4
    assert comparisons_of(settings(written(tmp_path), EDITS, comparisons=100), 60) == 2 * 100


def test_the_rule_lets_rounds_auto_stop(tmp_path: Path) -> None:
    # By the mean alone, every preferred proposal holds, and the refinement is refused. Here edits give the evidence.
    found = refined(tmp_path, EDITS, "method.rounds=auto", "method.max_rounds=1", accept="mean")
    assert found.reasons(1)[Reason.DISTRUSTED] > 2
