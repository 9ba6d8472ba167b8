"""The practitioner's job, `burnish refine`: a dataset, a base model, an annotator, and how to refine."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import StringConstraints, field_validator, model_validator

from burnish.config.annotators import Annotator, AnnotatorSettings, Auditor, PeopleConfig, check_fits
from burnish.config.base import Count, Name, Probability, Seed, Settings
from burnish.config.differs import Differs, TextDiffers
from burnish.config.lab import Execution
from burnish.config.methods import IlrMethod, MethodSettings, RefineMethod
from burnish.config.models import Decoding, Model, TrainSettings

ColumnName: TypeAlias = Annotated[str, StringConstraints(min_length=1)]


class Columns(Settings):
    """Which columns hold the parts of a row, where they have other names than the known forms use.

    Give `prompt` and `completion`, or `messages`. The other parts may be added to any form.
    """

    messages: ColumnName | None = None
    """A list of turns; the last one is the answer."""
    prompt: ColumnName | None = None
    """What is asked."""
    completion: ColumnName | None = None
    """The answer, which is refined."""
    context: ColumnName | None = None
    """A text that belongs to the prompt. It follows the prompt after a blank line."""
    system: ColumnName | None = None
    """A system text, which becomes the first turn."""
    history: ColumnName | None = None
    """Earlier turns: a list of [question, answer] pairs or of messages."""

    @property
    def given(self) -> dict[str, str]:
        """The parts that have a column, by name."""
        return self.model_dump(exclude_none=True)

    @model_validator(mode="after")
    def _fit_together(self) -> Columns:
        given = self.given
        if not given:
            raise ValueError("no column is named; write for example prompt=query,completion=response")
        wrong = [part for part in ("prompt", "completion", "context", "history") if part in given]
        if self.messages is not None and wrong:
            raise ValueError(f"messages and {wrong[0]} are both named; messages hold the whole conversation: drop one")
        twice = sorted({column for column in given.values() if list(given.values()).count(column) > 1})
        if twice:
            raise ValueError(f"column {twice[0]!r} is named for two parts; name another column for one of them")
        return self


class DataConfig(Settings):
    """The dataset that is refined."""

    source: str
    """A JSONL, JSON, Parquet, CSV or TSV file (JSONL, CSV and TSV also .gz), or a hub dataset id."""
    revision: str | None = None
    """Branch, tag or commit of a hub id."""
    subset: str | None = None
    """The configuration of a hub dataset that has several."""
    split: str = "train"
    """The split of a hub dataset."""
    id_column: str = "id"
    """The user's own id, if there is such a column; else one is made from the prompt."""
    reference_column: str | None = None
    """A column with the right answer, from which accuracies are measured; nothing else reads it but an oracle."""
    columns: Columns | None = None
    """Which columns hold prompt and answer, where the form is none of the known ones."""
    extra_columns: tuple[ColumnName, ...] = ()
    """Columns that are known to be extras: nothing reads them, and nothing is said about them."""
    on_bad_row: Literal["error", "skip"] = "error"
    """`skip` leaves rows that cannot be used as they are, and counts them."""


class AuditConfig(Settings):
    """How much harm accepted changes may do: some of them, drawn at random before anybody looks, are judged again."""

    size: Count = 100
    """Accepted changes judged in each round; all if there are fewer."""
    by: Auditor = PeopleConfig(kind="people")
    """Who judges: people through a file, an oracle column, or a program."""
    max_harm: Probability | None = None
    """A round is accepted only if the 95 % bound on its share of harmed labels is at most this."""


class SelftestConfig(Settings):
    """Planted pairs before anything is spent."""

    pairs: Count = 24
    """Rows from which pairs are planted."""
    min_accuracy: Probability = 0.6
    """`refine` stops where the accuracy on planted pairs is below this; ties count as half."""
    skip: bool = False
    """Plant nothing."""
    go_on: bool = False
    """Go on whatever the self-test says."""


class RefineSettings(Settings):
    """The settings of a refinement that change its results."""

    name: Name = "refined"
    """Names the results."""
    data: DataConfig
    """What is refined."""
    model: Model
    """The base model that is finetuned on the dataset and proposes answers."""
    annotator: Annotator | None = None
    """Who compares; methods that need no comparison go without."""
    method: RefineMethod = IlrMethod(kind="ilr", rounds=2).for_refinement()
    """How proposals are made and chosen."""
    differs: Differs = TextDiffers()
    """Which proposals are worth a comparison."""
    comparisons: Count | None = None
    """At most so many comparisons a round, drawn at random; all if not given."""
    train: TrainSettings = TrainSettings()
    """How models are finetuned, each time from the base."""
    decode: Decoding = Decoding()
    """How proposals are generated."""
    audit: AuditConfig | None = None
    """Bound the share of harmed labels."""
    selftest: SelftestConfig = SelftestConfig()
    """What the annotator has to show first."""
    seed: Seed = 0
    """Halves, training order, samples."""

    @field_validator("method")
    @classmethod
    def _with_defaults(cls, method: MethodSettings) -> MethodSettings:
        return method.for_refinement()

    @model_validator(mode="after")
    def _can_choose(self) -> RefineSettings:
        if self.method.asks_annotator and self.annotator is None:
            raise ValueError(
                f"annotator: none given, and {self.method.kind} needs one; give it, or choose the method majority, "
                "verified or naive"
            )
        return self

    @model_validator(mode="after")
    def _annotators_fit(self) -> RefineSettings:
        if self.annotator is not None:
            check_fits(self.annotator, "annotator", simulated=False)
        if self.audit is not None:
            check_fits(self.audit.by, "audit.by", simulated=False)
        return self

    @property
    def annotators(self) -> tuple[AnnotatorSettings, ...]:
        """Every single annotator that is asked."""
        return () if self.annotator is None else self.annotator.members


class RefineConfig(RefineSettings):
    """One refinement of one dataset."""

    execution: Execution = Execution()
    """Speed alone."""

    @property
    def settings(self) -> RefineSettings:
        """Everything but `execution`: what changes results, as a finished refinement records it."""
        return RefineSettings.model_construct(**{name: getattr(self, name) for name in RefineSettings.model_fields})
