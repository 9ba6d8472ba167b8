"""The steps of one round of refinement, each a stage: cross-label, compare, judge, update."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from burnish.artifacts import (
    COMPARISONS,
    DEMONSTRATIONS,
    LEDGER,
    PREFERENCES,
    SCREENED,
    TRAINING,
    Screened,
    Side,
    read_comparisons,
    read_demonstrations,
    read_json,
    read_preferences,
    read_screened,
)
from burnish.comparisons import screen
from burnish.methods.setting import Setting
from burnish.refine import Candidate, apply, check_cross_label, ledger, naive_choice, select
from burnish.stages import Stage, Work
from burnish.store import write_rows
from burnish.types import (
    Artifact,
    Comparison,
    Demonstration,
    DemonstrationSource,
    Preference,
    Reason,
)

Proposals = tuple[Artifact, Artifact]


def cross_label(setting: Setting, demonstrations: Artifact, number: int) -> tuple[Proposals, Proposals]:
    """Train a model on each half and let each answer the half that it has not seen (Algorithm 1, lines 2 to 8).

    Returns the two models and the two sets of proposals.
    """
    steps, rows = setting.steps, setting.rows
    halves = steps.halve(rows, "cross", number)
    first, second = rows.half(halves, Side.FIRST), rows.half(halves, Side.SECOND)
    label = f"round {number} half"
    model_1 = steps.train(setting.base, first, demonstrations, setting.train, f"{label} 1")
    model_2 = steps.train(setting.base, second, demonstrations, setting.train, f"{label} 2")
    proposal = DemonstrationSource.PROPOSAL
    proposals_2 = steps.answer(model_1, second, setting.decode, "proposals", proposal, number)
    proposals_1 = steps.answer(model_2, first, setting.decode, "proposals", proposal, number)
    return (model_1, model_2), (proposals_1, proposals_2)


def compare(setting: Setting, current: Artifact, models: Proposals, proposals: Proposals, number: int) -> Artifact:
    """Pair each current label with its proposal where they differ; checks that no model labelled what it learned."""

    def run(work: Work) -> None:
        labels, proposed = read_demonstrations(current), merged(proposals)
        check_cross_label(
            {model.fingerprint: frozenset(read_json(model, TRAINING)["trained_on"]) for model in models},
            proposed.values(),
        )
        task = setting.steps.task
        reasons = {id_: screen(task.extract, task.agree, labels[id_], z) for id_, z in proposed.items()}
        write_rows(work.path / SCREENED, (Screened(example_id=id_, reason=why) for id_, why in reasons.items()))
        pairs = (Comparison(example_id=i, a=labels[i], b=proposed[i]) for i, why in reasons.items() if why is None)
        work.count(rows=len(proposed), comparisons=write_rows(work.path / COMPARISONS, pairs))

    return setting.steps.run(
        Stage(
            name="compare",
            version=1,
            config={"task": setting.steps.task_kind},
            inputs={"current": current, **_numbered("model", models), **_numbered("proposals", proposals)},
            run=run,
            label=f"{setting.steps.label} round {number} comparisons",
        )
    )


def judge(setting: Setting, compared: Artifact, number: int) -> Artifact:
    """Let the annotator judge every comparison; finished units of its work survive a kill."""
    annotator = setting.annotator

    def run(work: Work) -> None:
        comparisons = read_comparisons(compared)
        with work.append(PREFERENCES) as out:
            done = read_preferences(work.path)
            if all(comparison.id in done for comparison in comparisons):
                return
            for preferences in annotator.make().judge(comparisons, done.keys()):
                out.append(preferences)
                work.count(comparisons=len(preferences))

    return setting.steps.run(
        Stage(
            name="judge",
            version=1,
            config=annotator.config,
            inputs={"comparisons": compared, **annotator.inputs},
            run=run,
            label=f"{setting.steps.label} round {number} judgements",
            resumable=True,
        )
    )


def update(
    setting: Setting,
    current: Artifact,
    proposals: Proposals,
    compared: Artifact,
    judged: Artifact,
    alpha: float,
    number: int,
) -> Artifact:
    """Accept the most confident preferred proposals, at most alpha of all rows (Algorithm 1, lines 11 to 16)."""
    shares = setting.annotator.shares

    def run(work: Work) -> None:
        by_example, candidates = candidates_of(compared, judged)
        reasons = select(candidates, alpha, len(candidates), shares)
        _write(work, current, proposals, by_example, candidates, reasons, number, setting.annotator.kind)

    config: dict[str, JsonValue] = {"alpha": alpha, "shares": {**shares} if shares else None, "round": number}
    inputs = {"current": current, "compared": compared, "judged": judged, **_numbered("proposals", proposals)}
    label = f"{setting.steps.label} round {number} refinement"
    return setting.steps.run(Stage(name="refine", version=1, config=config, inputs=inputs, run=run, label=label))


def replace_at_random(
    setting: Setting, current: Artifact, proposals: Proposals, compared: Artifact, alpha: float, number: int
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
    inputs = {"current": current, "compared": compared, **_numbered("proposals", proposals)}
    label = f"{setting.steps.label} round {number} random replacement"
    return setting.steps.run(Stage(name="replace", version=1, config=config, inputs=inputs, run=run, label=label))


def candidates_of(compared: Artifact, judged: Artifact) -> tuple[dict[str, Preference], list[Candidate]]:
    """Join what was screened with what was judged, by example."""
    preferences = read_preferences(Path(judged.path))
    by_example = {c.example_id: preferences[c.id] for c in read_comparisons(compared)}

    def candidate(row: Screened) -> Candidate:
        given = by_example.get(row.example_id)
        return Candidate(
            example_id=row.example_id,
            screened=row.reason,
            verdict=given.verdict if given else None,
            p_b=given.p_b if given else None,
            source=given.judge if given else "",
        )

    return by_example, [candidate(row) for row in read_screened(compared)]


def merged(proposals: Proposals) -> dict[str, Demonstration]:
    """Read both halves' proposals, sorted by example."""
    return dict(sorted((read_demonstrations(proposals[0]) | read_demonstrations(proposals[1])).items()))


def _write(
    work: Work,
    current: Artifact,
    proposals: Proposals,
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


def _numbered(name: str, artifacts: Proposals) -> dict[str, Artifact]:
    return {f"{name}_{number}": artifact for number, artifact in enumerate(artifacts, 1)}
