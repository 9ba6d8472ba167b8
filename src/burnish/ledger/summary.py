"""`refinement.json`: what a refinement is and what became of it. Its fields are in docs/refinement-schema.md."""

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

SUMMARY = "refinement.json"


class State(StrEnum):
    """How far a refinement is."""

    UNDER_WAY = "under_way"
    WAITING = "waiting"
    DONE = "done"


class DataSummary(Record):
    """The dataset: its form, its rows, and why some were left as they are."""

    file: str
    """Name of the refined dataset in this folder."""
    also: tuple[str, ...] = ()
    """Names of the other files with the same rows, where they were asked for."""
    form: str
    """Which of the known forms the rows have."""
    rows: int
    """Rows in all."""
    usable: int
    """Rows that can be refined."""
    skipped: int
    """Rows that were left as they are, since they cannot be used."""
    bad_rows: tuple[str, ...]
    """Where the first of them are, and what is wrong."""


class HarmSummary(Record):
    """An audit of a round's accepted changes."""

    changes: int
    """Changes that were accepted before the audit."""
    sampled: int
    """Of them, drawn at random and judged again."""
    harmed: int
    """Judged worse than the label before."""
    undecided: int
    """Not decided, which counts as harm."""
    bound: float
    """Upper bound on the share of harmed changes: Clopper-Pearson's; the share itself where all were judged."""
    level: float
    """At which it holds: 1 - 0.05 / rounds, so that the bounds of all rounds hold at once with 95 %."""
    max_harm: float | None
    """The most that was allowed."""
    accepted: bool
    """Whether the round's changes stand."""


class RoundSummary(Record):
    """One round of refinement."""

    round: int
    """From 1."""
    fingerprint: str
    """Of the stage that holds the round's labels and ledger."""
    counts: dict[str, int]
    """Rows by reason."""
    compared: int
    """Comparisons that were judged."""
    replaced: Metric
    """Share of the rows whose label changed."""
    label_accuracy: Metric | None
    """Share of right labels after the round, where a reference column was named."""
    annotator_accuracy: Metric | None
    """Share of right verdicts among decisive comparisons, of which exactly one side is right."""
    accepted_accuracy: Metric | None
    """Share of changes to the better among the accepted decisive ones."""
    harm: HarmSummary | None
    """What the audit found."""


class CallSummary(Record):
    """What a judge's server was paid for, over all sittings."""

    calls: int
    """Answered calls."""
    failed: int
    """Given up after retries: their comparisons are abstentions."""
    prompt_tokens: int
    """Tokens read."""
    completion_tokens: int
    """Tokens written."""
    cost: float | None
    """Their price, where the judge's config names prices."""
    currency: str | None
    """In which money."""


class ModelSummary(Record):
    """The model that was finetuned on the refined dataset."""

    folder: str
    """Where it is, beside this file."""
    fingerprint: str
    """Of the stage that trained it."""
    current: bool
    """Whether it was trained on the labels as they stand: not after `burnish revert`, until refined again."""


class Summary(Record):
    """A refinement, as its folder keeps it."""

    schema_version: Literal[1] = 1
    """Of this file."""
    burnish_version: str = __version__
    """Which burnish wrote it."""
    state: State
    """`waiting`: for people, an audit or a larger budget."""
    config: RefineSettings
    """The settings that change results: those of `config.yaml` ([refine-config.md](refine-config.md)), without
    `execution`."""
    data: DataSummary
    """What was refined."""
    given_accuracy: Metric | None
    """Share of right labels before any refinement, where a reference column was named."""
    rounds: tuple[RoundSummary, ...]
    """What happened in each round."""
    selftest: SelftestReport | None
    """What the annotator showed on planted pairs."""
    calls: CallSummary | None
    """What a judge cost."""
    reverted: int
    """Rows that the user took back."""
    model: ModelSummary | None
    """The finetuned model, once it is there."""

    @property
    def right_labels(self) -> tuple[Metric, Metric] | None:
        """The shares of right labels before any refinement and after the last round, where both were measured."""
        before, after = self.given_accuracy, self.rounds[-1].label_accuracy if self.rounds else None
        if before is None or after is None or before.value is None or after.value is None:
            return None
        return before, after


LEAST_ROWS, NEXT_TO_NONE = 20, 0.02
"""From so many rows on, a share of right labels below this tells of the reference rather than of the labels."""


def reference_doubt(summary: Summary) -> str | None:
    """Say that next to no given answer equals its reference, None where some do or too few rows are there to tell."""
    given = summary.given_accuracy
    if given is None or given.value is None or given.n < LEAST_ROWS or given.value >= NEXT_TO_NONE:
        return None
    column = summary.config.data.reference_column
    right = round(given.value * given.n)
    return (
        f"Next to no given answer equals its reference ({right:,} of {given.n:,}): check whether the column {column!r} "
        "holds right answers in the form of the dataset's own, and how answers are told apart (differs: "
        f"{summary.config.differs.kind}). Shares of right labels mean little before that."
    )


def read_summary(folder: Path) -> Summary:
    """Read a refinement's summary. Raises DataError where the folder holds none, StageError where it is damaged."""
    path = folder / SUMMARY
    try:
        return Summary.model_validate(orjson.loads(path.read_bytes()), context=ON_RECORD)
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(
            f"{folder}: holds no {SUMMARY}; give the folder that `burnish refine` wrote (its --out)"
        ) from None
    except (ValidationError, orjson.JSONDecodeError) as error:
        raise StageError(
            f"{path}: damaged or written by another burnish ({str(error).splitlines()[0]}); run the same `burnish "
            "refine` again to write it anew"
        ) from None
