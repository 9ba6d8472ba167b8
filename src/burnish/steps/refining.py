"""The steps of one round of refinement: cross-label, compare, update. Each is a stage; the annotator judges."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, repeat
from pathlib import Path
from types import MappingProxyType

from pydantic import JsonValue

from burnish.algorithms.comparisons import orders_of, screen, tie_rank
from burnish.algorithms.cross_labelling import cross_labelled
from burnish.algorithms.ranking import Candidate
from burnish.algorithms.refinement import (
    PAPER,
    Acceptance,
    distant,
    drawn,
    naive_choice,
    select,
    updated,
)
from burnish.steps.acceptance import Judgements, gate_test, rule_config, scaled
from burnish.steps.artifacts import (
    COMPARISONS,
    DEMONSTRATIONS,
    LEDGER,
    SCREENED,
    TRAINING,
    JudgedExamples,
    Screened,
    demonstrations_in,
    read_demonstrations,
    read_doubts,
    read_scores,
    read_screened,
)
from burnish.steps.distances import distance
from burnish.steps.sampling import Sampling, sampled
from burnish.steps.setting import Setting
from burnish.store.files import writing
from burnish.store.keyed_rows import KeyedRows
from burnish.store.keys import KeySet
from burnish.store.listings import listed
from burnish.store.stages import Work
from burnish.tasks.answers import matchers
from burnish.types import (
    Artifact,
    Comparison,
    Demonstration,
    DemonstrationSource,
    Preference,
    Reason,
)

NOT_JUDGED = frozenset({Reason.AGREED, Reason.INVALID, Reason.NOT_COMPARED})
"""The reasons of rows that nobody judged, in a round with an annotator."""
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
            setting.train_proposers or setting.train,
            f"round {number} without part {name}",
        )
        for name in names
    )
    return cut, models


def cross_label(
    setting: Setting,
    demonstrations: Artifact,
    number: int,
    splits: int = 2,
    cross: bool = True,
    sampling: Sampling | None = None,
) -> tuple[Parts, Parts]:
    """Let each model answer the part that it was not trained on (Algorithm 1, lines 2 to 8).

    If `cross` is False, each model answers the next part instead, on which it was trained. Returns the models and their
    proposals, part by part. With `sampling`, each model writes several samples for each row instead of one proposal.
    """
    cut, models = train_on_parts(setting, demonstrations, number, splits)
    # Parts count from 1, so `part % splits + 1` is the next part, and part 1 follows the last one.
    answered = [part % splits + 1 if not cross else part for part in range(1, splits + 1)]
    parts = [setting.rows.part(cut, str(part)) for part in answered]
    proposals = tuple(
        setting.steps.answer(model, part, setting.decode, "proposals", DemonstrationSource.PROPOSAL, number)
        if sampling is None
        else sampled(setting, model, part, number, sampling)
        for model, part in zip(models, parts, strict=True)
    )
    return models, proposals


def compare(
    setting: Setting, current: Artifact, models: Parts, proposals: Parts, number: int, cross: bool = True
) -> Artifact:
    """Pair each current label with its proposal where they differ, as far as the budget allows.

    If `cross` is True, the stage raises StageError when a model proposes for a row that it was trained on.
    """
    seed, budget, differing = setting.steps.seed, setting.comparisons, setting.differing
    per_row = setting.per_row
    # Distances are a stage of their own because a model or a program measures them, which is slow.
    distances = distance(setting, current, proposals, number) if differing else None

    def run(work: Work) -> None:
        labels, proposed = read_demonstrations(current), merged(proposals)
        place_N = labels.places(proposed.sorted_keys)
        # Screening looks at the final answers of both sides. A task that executes answers executes all of them here at
        # once.
        both = chain(proposed.values(), labels.rows_at(place_N))
        matcher_of = matchers(setting.steps.task, setting.rows.examples, both)
        checked = proposed.values()
        if cross:
            checked = cross_labelled(trained_on(models), checked)
        pairs = zip(labels.rows_at(place_N), checked, strict=True)
        if differing is None and budget is None:
            # The usual case: nothing is chosen among the rows, so none of them is kept.
            screened = ((y, z, screen(matcher_of(z.example_id), y, z)) for y, z in pairs)
        else:
            reasons = {z.example_id: screen(matcher_of(z.example_id), y, z) for y, z in pairs}
            if differing and distances:
                reasons = distant(reasons, read_scores(distances), differing.share)
            if budget is not None:
                limit = len(proposed) if budget == "rows" else budget
                reasons = _within(reasons, limit // per_row, seed, number)
            screened = zip(labels.rows_at(place_N), proposed.values(), reasons.values(), strict=True)
        work.count(rows=len(proposed), comparisons=write_comparisons(work, screened))

    config: dict[str, JsonValue] = {"task": setting.steps.task_kind, "cross_label": cross, "budget": budget}
    # Without a budget nothing is drawn. Then seed and round stay out of the fingerprint.
    if budget is not None:
        config |= {"seed": seed, "round": number}
        if per_row > 1:
            config["per_row"] = per_row
    inputs = {"current": current, **numbered("model", models), **numbered("proposals", proposals)}
    if differing and distances:
        # Only here if it is used, so that stages without distances keep their fingerprint.
        config["differing"] = differing.share
        inputs["distances"] = distances
    return setting.steps.stage("compare", config, inputs, run, f"round {number} comparisons")


def write_comparisons(work: Work, screened: Iterable[tuple[Demonstration, Demonstration, Reason | None]]) -> int:
    """Write why each proposal is not compared, and the pairs of those that are. Returns the number of pairs."""
    comparisons = 0
    with writing(work.path / SCREENED) as screened_row, writing(work.path / COMPARISONS) as comparison:
        for label, proposal, why in screened:
            screened_row(Screened(example_id=proposal.example_id, reason=why))
            if why is None:
                comparison(Comparison(example_id=proposal.example_id, a=label, b=proposal))
                comparisons += 1
    return comparisons


def _within(reasons: Mapping[str, Reason | None], limit: int, seed: int, number: int) -> dict[str, Reason | None]:
    """Compare at most `limit` of the rows that differ."""
    # `drawn` picks by hash, so the rows within the budget are a random sample of the rows that differ.
    within = drawn([id_ for id_, why in reasons.items() if why is None], limit, seed, number, "budget")
    return {id_: why or (None if id_ in within else Reason.NOT_COMPARED) for id_, why in reasons.items()}


def trained_on(models: Parts) -> dict[str, KeySet]:
    """Return {fingerprint of a model: the ids of the examples that it was trained on}."""
    return {model.fingerprint: KeySet(listed(Path(model.path) / TRAINING, {"trained_on"})) for model in models}


def update(
    setting: Setting,
    current: Artifact,
    proposals: Parts,
    judgements: Judgements,
    alpha: float,
    number: int,
    rule: Acceptance = PAPER,
) -> Artifact:
    """Accept the most confident proposals that are preferred, at most alpha of all rows (Algorithm 1, lines 11 to 16).

    `rule` says which proposals count as preferred. The stage raises ConfigError as `select` does.
    """
    shares, cap_of, seed = setting.annotator.shares, setting.compat.cap, setting.steps.seed
    tested, compared = gate_test(setting, rule), judgements.compared

    def rank(preference: Preference, example_id: str) -> str:
        return tie_rank(preference, str(seed), str(number), example_id) if setting.annotator.coarse else ""

    def run(work: Work) -> None:
        judged = JudgedExamples(compared, judgements.judged)
        rows = len(read_screened(compared))
        # The paper takes alpha of all rows. The released code takes it of the proposals that differ (`compat.cap`).
        of = rows if cap_of == "rows" else len(judged)
        known = {} if judgements.doubts is None else read_doubts(judgements.doubts)
        candidates = candidates_of(compared, judged, rank, known)
        reasons = select(candidates, alpha, of, shares, scaled(rule, tested))
        judged_rows = iter(judged)
        preferences = (None if reason in NOT_JUDGED else next(judged_rows) for reason in reasons)
        _write(work, current, proposals, preferences, reasons, number, setting.annotator.in_ledger)

    config: dict[str, JsonValue] = {
        "alpha": alpha,
        "cap": cap_of,
        # A plain dict, because the fingerprint is made of JSON and refuses other types.
        "shares": {**shares} if shares else None,
        "round": number,
    }
    config |= rule_config(rule, setting.annotator)
    if setting.annotator.coarse:
        config |= {"rank_by_seed": seed, "rank_by_agreement": True}
    if judgements.doubts is not None:
        config["most_doubt"] = rule.most_doubt
    inputs = {"current": current, **judgements.inputs, **numbered("proposals", proposals)}
    if tested is not None:
        inputs["selftest"] = tested
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
        _write(work, current, proposals, repeat(None, len(reasons)), reasons, number, "none")

    config = {"alpha": alpha, "seed": seed, "round": number}
    inputs = {"current": current, "compared": compared, **numbered("proposals", proposals)}
    return setting.steps.stage("replace", config, inputs, run, f"round {number} random replacement")


def candidates_of(
    compared: Artifact,
    judged: JudgedExamples,
    rank: Callable[[Preference, str], str],
    doubts: Mapping[str, float | None] = MappingProxyType({}),
) -> Iterator[Candidate]:
    """Join the screening with the judgements, and yield one candidate for each screened row, in the order of their ids.

    `rank` decides between equally confident examples. `doubts` is {example id: share of preferred edits}.
    """
    judgements = iter(judged)
    for row in read_screened(compared):
        if row.reason is not None:
            yield Candidate(example_id=row.example_id, screened=row.reason, verdict=None, p_b=None)
            continue
        preference = next(judgements)
        yield Candidate(
            example_id=row.example_id,
            screened=None,
            verdict=preference.verdict,
            p_b=preference.p_b,
            # With mixed feedback the judge's name is the source whose share of the cap counts.
            source=preference.judge,
            orders=orders_of(preference),
            rank=rank(preference, row.example_id),
            logit=preference.logit,
            doubt=doubts.get(row.example_id),
        )


def merged(proposals: Parts) -> KeyedRows[Demonstration]:
    """Read the proposals of all parts as one mapping, sorted by example id."""
    # Rows are read when they are asked for and merged by id, so memory does not grow with the length of the answers.
    return demonstrations_in(proposals)


def _write(
    work: Work,
    current: Artifact,
    proposals: Parts,
    preferences: Iterable[Preference | None],
    reasons: Sequence[Reason],
    number: int,
    annotator: str | None,
) -> None:
    """Write a round's ledger and its updated labels."""
    labels, proposed = read_demonstrations(current), merged(proposals)
    rows = updated(labels.values(), proposed.values(), preferences, reasons, round_number=number, annotator=annotator)
    with writing(work.path / LEDGER) as ledger_line, writing(work.path / DEMONSTRATIONS) as label:
        for line, after in rows:
            ledger_line(line)
            label(after)
    work.count(rows=len(reasons))


def numbered(name: str, artifacts: Parts) -> dict[str, Artifact]:
    """Name several artifacts as inputs of a stage: NAME_1, NAME_2, ..."""
    return {f"{name}_{number}": artifact for number, artifact in enumerate(artifacts, 1)}
