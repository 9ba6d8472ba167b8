"""The settings of `burnish refine`: a dataset, a base model, an annotator, and how the labels are refined."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import StringConstraints, ValidationInfo, field_validator, model_validator

from burnish.config.annotators import AnnotatorSettings, Auditor, PeopleConfig, RefineAnnotator, check_fits
from burnish.config.base import ON_RECORD, Count, Name, Probability, Seed, Settings
from burnish.config.differs import Differs, TextDiffers
from burnish.config.lab import Execution
from burnish.config.methods import IlrMethod, MethodSettings, RefineMethod
from burnish.config.models import Decoding, Model, TrainSettings, check_adapters_are_trained
from burnish.config.proposals import Proposals, check_proposals

ColumnName: TypeAlias = Annotated[str, StringConstraints(min_length=1)]


class Columns(Settings):
    """The names of the columns that hold the parts of a row. They are needed if your columns have other names than the
    known forms.

    Give `prompt` and `completion`, or `messages`. The other parts may be added to either form.
    """

    messages: ColumnName | None = None
    """The column with a list of turns. The last turn is the answer."""
    prompt: ColumnName | None = None
    """The column with the question or request."""
    completion: ColumnName | None = None
    """The column with the answer, which is refined."""
    context: ColumnName | None = None
    """The column with a text that belongs to the prompt. The text follows the prompt after a blank line."""
    system: ColumnName | None = None
    """The column with a system text, which becomes the first turn."""
    history: ColumnName | None = None
    """The column with earlier turns: a list of [question, answer] pairs or of messages."""

    @property
    def given(self) -> dict[str, str]:
        """Return {part: column} of the parts that have a column."""
        # Not model_dump, which is slow: this is asked once for every row of a dataset.
        return {part: column for part in type(self).model_fields if (column := getattr(self, part)) is not None}

    @model_validator(mode="after")
    def _fit_together(self) -> Columns:
        columns = self.given
        if not columns:
            raise ValueError("no column is named; write for example prompt=query,completion=response")
        # `messages` holds the whole conversation; only a system text can be added to it.
        wrong = [part for part in ("prompt", "completion", "context", "history") if part in columns]
        if self.messages is not None and wrong:
            raise ValueError(
                f"messages ({self.messages!r}) and {wrong[0]} ({columns[wrong[0]]!r}) are both named; messages hold "
                "the whole conversation: drop one"
            )
        twice = sorted({column for column in columns.values() if list(columns.values()).count(column) > 1})
        if twice:
            raise ValueError(f"column {twice[0]!r} is named for two parts; name another column for one of them")
        return self


class DataConfig(Settings):
    """The dataset that is refined."""

    source: str
    """A JSONL, JSON, Parquet, CSV or TSV file, or a hub dataset id. JSONL, CSV and TSV files may also have the ending
    .gz."""
    revision: str | None = None
    """The branch, tag or commit of a hub id."""
    subset: str | None = None
    """The configuration of a hub dataset that has several."""
    split: str = "train"
    """The split of a hub dataset."""
    id_column: str = "id"
    """The column with your own ids. If there is no such column, an id is made from the prompt."""
    reference_column: str | None = None
    """A column with the right answer. Accuracies are measured with it. Only an oracle uses it for anything else."""
    columns: Columns | None = None
    """Which columns hold the prompt and the answer, if the rows have none of the known forms."""
    extra_columns: tuple[ColumnName, ...] = ()
    """Columns that you know to be extras. They are not read, and no message mentions them."""
    on_bad_row: Literal["error", "skip"] = "error"
    """`error` stops at a row that cannot be used. `skip` leaves such rows unchanged and counts them."""


class AuditConfig(Settings):
    """An audit, which measures how much harm the accepted changes do. Some of them, drawn at random before anybody
    looks at them, are judged again."""

    size: Count = 100
    """The number of accepted changes that are judged again in each round. All of them if there are fewer."""
    by: Auditor = PeopleConfig(kind="people")
    """Who judges them: people through a file, an oracle column, or a program."""
    max_harm: Probability | None = None
    """A round is accepted only if the 95 % bound on its share of harmed labels is at most this."""


class SelftestConfig(Settings):
    """The self-test of the annotator: it judges planted pairs before anything else is spent."""

    unwritten: ClassVar[frozenset[str]] = frozenset({"calibrate"})

    pairs: Count = 24
    """The number of rows from which pairs are planted."""
    min_accuracy: Probability = 0.6
    """`refine` stops if the accuracy on planted pairs is below this. A tie counts as half."""
    skip: bool = False
    """Do not run the self-test."""
    go_on: bool = False
    """Go on whatever the result of the self-test is."""
    calibrate: bool | None = None
    """Compare `gate` with P(the proposal is better) after temperature scaling. The temperature is fitted on the planted
    pairs. One below 1 counts as 1, so that the gate never lets more through. If not given, it is true. Refinements that
    earlier versions recorded did not calibrate."""

    def for_refinement(self) -> SelftestConfig:
        """Return the settings with `calibrate: true`, unless the user set it."""
        return self if self.calibrate is not None else self.model_copy(update={"calibrate": True})


class RefineSettings(Settings):
    """The settings of a refinement that change its results."""

    unwritten: ClassVar[frozenset[str]] = frozenset({"holdout", "merge", "train_proposers", "proposals"})

    name: Name = "refined"
    """The name of the results."""
    data: DataConfig
    """The dataset that is refined."""
    model: Model | None = None
    """The base model. It is finetuned on the dataset and proposes answers. With `proposals` it is not needed: if it is
    given, it is finetuned on the refined labels at the end."""
    proposals: Proposals | None = None
    """Proposals from a file or from a model on a server. Then no model is trained to propose answers."""
    annotator: RefineAnnotator | None = None
    """The annotator, which compares a proposal with its label. Methods that need no comparison need no annotator."""
    # Pydantic does not validate defaults, so `_with_defaults` below is not called for this one.
    method: RefineMethod = IlrMethod(kind="ilr", rounds=2).for_refinement()
    """How proposals are made and chosen."""
    differs: Differs = TextDiffers()
    """Which proposals differ enough from their label to be compared."""
    comparisons: Count | None = None
    """The most comparisons in a round. They are drawn at random. If not given, all that differ are compared. It has no
    effect on the methods majority, robustft and naive, which ask nobody."""
    train: TrainSettings = TrainSettings()
    """How models are finetuned. Each training starts from the base model."""
    train_proposers: TrainSettings | None = None
    """How the models that propose answers are finetuned. They learn from a part of the rows, so another learning rate
    can be best for them. If not given, in the same way as the final model."""
    decode: Decoding = Decoding()
    """How proposals are generated."""
    audit: AuditConfig | None = None
    """An audit that bounds the share of harmed labels. Without it, no change is judged again."""
    selftest: SelftestConfig = SelftestConfig().for_refinement()
    """The self-test that the annotator has to pass first."""
    holdout: Count | None = None
    """The number of prompts with a reference that are held out: their rows are never trained on, compared or changed.
    A model that learned the labels before and one that learned the labels after the last round answer them. If not
    given, no row is held out."""
    merge: bool = False
    """Deliver the model as whole weights, even if an adapter was trained."""
    seed: Seed = 0
    """The seed of the halves, the training order and the samples."""

    @field_validator("method")
    @classmethod
    def _with_defaults(cls, method: MethodSettings, info: ValidationInfo) -> MethodSettings:
        # A refinement on record keeps its defaults: those of version 0.1.0 were other ones.
        return method if info.context == ON_RECORD else method.for_refinement()

    @field_validator("selftest")
    @classmethod
    def _calibrates(cls, selftest: SelftestConfig, info: ValidationInfo) -> SelftestConfig:
        return selftest if info.context == ON_RECORD else selftest.for_refinement()

    @model_validator(mode="after")
    def _can_choose(self) -> RefineSettings:
        # `annotator` is optional, because majority, robustft, verified and naive ask none. So the field alone cannot
        # require it.
        if self.method.asks_annotator and self.annotator is None:
            raise ValueError(
                f"annotator: none is given, but {self.method.kind} needs one; give it, or choose the method majority, "
                "robustft, verified or naive"
            )
        return self

    @model_validator(mode="after")
    def _can_propose(self, info: ValidationInfo) -> RefineSettings:
        if self.model is None and self.proposals is None:
            raise ValueError("model: none is given; give a base model, which proposes answers, or give proposals")
        if self.model is None and self.holdout is not None:
            raise ValueError(
                f"holdout: {self.holdout} found, but no model is given, so none is trained that could answer held-out "
                "prompts; give a base model (--model MODEL), or leave holdout out"
            )
        if self.proposals is not None and info.context != ON_RECORD:
            check_proposals(self.method, self.model, self._changed())
        return self

    def _changed(self) -> frozenset[str]:
        """Return the fields that do not have their default value."""
        fields = type(self).model_fields
        return frozenset(name for name in fields if getattr(self, name) != fields[name].default)

    @model_validator(mode="after")
    def _adapter_fits(self) -> RefineSettings:
        for field, train in (("train", self.train), ("train_proposers", self.train_proposers)):
            if self.model is not None and train is not None:
                check_adapters_are_trained(self.model, "model", train, field)
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
        """Each single annotator that is asked. A vote of several gives each of its members."""
        return () if self.annotator is None else self.annotator.members


class RefineConfig(RefineSettings):
    """One refinement of one dataset."""

    execution: Execution = Execution()
    """Settings that change only how fast the refinement runs and when it pauses."""

    @property
    def settings(self) -> RefineSettings:
        """All settings except `execution`: those that change results. A finished refinement records them."""
        # model_construct does not check: the values were checked when this object was made.
        return RefineSettings.model_construct(**{name: getattr(self, name) for name in RefineSettings.model_fields})
