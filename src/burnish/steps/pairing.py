"""The steps of one round of preference optimisation, each a stage: sample, pair, prefer; judging is the annotator's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from burnish.algorithms.comparisons import confidence
from burnish.algorithms.preferences import Pair, against, ledger_line, most_confident, paired, preferred, screened
from burnish.algorithms.refinement import drawn
from burnish.config import Decoding, DpoMethod, PairsFrom
from burnish.steps.artifacts import (
    CHOSEN,
    COMPARISONS,
    LEDGER,
    PAIRS,
    ChosenPair,
    read_demonstrations,
    read_pairs,
    read_preferences,
    read_samples,
)
from burnish.steps.judging import AnnotatorPlan
from burnish.steps.refining import numbered, rule_config, rule_of, train_on_parts
from burnish.steps.setting import Setting
from burnish.store.files import write_rows
from burnish.store.stages import Work
from burnish.tasks.answers import graders
from burnish.types import Artifact, Demonstration, DemonstrationSource, Preference, Reason


def sample(
    setting: Setting, method: DpoMethod, policy: Artifact, labels: Artifact, number: int
) -> tuple[Artifact, ...]:
    """Sample answers from the policy or, for sDPO, from the model of the other half; seeded for each item."""
    steps, rows = setting.steps, setting.rows
    decode = Decoding(beams=1, temperature=method.temperature, max_new_tokens=setting.decode.max_new_tokens)
    count = method.samples // 2 if method.pairs_from is PairsFrom.LABELS else method.samples
    if method.pairs_from is PairsFrom.HALVES:
        cut, models = train_on_parts(setting, labels, number, 2)
        answered = [(model, rows.part(cut, str(part))) for part, model in enumerate(models, 1)]
    else:
        answered = [(policy, rows)]
    source = DemonstrationSource.PROPOSAL
    return tuple(steps.answer(model, some, decode, "samples", source, number, count) for model, some in answered)


def pair(setting: Setting, method: DpoMethod, samples: tuple[Artifact, ...], labels: Artifact, number: int) -> Artifact:
    """Pair the answers of each prompt; writes all pairs, and the comparisons that are to be judged, as far as the
    budget goes. Equal comparisons are judged once."""
    task, seed, budget = setting.steps.task, setting.steps.seed, setting.comparisons
    with_label, differing = method.pairs_from is PairsFrom.LABELS, method.pairs == "differing"

    def run(work: Work) -> None:
        current: Mapping[str, Demonstration] = read_demonstrations(labels) if with_label else {}
        answers = {id_: given for artifact in samples for id_, given in read_samples(artifact).items()}
        drawn = [
            (id_, place, a, b)
            for id_, given in sorted(answers.items())
            for place, (a, b) in enumerate(against(current[id_], given) if with_label else paired(given))
        ]
        # Where final answers are not looked at, nothing is executed.
        compared = (side for _, _, a, b in drawn for side in (a, b)) if differing else ()
        grader_of = graders(task, setting.rows.examples(), compared)
        pairs = [
            Pair(example_id=id_, number=place, a=a, b=b, reason=screened(grader_of(id_), a, b, differing))
            for id_, place, a, b in drawn
        ]
        pairs = _within(pairs, len(answers) if budget == "rows" else budget, seed, number)
        write_rows(work.path / PAIRS, pairs)
        comparisons = {one.comparison.id: one.comparison for one in pairs if one.reason is None}
        work.count(rows=len(pairs), comparisons=write_rows(work.path / COMPARISONS, comparisons.values()))

    config: dict[str, JsonValue] = {
        "task": setting.steps.task_kind,
        "pairs_from": str(method.pairs_from),
        "pairs": method.pairs,
        "budget": budget,
    }
    if budget is not None:  # without one nothing is drawn
        config |= {"seed": seed, "round": number}
    inputs = numbered("samples", samples) | ({"labels": labels} if with_label else {})
    return setting.steps.stage("pair", config, inputs, run, f"round {number} pairs")


def _within(pairs: list[Pair], limit: int | None, seed: int, number: int) -> list[Pair]:
    """Mark the pairs that the budget does not reach; equal comparisons cost one."""
    if limit is None:
        return pairs
    within = drawn({one.comparison.id for one in pairs if one.reason is None}, limit, seed, number, "budget")
    return [
        one
        if one.reason is not None or one.comparison.id in within
        else Pair(example_id=one.example_id, number=one.number, a=one.a, b=one.b, reason=Reason.NOT_COMPARED)
        for one in pairs
    ]


def prefer(
    setting: Setting, annotator: AnnotatorPlan, pairs: Artifact, judged: Artifact, method: DpoMethod, number: int
) -> Artifact:
    """Keep the most confident preferences: a share of all pairs or, under an equal budget, of those judged."""
    keep, rule = method.keep, rule_of(method)
    of_all = setting.comparisons is None

    def run(work: Work) -> None:
        every, given = read_pairs(pairs), read_preferences(Path(judged.path))
        n = len(every) if of_all else sum(one.reason is None for one in every)
        reasons = most_confident(every, given, keep, n, annotator.shares, rule)
        verdicts = [None if one.reason is not None else given[one.comparison.id] for one in every]
        rows = list(zip(every, verdicts, reasons, strict=True))
        write_rows(work.path / LEDGER, (ledger_line(*row, number, annotator.kind) for row in rows))
        chosen = [_chosen(one, by) for one, by, reason in rows if reason is Reason.ACCEPTED and by is not None]
        work.count(rows=write_rows(work.path / CHOSEN, chosen))

    config: dict[str, JsonValue] = {
        "keep": keep,
        "of_all": of_all,
        "shares": {**annotator.shares} if annotator.shares else None,
        "round": number,
        **rule_config(rule, annotator),
    }
    inputs = {"pairs": pairs, "judged": judged}
    return setting.steps.stage("prefer", config, inputs, run, f"round {number} preferences")


def _chosen(one: Pair, preference: Preference) -> ChosenPair:
    chosen, rejected = preferred(one, preference)
    score = confidence(preference)
    assert score is not None, one
    return ChosenPair(example_id=one.example_id, number=one.number, chosen=chosen, rejected=rejected, score=score)
