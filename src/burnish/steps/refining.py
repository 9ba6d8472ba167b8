"""The steps of one round of refinement: cross-label, compare, update. Each is a stage; the annotator judges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain

from pydantic import JsonValue

from burnish.algorithms.comparisons import orders_of, screen
from burnish.algorithms.refinement import (
    PAPER,
    Acceptance,
    Candidate,
    apply,
    check_cross_label,
    distant,
    drawn,
    ledger,
    naive_choice,
    select,
)
from burnish.config import ComparingMethod, GatedMethod
from burnish.steps.artifacts import (
    COMPARISONS,
    DEMONSTRATIONS,
    LEDGER,
    SCREENED,
    TRAINING,
    JudgedExamples,
    Screened,
    read_demonstrations,
    read_json,
    read_scores,
    read_screened,
)
from burnish.steps.distances import distance
from burnish.steps.judging import AnnotatorPlan
from burnish.steps.setting import Setting
from burnish.store.files import write_rows
from burnish.store.keyed_rows import MergedRows
from burnish.store.stages import Work
from burnish.tasks.answers import graders
from burnish.types import (
    Accept,
    Artifact,
    Comparison,
    Demonstration,
    DemonstrationSource,
    Preference,
    Reason,
    short_hash,
)

Parts = tuple[Artifact, ...]
"""One artifact for each part of the rows: a model, or its proposals."""


def train_on_parts(setting: Setting, demonstrations: Artifact, number: int, splits: int) -> tuple[Artifact, Parts]:
    """Cut the rows into parts and train one model for each part, on all other parts (Algorithm 1, lines 2 to 4).

    Returns the cut and the models.
    """
    steps, rows = setting.steps, setting.rows
    cut = steps.split(rows, "cross", number, splits)
    # Parts are named by text, because JSON keys are texts.
    names = [str(part) for part in range(1, splits + 1)]
    models = tuple(
        steps.train(
            setting.base,
            rows.part(cut, *(other for other in names if other != name)),
            demonstrations,
            setting.train,
            f"round {number} without part {name}",
        )
        for name in names
    )
    return cut, models


def cross_label(
    setting: Setting, demonstrations: Artifact, number: int, splits: int = 2, cross: bool = True
) -> tuple[Parts, Parts]:
    """Let each model answer the part that it was not trained on (Algorithm 1, lines 2 to 8).

    If `cross` is False, each model answers the next part instead, on which it was trained. Returns the models and their
    proposals, part by part.
    """
    cut, models = train_on_parts(setting, demonstrations, number, splits)
    # Parts count from 1, so `part % splits + 1` is the next part, and part 1 follows the last one.
    answered = [part % splits + 1 if not cross else part for part in range(1, splits + 1)]
    proposals = tuple(
        setting.steps.answer(
            model,
            setting.rows.part(cut, str(part)),
            setting.decode,
            "proposals",
            DemonstrationSource.PROPOSAL,
            number,
        )
        for model, part in zip(models, answered, strict=True)
    )
    return models, proposals


def compare(
    setting: Setting, current: Artifact, models: Parts, proposals: Parts, number: int, cross: bool = True
) -> Artifact:
    """Pair each current label with its proposal where they differ, as far as the budget allows.

    If `cross` is True, the stage raises StageError when a model proposes for a row that it was trained on.
    """
    seed, budget, differing = setting.steps.seed, setting.comparisons, setting.differing
    # Distances are a stage of their own because a model or a program measures them, which is slow.
    distances = distance(setting, current, proposals, number) if differing else None

    def run(work: Work) -> None:
        labels, proposed = read_demonstrations(current), merged(proposals)
        if cross:
            check_cross_label(
                {model.fingerprint: frozenset(read_json(model, TRAINING)["trained_on"]) for model in models},
                proposed.values(),
            )
        # Screening looks at the final answers of both sides. A task that executes answers executes all of them here at
        # once.
        both = chain(proposed.values(), (labels[id_] for id_ in proposed))
        grader_of = graders(setting.steps.task, setting.rows.examples(), both)
        reasons = {id_: screen(grader_of(id_), labels[id_], z) for id_, z in proposed.items()}
        if differing and distances:
            reasons = distant(reasons, read_scores(distances), differing.share)
        if budget is not None:
            # `drawn` picks by hash, so the rows within the budget are a random sample of the rows that differ.
            limit = len(proposed) if budget == "rows" else budget
            within = drawn([id_ for id_, why in reasons.items() if why is None], limit, seed, number, "budget")
            reasons = {id_: why or (None if id_ in within else Reason.NOT_COMPARED) for id_, why in reasons.items()}
        write_rows(work.path / SCREENED, (Screened(example_id=id_, reason=why) for id_, why in reasons.items()))
        pairs = (Comparison(example_id=i, a=labels[i], b=proposed[i]) for i, why in reasons.items() if why is None)
        work.count(rows=len(proposed), comparisons=write_rows(work.path / COMPARISONS, pairs))

    config: dict[str, JsonValue] = {"task": setting.steps.task_kind, "cross_label": cross, "budget": budget}
    # Without a budget nothing is drawn. Then seed and round stay out of the fingerprint.
    if budget is not None:
        config |= {"seed": seed, "round": number}
    inputs = {"current": current, **numbered("model", models), **numbered("proposals", proposals)}
    if differing and distances:
        # Only here if it is used, so that stages without distances keep their fingerprint.
        config["differing"] = differing.share
        inputs["distances"] = distances
    return setting.steps.stage("compare", config, inputs, run, f"round {number} comparisons")


def update(
    setting: Setting,
    current: Artifact,
    proposals: Parts,
    compared: Artifact,
    judged: Artifact,
    alpha: float,
    number: int,
    rule: Acceptance = PAPER,
) -> Artifact:
    """Accept the most confident proposals that are preferred, at most alpha of all rows (Algorithm 1, lines 11 to 16).

    `rule` says which proposals count as preferred. The stage raises ConfigError as `select` does.
    """
    shares, cap_of, seed = setting.annotator.shares, setting.compat.cap, setting.steps.seed

    def rank(example_id: str) -> str:
        return short_hash("rank", str(seed), str(number), example_id) if setting.annotator.coarse else ""

    def run(work: Work) -> None:
        by_example, candidates = candidates_of(compared, judged, rank)
        # The paper takes alpha of all rows. The released code takes it of the proposals that differ (`compat.cap`).
        differing = sum(candidate.screened is None for candidate in candidates)
        reasons = select(candidates, alpha, len(candidates) if cap_of == "rows" else differing, shares, rule)
        _write(work, current, proposals, by_example, candidates, reasons, number, setting.annotator.kind)

    config: dict[str, JsonValue] = {
        "alpha": alpha,
        "cap": cap_of,
        # A plain dict, because the fingerprint is made of JSON and refuses other types.
        "shares": {**shares} if shares else None,
        "round": number,
    }
    config |= rule_config(rule, setting.annotator)
    if setting.annotator.coarse:
        config["rank_by_seed"] = seed
    inputs = {"current": current, "compared": compared, "judged": judged, **numbered("proposals", proposals)}
    return setting.steps.stage("refine", config, inputs, run, f"round {number} refinement")


def replace_at_random(
    setting: Setting, current: Artifact, proposals: Parts, compared: Artifact, alpha: float, number: int
) -> Artifact:
    """Replace a random share alpha of the labels by valid proposals, without feedback (appendix E.2)."""
    seed = setting.steps.seed

    def run(work: Work) -> None:
        candidates = [
            Candidate(example_id=row.example_id, screened=row.reason, verdict=None, p_b=None)
            for row in read_screened(compared)
        ]
        reasons = naive_choice(candidates, alpha, len(candidates), seed, number)
        # No preferences and the annotator "none": the ledger shows that nobody judged.
        _write(work, current, proposals, {}, candidates, reasons, number, "none")

    config = {"alpha": alpha, "seed": seed, "round": number}
    inputs = {"current": current, "compared": compared, **numbered("proposals", proposals)}
    return setting.steps.stage("replace", config, inputs, run, f"round {number} random replacement")


def candidates_of(
    compared: Artifact, judged: Artifact, rank: Callable[[str], str]
) -> tuple[Mapping[str, Preference], list[Candidate]]:
    """Join the screening with the judgements, by example; `rank` decides between equally confident examples.

    Returns the preference of each compared example, and one candidate for each screened row.
    """
    # Judgements have comparison ids. This joins them by example, because selection works on examples.
    by_example = JudgedExamples(compared, judged)

    def candidate(row: Screened) -> Candidate:
        preference = by_example[row.example_id] if row.reason is None else None
        return Candidate(
            example_id=row.example_id,
            screened=row.reason,
            verdict=preference.verdict if preference else None,
            p_b=preference.p_b if preference else None,
            # With mixed feedback the judge's name is the source whose share of the cap counts.
            source=preference.judge if preference else "",
            orders=orders_of(preference) if preference else (),
            rank=rank(row.example_id) if preference else "",
        )

    return by_example, [candidate(row) for row in read_screened(compared)]


def merged(proposals: Parts) -> Mapping[str, Demonstration]:
    """Read the proposals of all parts as one mapping, sorted by example id."""
    # Rows are read when they are asked for and merged by id, so memory does not grow with the length of the answers.
    return MergedRows([read_demonstrations(part) for part in proposals])


def _write(
    work: Work,
    current: Artifact,
    proposals: Parts,
    preferences: Mapping[str, Preference],
    candidates: list[Candidate],
    chosen: list[Reason],
    number: int,
    annotator: str,
) -> None:
    """Write a round's ledger and its updated labels."""
    labels, proposed = read_demonstrations(current), merged(proposals)
    reasons = {candidate.example_id: reason for candidate, reason in zip(candidates, chosen, strict=True)}
    lines = ledger(labels, proposed, preferences, reasons, round_number=number, annotator=annotator)
    write_rows(work.path / LEDGER, lines)
    work.count(rows=write_rows(work.path / DEMONSTRATIONS, apply(labels, proposed, reasons)))


def numbered(name: str, artifacts: Parts) -> dict[str, Artifact]:
    """Name several artifacts as inputs of a stage: NAME_1, NAME_2, ..."""
    return {f"{name}_{number}": artifact for number, artifact in enumerate(artifacts, 1)}


def rule_of(method: GatedMethod) -> Acceptance:
    """Return the rule of acceptance that a method's settings describe."""
    accept = method.accept if isinstance(method, ComparingMethod) else None
    return Acceptance(accept=accept or Accept.MEAN, gate=method.gate)


def rule_config(rule: Acceptance, annotator: AnnotatorPlan) -> dict[str, JsonValue]:
    """Return what the rule adds to a stage's config: nothing for the paper's rule.

    An annotator that is asked only once has one order, so both values of `accept` mean the same and are left out.
    """
    # Values of the paper's rule are left out, so that stages from before these settings existed keep their fingerprint.
    gate: dict[str, JsonValue] = {"gate": rule.gate} if rule.gate != PAPER.gate else {}
    both = rule.accept is Accept.BOTH_ORDERS and not annotator.order_free
    return gate | ({"accept": str(rule.accept)} if both else {})
