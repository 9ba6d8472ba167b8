"""An experiment: what changes results (semantic) apart from what does not (`execution`)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from burnish.config.annotators import ClassifierConfig, ReferenceJudge, Supervisor, check_fits
from burnish.config.base import MOST_REPEATS, Count, Name, PositiveFloat, Seed, Settings
from burnish.config.differs import AnswerDiffers, TaskDiffers
from burnish.config.methods import Method
from burnish.config.models import Decoding, Models, TrainSettings
from burnish.config.tasks import Task


class Execution(Settings):
    """What changes how fast an experiment runs, and nothing that it finds."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where models run."""
    batch_tokens: Count | Literal["auto"] = "auto"
    """Padded tokens in one batch of generation or scoring."""
    micro_batch: Count | Literal["auto"] = "auto"
    """Rows in one forward pass of training; gradients add up to batch_size."""
    threads: Annotated[int, Field(ge=1, le=MOST_REPEATS, strict=True)] | Literal["auto"] = "auto"
    """CPU threads of one process; auto shares the cores out over the workers."""
    workers: Annotated[int, Field(ge=1, le=MOST_REPEATS, strict=True)] = 1
    """Processes; each runs some of the seeds."""
    max_calls: Count | None = None
    """Pause before a judge's server has answered more calls than this for the experiment."""
    max_cost: PositiveFloat | None = None
    """Pause before a judge's server has cost more than this for the experiment; needs the judge's `prices`."""


class Budget(Settings):
    """How many comparisons a round may cost."""

    kind: Literal["paper", "equal"] = "paper"
    """`paper`: each method compares all that it has: ILR one pair a row, DPO three. `equal`: no method judges more
    than `comparisons` a round (the paper's human study)."""
    comparisons: Count | None = None
    """With `equal`: that many; as many as there are rows if not given. Which ones is decided by hash."""

    @model_validator(mode="after")
    def _read(self) -> Budget:
        if self.kind == "paper" and self.comparisons is not None:
            raise ValueError(f"comparisons: {self.comparisons} is not read by the paper's budget; set kind: equal")
        return self


def _budget_from_text(value: object) -> object:
    return {"kind": value} if isinstance(value, str) else value


class Compat(Settings):
    """The released code's ways where they depart from the paper, to measure what they change. All off by default."""

    unswapped_dpo: bool = False
    """DPO's pairs are scored without swapping, which makes every score 0.5 up to rounding (dpo.py:115-116)."""
    cap: Literal["rows", "differing"] = "rows"
    """`differing`: alpha is a share of the proposals that differ from their label, not of all rows (ilr.py:170)."""


class Supervision(Settings):
    """Where labels and comparisons come from."""

    demonstrations: Literal["weak", "correct", "gold"] = "weak"
    """`weak`: p~ answers half U after it was finetuned on half G; `correct`: the rows alone that p~ answered right
    (section 4); `gold`: the references of half U."""
    annotator: Supervisor
    """Who compares two answers."""
    train: TrainSettings | None = None
    """How p~ is finetuned; as the strong model if not given."""


class Config(Settings):
    """An experiment."""

    name: Name
    """Names the results' folder."""
    figure: Name | None = None
    """Which of the paper's figures or tables the report draws, beside its own: see docs/paper.md."""
    variant: str = ""
    """Which of the settings of a sweep this is; set from the keys of `variants`."""
    task: Task
    """What is learned."""
    models: Models
    """Who teaches and who learns."""
    supervision: Supervision
    """How bad the teaching is."""
    train: TrainSettings = TrainSettings()
    """How the strong model is finetuned, each time from its base."""
    decode: Decoding = Decoding()
    """How test answers, labels and proposals are generated."""
    methods: tuple[Method, ...]
    """What is compared."""
    differs: TaskDiffers = AnswerDiffers()
    """Which proposals of a refinement are worth a comparison."""
    budget: Annotated[Budget, BeforeValidator(_budget_from_text)] = Budget()
    """How many comparisons a round may cost; `paper` or `equal` alone will do."""
    compat: Compat = Compat()
    """The released code's ways."""
    evaluate: Literal["test", "validation"] = "test"
    """On which prompts models are measured. `validation`: those of half G, which no student was trained on, to choose
    settings by."""
    judge: ReferenceJudge | None = None
    """Who compares held-out answers with their references, for win rates (appendix A.2): a server's model, or a local
    model or program, which the report then names. It supervises nothing."""
    measure: tuple[Literal["kl", "win_rate"], ...] = ()
    """What is measured besides accuracy. `kl`: divergence from the SFT model; `win_rate`: how often the annotator
    prefers a round's answers to the SFT model's."""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1, max_length=MOST_REPEATS)] = (0,)
    """Each seed is a run of its own: halves, training order, samples."""
    execution: Execution = Execution()
    """Speed alone."""

    @model_validator(mode="after")
    def _annotators_fit(self) -> Config:
        check_fits(self.supervision.annotator, "supervision.annotator", simulated=True)
        if self.judge is not None:
            check_fits(self.judge, "judge", simulated=False)
        return self

    @model_validator(mode="after")
    def _balanced_by_category(self) -> Config:
        annotator = self.supervision.annotator
        for one in annotator.members:
            if isinstance(one, ClassifierConfig) and one.pairs == "balanced" and not self.task.has_categories:
                field = "pairs" if one is annotator else "other.pairs"
                raise ValueError(
                    f"supervision.annotator.{field}: 'balanced' found, and the task is {self.task.kind}, whose rows "
                    f"have no category; set {field}: checkpoints, or use the task instructions"
                )
        return self

    @model_validator(mode="after")
    def _one_asks(self) -> Config:
        asked = (*self.supervision.annotator.members, *((self.judge,) if self.judge else ()))
        for one in asked:
            if (one.is_server or one.asks_people) and self.execution.workers > 1:
                who = "a judge's server" if one.is_server else "people"
                raise ValueError(
                    f"execution.workers: {self.execution.workers} found, but one process asks {who}; set workers: 1"
                    + (", and concurrency of the judge for speed" if one.is_server else "")
                )
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> Config:
        names = [method.name for method in self.methods]
        if not names:
            raise ValueError("methods: the list is empty; name at least one, such as {kind: sft}")
        if "weak" in names:
            raise ValueError("methods: the name 'weak' is the supervisor's in results; give the method another `name`")
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"methods: the name {name!r} is there twice; give one of them another `name`")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds: {list(self.seeds)} holds a repeated seed; remove it")
        return self
