"""SEAM inside a round of refinement: the annotator is asked about edits of the proposals that it prefers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from pydantic import JsonValue

from burnish.algorithms.distrust import doubt, with_edits
from burnish.algorithms.refinement import Acceptance, before_cap
from burnish.errors import ConfigError
from burnish.steps.acceptance import Judgements, gate_test, rule_config, scaled
from burnish.steps.artifacts import (
    COMPARISONS,
    DOUBTS,
    Doubt,
    JudgedExamples,
    read_comparisons,
    read_preferences,
)
from burnish.steps.judging import judge
from burnish.steps.perturbing import PerturbationPlan
from burnish.steps.refining import candidates_of
from burnish.steps.setting import Setting
from burnish.store.files import write_rows, writing
from burnish.store.stages import Work
from burnish.types import Accept, Artifact, Demonstration, Preference, Reason, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """What the annotator is asked about edits in a round: `pairs` is the stage with the comparisons, and `doubts` the
    stage with what came of them."""

    pairs: Artifact
    doubts: Artifact


def check_affords(limit: object, per_row: int) -> None:
    """Raise ConfigError if a round's limit on comparisons is too small for one row and the edits of its proposal."""
    if isinstance(limit, int) and limit < per_row:
        raise ConfigError(
            f"comparisons: {limit} found, but with distrust.worse: {per_row - 1} one row takes up to {per_row} "
            f"comparisons; allow at least {per_row}, or lower distrust.worse"
        )


def ask_about_edits(
    setting: Setting, source: PerturbationPlan, judgements: Judgements, rule: Acceptance, number: int
) -> Edited:
    """Let the annotator compare each proposal that `rule` would accept with edits of it.

    `source` makes the edits of a proposal, which stands in the place of the gold answer.
    """
    pairs = _pairs(setting, source, judgements, replace(rule, most_doubt=None), number)
    label = f"round {number} judgements of edits"
    judged = judge(setting.steps, setting.annotator, setting.rows, pairs, label, rule.accept)
    accept = Accept.MEAN if setting.annotator.order_free else rule.accept

    def run(work: Work) -> None:
        known = read_preferences(Path(judged.path))
        # The comparisons are in the order of their example ids.
        by_example = groupby(read_comparisons(pairs), lambda comparison: comparison.example_id)
        rows = (_doubt(id_, [known[comparison.id] for comparison in asked], accept) for id_, asked in by_example)
        work.count(rows=write_rows(work.path / DOUBTS, rows))

    config: dict[str, JsonValue] = {"accept": str(accept)} if accept is Accept.BOTH_ORDERS else {}
    doubts = setting.steps.stage(
        "distrust", config, {"pairs": pairs, "judged": judged}, run, f"round {number} doubts about proposals"
    )
    return Edited(pairs=pairs, doubts=doubts)


def _pairs(
    setting: Setting, source: PerturbationPlan, judgements: Judgements, rule: Acceptance, number: int
) -> Artifact:
    """Pair the proposals that the rule would accept without a cap with edits of them."""
    tested = gate_test(setting, rule)

    def run(work: Work) -> None:
        preferred = _preferred(judgements, scaled(rule, tested))
        examples = setting.rows.prompts_only()
        gold = {id_: replace(examples[id_], reference=one.completion) for id_, one in preferred.items()}
        written = 0
        with writing(work.path / COMPARISONS) as comparison:
            for found in source.over(gold):
                for pair in with_edits(preferred[found.example_id], found.texts, source.kind):
                    comparison(pair)
                    written += 1
        work.count(rows=len(gold), comparisons=written)

    config = {**source.config, **rule_config(rule, setting.annotator), **setting.rows.config}
    inputs = {**judgements.inputs, **setting.rows.inputs, **source.inputs}
    if tested is not None:
        inputs["selftest"] = tested
    return setting.steps.stage("edit", config, inputs, run, f"round {number} edits of proposals")


def _preferred(judgements: Judgements, rule: Acceptance) -> dict[str, Demonstration]:
    """Return the proposals that the rule would accept, by example id and sorted by it."""
    judged = JudgedExamples(judgements.compared, judgements.judged)
    candidates = candidates_of(judgements.compared, judged, lambda preference, example_id: "")
    wanted = {candidate.example_id for candidate in candidates if before_cap(candidate, rule) is Reason.ACCEPTED}
    compared = read_comparisons(judgements.compared)
    return {comparison.example_id: comparison.b for comparison in compared if comparison.example_id in wanted}


def _doubt(example_id: str, preferences: Sequence[Preference], accept: Accept) -> Doubt:
    judged = sum(preference.verdict is not Verdict.ABSTAIN for preference in preferences)
    return Doubt(example_id=example_id, share=doubt(preferences, accept), judged=judged)
