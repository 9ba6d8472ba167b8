"""The steps of one round of refinement, each a stage: cross-label, compare, update; judging is the annotator's."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

from pydantic import JsonValue

from burnish.algorithms.comparisons import screen
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
    orders_of,
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
from burnish.types import Accept, Artifact, Comparison, Demonstration, DemonstrationSource, Preference, Reason

Parts = tuple[Artifact, ...]
"""One artifact for each part of the rows: a model, or its proposals."""


def train_on_parts(setting: Setting, demonstrations: Artifact, number: int, splits: int) -> tuple[Artifact, Parts]:
    """Cut the rows and train a model for each part, on all the others (Algorithm 1, lines 2 to 4).

    Returns the cut and the models.
    """
    steps, rows = setting.steps, setting.rows
    cut = steps.split(rows, "cross", number, splits)
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
    """Let the model of each part answer it, which it has not seen (Algorithm 1, lines 2 to 8).

    Not `cross`: each model answers the next part instead, on which it was trained. Returns the models and proposals.
    """
    cut, models = train_on_parts(setting, demonstrations, number, splits)
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
    """Pair each current label with its proposal where they differ, as far as the budget goes.

    Checks that no model labelled what it learned, unless that is wanted.
    """
    seed, budget, differing = setting.steps.seed, setting.comparisons, setting.differing
    distances = distance(setting, current, proposals, number) if differing else None

    def run(work: Work) -> None:
        labels, proposed = read_demonstrations(current), merged(proposals)
        if cross:
            check_cross_label(
                {model.fingerprint: frozenset(read_json(model, TRAINING)["trained_on"]) for model in models},
                proposed.values(),
            )
        both = chain(proposed.values(), (labels[id_] for id_ in proposed))
        grader_of = graders(setting.steps.task, setting.rows.examples(), both)
        reasons = {id_: screen(grader_of(id_), labels[id_], z) for id_, z in proposed.items()}
        if differing and distances:
            reasons = distant(reasons, read_scores(distances), differing.share)
        if budget is not None:
            limit = len(proposed) if budget == "rows" else budget
            within = drawn([id_ for id_, why in reasons.items() if why is None], limit, seed, number, "budget")
            reasons = {id_: why or (None if id_ in within else Reason.NOT_COMPARED) for id_, why in reasons.items()}
        write_rows(work.path / SCREENED, (Screened(example_id=id_, reason=why) for id_, why in reasons.items()))
        pairs = (Comparison(example_id=i, a=labels[i], b=proposed[i]) for i, why in reasons.items() if why is None)
        work.count(rows=len(proposed), comparisons=write_rows(work.path / COMPARISONS, pairs))

    config: dict[str, JsonValue] = {"task": setting.steps.task_kind, "cross_label": cross, "budget": budget}
    if budget is not None:  # without one nothing is drawn
        config |= {"seed": seed, "round": number}
    inputs = {"current": current, **numbered("model", models), **numbered("proposals", proposals)}
    if differing and distances:
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
    """Accept the most confident preferred proposals, at most alpha of all rows (Algorithm 1, lines 11 to 16).

    `rule` says which proposals count as preferred.
    """
    shares, cap_of = setting.annotator.shares, setting.compat.cap

    def run(work: Work) -> None:
        by_example, candidates = candidates_of(compared, judged)
        differing = sum(candidate.screened is None for candidate in candidates)
        reasons = select(candidates, alpha, len(candidates) if cap_of == "rows" else differing, shares, rule)
        _write(work, current, proposals, by_example, candidates, reasons, number, setting.annotator.kind)

    config: dict[str, JsonValue] = {
        "alpha": alpha,
        "cap": cap_of,
        "shares": {**shares} if shares else None,
        "round": number,
    }
    config |= rule_config(rule, setting.annotator)
    inputs = {"current": current, "compared": compared, "judged": judged, **numbered("proposals", proposals)}
    return setting.steps.stage("refine", config, inputs, run, f"round {number} refinement")


def replace_at_random(
    setting: Setting, current: Artifact, proposals: Parts, compared: Artifact, alpha: float, number: int
) -> Artifact:
    """Replace a random alpha share by valid proposals, without feedback (appendix E.2)."""
    seed = setting.steps.seed

    def run(work: Work) -> None:
        candidates = [
            Candidate(example_id=row.example_id, screened=row.reason, verdict=None, p_b=None)
            for row in read_screened(compared)
        ]
        reasons = naive_choice(candidates, alpha, len(candidates), seed, number)
        _write(work, current, proposals, {}, candidates, reasons, number, "none")

    config = {"alpha": alpha, "seed": seed, "round": number}
    inputs = {"current": current, "compared": compared, **numbered("proposals", proposals)}
    return setting.steps.stage("replace", config, inputs, run, f"round {number} random replacement")


def candidates_of(compared: Artifact, judged: Artifact) -> tuple[Mapping[str, Preference], list[Candidate]]:
    """Join what was screened with what was judged, by example."""
    by_example = JudgedExamples(compared, judged)

    def candidate(row: Screened) -> Candidate:
        given = by_example[row.example_id] if row.reason is None else None
        return Candidate(
            example_id=row.example_id,
            screened=row.reason,
            verdict=given.verdict if given else None,
            p_b=given.p_b if given else None,
            source=given.judge if given else "",
            orders=orders_of(given) if given else (),
        )

    return by_example, [candidate(row) for row in read_screened(compared)]


def merged(proposals: Parts) -> Mapping[str, Demonstration]:
    """Read all parts' proposals, sorted by example."""
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
    labels, proposed = read_demonstrations(current), merged(proposals)
    reasons = {candidate.example_id: reason for candidate, reason in zip(candidates, chosen, strict=True)}
    lines = ledger(labels, proposed, preferences, reasons, round_number=number, annotator=annotator)
    write_rows(work.path / LEDGER, lines)
    work.count(rows=write_rows(work.path / DEMONSTRATIONS, apply(labels, proposed, reasons)))


def numbered(name: str, artifacts: Parts) -> dict[str, Artifact]:
    """Name artifacts as a stage's inputs."""
    return {f"{name}_{number}": artifact for number, artifact in enumerate(artifacts, 1)}


def rule_of(method: GatedMethod) -> Acceptance:
    """Return the rule of acceptance that a method's settings name."""
    accept = method.accept if isinstance(method, ComparingMethod) else None
    return Acceptance(accept=accept or Accept.MEAN, gate=method.gate)


def rule_config(rule: Acceptance, annotator: AnnotatorPlan) -> dict[str, JsonValue]:
    """Return the part of a stage's config that the rule makes: nothing for the paper's rule.

    For an annotator that is asked once, both ways to accept are the same.
    """
    gate: dict[str, JsonValue] = {"gate": rule.gate} if rule.gate != PAPER.gate else {}
    both = rule.accept is Accept.BOTH_ORDERS and not annotator.order_free
    return gate | ({"accept": str(rule.accept)} if both else {})
