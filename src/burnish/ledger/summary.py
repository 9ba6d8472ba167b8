"""`refinement.json`: what a refinement is and what became of it. docs/refinement-schema.md describes its fields."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Literal

import orjson
from pydantic import ValidationError

from burnish import __version__
from burnish.config import RefineSettings
from burnish.config.base import ON_RECORD
from burnish.errors import DataError, StageError
from burnish.results import Metric, Record
from burnish.selftest.report import SelftestReport
from burnish.types import Effect

SUMMARY = "refinement.json"


class State(StrEnum):
    """How far a refinement is."""

    UNDER_WAY = "under_way"
    # The run paused (exit code 3). Any other stop, such as an error, leaves `under_way`.
    WAITING = "waiting"
    DONE = "done"


class DataSummary(Record):
    """The dataset: its form, its rows, and why some were left as they are."""

    file: str
    """Name of the refined dataset in this folder."""
    also: tuple[str, ...] = ()
    """Names of other files with the same rows, if they were asked for."""
    form: str
    """Which of the known forms the rows have."""
    rows: int
    """Number of all rows."""
    usable: int
    """Number of rows that can be refined."""
    skipped: int
    """Number of rows that were left as they are, because they cannot be used."""
    held_out: int = 0
    """Number of rows that were left as they are, because they were held out (`holdout`). The ledger has no line for
    them."""
    bad_rows: tuple[str, ...]
    """The first rows that cannot be used: where they are, and what is wrong."""


class HarmSummary(Record):
    """The result of an audit of a round's accepted changes."""

    changes: int
    """Changes that were accepted before the audit."""
    sampled: int
    """How many of them were drawn at random and judged again."""
    harmed: int
    """How many of those were judged worse than the label before."""
    undecided: int
    """How many of those were not decided. They count as harm."""
    bound: float
    """Upper bound (Clopper-Pearson) on the share of harmed changes. If all changes were judged, it is the share
    itself."""
    level: float
    """Confidence level of the bound: 1 - 0.05 / rounds, so that the bounds of all rounds hold together with 95 %."""
    max_harm: float | None
    """The largest share that was allowed."""
    accepted: bool
    """Whether the changes of the round stand."""


class RoutingSummary(Record):
    """Who decided the pairs of a round, if the annotator is a route, and how often the annotator that is asked first
    was wrong if the second one is right."""

    decided: dict[str, int]
    """Number of pairs by who decided and why, such as `people:orders_disagree` or `judge:sure`."""
    wrong_when_sure: Metric | None
    """Share of wrong verdicts of the first annotator among the pairs of the control: an estimate for all pairs on which
    it is sure. It is null if there is no such pair."""
    wrong: Metric | None
    """Estimate of this share for all pairs. Each pair that was asked is weighted by one over its probability of being
    asked."""
    undecided: int
    """Number of asked pairs on which one of the two names no winner. They do not count in these shares."""


class RoundSummary(Record):
    """One round of refinement."""

    round: int
    """Number of the round, from 1."""
    fingerprint: str
    """Fingerprint of the stage that holds the labels and the ledger of the round."""
    counts: dict[str, int]
    """Number of rows by reason."""
    compared: int
    """Number of comparisons that were judged."""
    replaced: Metric
    """Share of the rows whose label changed."""
    label_accuracy: Metric | None
    """Share of right labels after the round, if a reference column was named."""
    annotator_accuracy: Metric | None
    """Share of right verdicts among the decisive comparisons, in which exactly one side is right."""
    accepted_accuracy: Metric | None
    """Share of changes for the better among the accepted decisive comparisons."""
    harm: HarmSummary | None
    """What the audit found."""
    confidence: tuple[int, ...] = ()
    """Number of judged comparisons by confidence (the distance of P(better) from 0.5), in ten bins from 0 to 0.5. A
    folder of an earlier version has none."""
    accepted_confidence: tuple[int, ...] = ()
    """The same for the changes that were accepted."""
    preferred: int | None = None
    """Number of pairs in which the mean of the annotator's orders prefers the proposal. A folder of an earlier version
    has none."""
    held: int | None = None
    """Number of those that also meet the rule of acceptance (`accept`, `gate` and `distrust`). `rounds: auto` decides
    by its share of `preferred`."""
    effects: dict[Effect, int] | None = None
    """Number of changed labels by what the change did, among the rows with a reference: whether the label was right
    before and after it. A folder of an earlier version has none."""
    unfinished: int | None = None
    """Number of `invalid` proposals without an end: generation stopped at `decode.max_new_tokens`, or at
    `proposals.max_tokens` on a server. A folder of an earlier version has none."""
    routing: RoutingSummary | None = None
    """Who decided the pairs, if the annotator is a route."""
    edits: int | None = None
    """Number of comparisons of a proposal with an edit of it, besides those of `compared`. There are none without
    `distrust`."""


class CallSummary(Record):
    """What a server was paid for, in all runs of this refinement together."""

    calls: int
    """Calls that were answered."""
    failed: int
    """Calls that were given up after retries. Their comparisons are abstentions, and their rows have no proposal."""
    prompt_tokens: int
    """Tokens that the server read."""
    completion_tokens: int
    """Tokens that the server wrote."""
    cost: float | None
    """Price of the tokens, if the server's config names prices."""
    currency: str | None
    """Currency of the price."""


class HoldoutSummary(Record):
    """How many held-out prompts two models answer right: one that learned the labels before, and one that learned those
    after. An answer that was cut at the token limit is wrong."""

    prompts: int
    """Number of held-out prompts. Each was asked once."""
    ids: tuple[str, ...]
    """The rows that were held out: all rows with these prompts."""
    before: Metric
    """Share that is right if the model learned the labels before any refinement."""
    after: Metric
    """Share that is right if it learned the labels after the last round, without the changes that were taken back."""
    difference: Metric
    """`after` minus `before`, on the same prompts, with Newcombe's interval for paired shares (method 10)."""
    gained: int
    """Number of prompts that only the model of `after` answers right."""
    lost: int
    """Number of prompts that only the model of `before` answers right."""
    model: str
    """Fingerprint of the stage that trained the model of `after`."""
    reverted: int
    """Number of rows that had been taken back when this was measured."""


class ModelSummary(Record):
    """The model that was finetuned on the refined dataset."""

    folder: str
    """Folder of the model, beside this file."""
    fingerprint: str
    """Fingerprint of the stage that trained the model."""
    current: bool
    """Whether the model was trained on the present labels. It is false after `burnish revert`, until the refinement is
    run again."""


# The descriptions of these fields are also in docs/refinement-schema.md. A test compares the two.
class Summary(Record):
    """A refinement, as its folder records it."""

    schema_version: Literal[1] = 1
    """Version of this file's form."""
    burnish_version: str = __version__
    """Version of burnish that wrote the file."""
    state: State
    """How far the refinement is. `waiting`: it waits for people, an audit or a larger budget."""
    config: RefineSettings
    """The settings that change results: those of `config.yaml` ([refine-config.md](refine-config.md)), without
    `execution`."""
    data: DataSummary
    """What was refined."""
    given_accuracy: Metric | None
    """Share of right labels before any refinement, if a reference column was named."""
    rounds: tuple[RoundSummary, ...]
    """What happened in each round."""
    selftest: SelftestReport | None
    """Results of the annotator on planted pairs."""
    calls: CallSummary | None
    """What the calls to a judge's server cost."""
    proposal_calls: CallSummary | None = None
    """What the calls to the server that proposes cost, if there is one. Folders of earlier versions have none."""
    reverted: int
    """Number of rows that the user took back."""
    present_accuracy: Metric | None = None
    """Share of right labels now, if a reference column was named and rows were taken back. It is null after `burnish
    revert`, until the refinement is run again, and in folders of earlier versions."""
    model: ModelSummary | None
    """The finetuned model, once it exists. It stays null if proposals come from elsewhere and no model was given."""
    holdout: HoldoutSummary | None = None
    """Accuracy of the model on held-out prompts before and after, if rows were held out and the refinement is
    finished."""

    @property
    def right_labels(self) -> tuple[Metric, Metric] | None:
        """The shares of right labels before any refinement and after the last round, or None if they were not both
        measured."""
        # Both or none: one share alone does not show what the refinement did.
        before, after = self.given_accuracy, self.rounds[-1].label_accuracy if self.rounds else None
        if before is None or after is None or before.value is None or after.value is None:
            return None
        return before, after


LEAST_ROWS, NEXT_TO_NONE = 20, 0.02
"""With at least LEAST_ROWS rows, a share of right labels below NEXT_TO_NONE says more about the reference than about
the labels."""


def reference_doubt(summary: Summary) -> str | None:
    """Return a warning if almost no given answer equals its reference. Returns None if enough do, or if there are too
    few rows to tell."""
    return doubt_of(summary.given_accuracy, summary.config) if summary.given_accuracy is not None else None


def doubt_of(accuracy: Metric, config: RefineSettings) -> str | None:
    """Return the same warning for a share of right labels that was measured before a summary exists."""
    if accuracy.value is None or accuracy.n < LEAST_ROWS or accuracy.value >= NEXT_TO_NONE:
        return None
    # Such a low share hints at references that are written in another way than the answers.
    # The metric holds the share alone. Its count is recovered for the message.
    right = round(accuracy.value * accuracy.n)
    return (
        f"Almost no given answer equals its reference ({right:,} of {accuracy.n:,}): check whether the column "
        f"{config.data.reference_column!r} "
        "holds right answers in the same form as the dataset's answers, and how answers are told apart (differs: "
        f"{config.differs.kind}). Until then, shares of right labels mean little."
    )


def read_summary(folder: Path) -> Summary:
    """Read a refinement's summary. Raises DataError if the folder holds none, StageError if it is damaged."""
    path = folder / SUMMARY
    try:
        # ON_RECORD: the settings are a record of an earlier run, so what only a new run needs is not checked again.
        return Summary.model_validate(orjson.loads(path.read_bytes()), context=ON_RECORD)
    # The user named another folder, or a file in place of a folder.
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(
            f"{folder}: holds no {SUMMARY}; give the folder that `burnish refine` wrote (its --out)"
        ) from None
    except (ValidationError, orjson.JSONDecodeError) as error:
        raise StageError(
            f"{path}: damaged, or written by another version of burnish ({str(error).splitlines()[0]}); run the same "
            "`burnish "
            "refine` again to write it again"
        ) from None
