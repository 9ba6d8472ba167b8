"""The steps of one round of preference optimisation: sample, pair, prefer. Each is a stage; the annotator judges."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from burnish.algorithms.comparisons import confidence, tie_rank
from burnish.algorithms.preferences import Pair, against, ledger_line, most_confident, paired, preferred, screened
from burnish.algorithms.refinement import drawn
from burnish.config import Decoding, DpoMethod, PairsFrom
from burnish.steps.acceptance import rule_config, rule_of
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
from burnish.steps.refining import numbered, train_on_parts
from burnish.steps.setting import Setting
from burnish.store.files import write_rows
from burnish.store.stages import Work
from burnish.tasks.answers import graders
from burnish.types import Artifact, Demonstration, DemonstrationSource, Preference, Reason


def sample(
    setting: Setting, method: DpoMethod, policy: Artifact, labels: Artifact, number: int
) -> tuple[Artifact, ...]:
    """Sample answers from the policy or, for sDPO, from the model of the other half.

    Returns one artifact for each model that answers. Each sample has its own random seed.
    """
    steps, rows = setting.steps, setting.rows
    decode = Decoding(beams=1, temperature=method.temperature, max_new_tokens=setting.decode.max_new_tokens)
    # wsDPO pairs each sample with the label, so half as many samples give as many pairs.
    count = method.samples // 2 if method.pairs_from is PairsFrom.LABELS else method.samples
    if method.pairs_from is PairsFrom.HALVES:
        # sDPO: train a model on each half, and let it answer the other half.
        cut, models = train_on_parts(setting, labels, number, 2)
        answered = [(model, rows.part(cut, str(part))) for part, model in enumerate(models, 1)]
    else:
        answered = [(policy, rows)]
    source = DemonstrationSource.PROPOSAL
    return tuple(
        steps.answer(model, part_rows, decode, "samples", source, number, count) for model, part_rows in answered
    )


def pair(setting: Setting, method: DpoMethod, samples: tuple[Artifact, ...], labels: Artifact, number: int) -> Artifact:
    """Pair the answers to each prompt and choose the comparisons to judge, as far as the budget allows.

    The stage writes all pairs, and the comparisons of those pairs that are to be judged. Equal comparisons are judged
    once.
    """
    task, seed, budget = setting.steps.task, setting.steps.seed, setting.comparisons
    with_label, differing = method.pairs_from is PairsFrom.LABELS, method.pairs == "differing"

    def run(work: Work) -> None:
        current: Mapping[str, Demonstration] = read_demonstrations(labels) if with_label else {}
        answers = {id_: row_samples for artifact in samples for id_, row_samples in read_samples(artifact).items()}
        drawn = [
            (id_, place, a, b)
            for id_, row_samples in sorted(answers.items())
            for place, (a, b) in enumerate(against(current[id_], row_samples) if with_label else paired(row_samples))
        ]
        # Only `differing` compares final answers. Otherwise no answer is passed, so nothing is executed for it.
        compared = (side for _, _, a, b in drawn for side in (a, b)) if differing else ()
        grader_of = graders(task, setting.rows.examples(), compared)
        pairs = [
            Pair(example_id=id_, number=place, a=a, b=b, reason=screened(grader_of(id_), a, b, differing))
            for id_, place, a, b in drawn
        ]
        pairs = _within(pairs, len(answers) if budget == "rows" else budget, seed, number)
        write_rows(work.path / PAIRS, pairs)
        # A dict by id keeps each comparison once: two pairs with equal texts cost one judgement.
        comparisons = {pair_row.comparison.id: pair_row.comparison for pair_row in pairs if pair_row.reason is None}
        work.count(rows=len(pairs), comparisons=write_rows(work.path / COMPARISONS, comparisons.values()))

    config: dict[str, JsonValue] = {
        "task": setting.steps.task_kind,
        "pairs_from": str(method.pairs_from),
        "pairs": method.pairs,
        "budget": budget,
    }
    # Without a budget nothing is drawn. Then seed and round stay out of the fingerprint.
    if budget is not None:
        config |= {"seed": seed, "round": number}
    # The labels are an input only where they are read, so that plain DPO does not depend on them.
    inputs = numbered("samples", samples) | ({"labels": labels} if with_label else {})
    return setting.steps.stage("pair", config, inputs, run, f"round {number} pairs")


def _within(pairs: list[Pair], limit: int | None, seed: int, number: int) -> list[Pair]:
    """Mark the pairs that the budget does not reach as not compared. Equal comparisons cost one."""
    if limit is None:
        return pairs
    within = drawn(
        {pair_row.comparison.id for pair_row in pairs if pair_row.reason is None}, limit, seed, number, "budget"
    )
    return [
        pair_row
        if pair_row.reason is not None or pair_row.comparison.id in within
        else Pair(
            example_id=pair_row.example_id,
            number=pair_row.number,
            a=pair_row.a,
            b=pair_row.b,
            reason=Reason.NOT_COMPARED,
        )
        for pair_row in pairs
    ]


def prefer(
    setting: Setting, annotator: AnnotatorPlan, pairs: Artifact, judged: Artifact, method: DpoMethod, number: int
) -> Artifact:
    """Keep the most confident preferences.

    `method.keep` is a share of all pairs or of the comparisons that were made, as `method.of` says. If it says nothing,
    it is a share of all pairs, and of the pairs that were judged if every method has the same budget.
    """
    keep, rule = method.keep, rule_of(method)
    # With an equal budget not all pairs are judged, and a share of all pairs might then be more than were judged.
    of_all = setting.comparisons is None if method.of is None else method.of == "all"
    seed = setting.steps.seed

    def rank(preference: Preference, key: str) -> str:
        return tie_rank(preference, str(seed), str(number), key) if annotator.coarse else ""

    def run(work: Work) -> None:
        all_pairs, preferences = read_pairs(pairs), read_preferences(Path(judged.path))
        judged_pairs = [pair_row for pair_row in all_pairs if pair_row.reason is None]
        n = len(all_pairs if of_all else judged_pairs)
        if method.of == "compared":
            # Equal pairs cost one comparison.
            n = len({pair_row.comparison.id for pair_row in judged_pairs})
        reasons = most_confident(all_pairs, preferences, keep, n, annotator.shares, rule, rank)
        verdicts = [
            None if pair_row.reason is not None else preferences[pair_row.comparison.id] for pair_row in all_pairs
        ]
        rows = list(zip(all_pairs, verdicts, reasons, strict=True))
        write_rows(work.path / LEDGER, (ledger_line(*row, number, annotator.in_ledger) for row in rows))
        chosen = [
            _chosen(pair_row, by) for pair_row, by, reason in rows if reason is Reason.ACCEPTED and by is not None
        ]
        work.count(rows=write_rows(work.path / CHOSEN, chosen))

    config: dict[str, JsonValue] = {
        "keep": keep,
        "of_all": of_all,
        "shares": {**annotator.shares} if annotator.shares else None,
        "round": number,
        **rule_config(rule, annotator),
        **({"of": "compared"} if method.of == "compared" else {}),
    }
    if annotator.coarse:
        config |= {"rank_by_seed": seed, "rank_by_agreement": True}
    inputs = {"pairs": pairs, "judged": judged}
    return setting.steps.stage("prefer", config, inputs, run, f"round {number} preferences")


def _chosen(pair_row: Pair, preference: Preference) -> ChosenPair:
    """Return the row to train on for a pair and its preference."""
    chosen, rejected = preferred(pair_row, preference)
    score = confidence(preference)
    assert score is not None, pair_row
    return ChosenPair(
        example_id=pair_row.example_id, number=pair_row.number, chosen=chosen, rejected=rejected, score=score
    )
