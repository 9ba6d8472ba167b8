"""The settings of an experiment (`burnish run`).

Settings that change results are kept apart from settings that do not (`execution`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from burnish.config.annotators import Supervisor, check_fits
from burnish.config.base import MOST_REPEATS, Count, Name, PositiveFloat, Repeats, Seed, Settings
from burnish.config.differs import AnswerDiffers, TaskDiffers
from burnish.config.executors import ExecutorSettings, LocalExecutor, Needs, check_names, most_processes
from burnish.config.judge import ReferenceJudge
from burnish.config.local_judges import ClassifierConfig
from burnish.config.methods import ExperimentMethod
from burnish.config.models import Decoding, Models, TrainSettings, check_adapters_are_trained
from burnish.config.tasks import AnyTask


class Tracker(StrEnum):
    """A program that keeps and shows metrics of runs."""

    TRACKIO = "trackio"
    WANDB = "wandb"
    MLFLOW = "mlflow"
    TENSORBOARD = "tensorboard"


def _list_from_text(value: object) -> object:
    # The short form `report_to: trackio`.
    return [value] if isinstance(value, str) else value


def _known(needs: dict[str, Needs]) -> dict[str, Needs]:
    check_names(needs)
    return needs


class Execution(Settings):
    """Settings that change how fast a run is, where it pauses and who is told of it. They do not change its results."""

    # They came after the first version. Without them, config.yaml and manifests keep their bytes.
    unwritten: ClassVar[frozenset[str]] = frozenset(
        {"report_to", "executor", "needs", "shards", "device_map", "split_training"}
    )

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """The device on which models run."""
    device_map: Literal["none", "auto"] = "none"
    """`auto` spreads the layers of each model over all GPUs that the process can see, and over the machine's memory if
    they are not enough. It is for models that do not fit on one GPU, and needs `workers: 1`."""
    split_training: Literal["none", "fsdp2"] = "none"
    """`fsdp2` splits the weights, gradients and optimiser of each training that several processes share
    (`processes` of `train` in `needs`) over these processes. It is for models that are too large for one GPU."""
    batch_tokens: Count | Literal["auto"] = "auto"
    """The number of tokens, padding included, in one batch. In scoring these are the tokens that are read. In
    generation they are the tokens of prompts and answers, once for each beam."""
    micro_batch: Count | Literal["auto"] = "auto"
    """The most rows in one forward pass of training. Gradients are summed until batch_size rows are done."""
    threads: Annotated[int, Field(ge=1, le=MOST_REPEATS, strict=True)] | Literal["auto"] = "auto"
    """The number of CPU threads of one process. `auto` divides the cores that the process may use among the
    workers, and takes at most OMP_NUM_THREADS where this environment variable is set."""
    workers: Annotated[int, Field(ge=1, le=MOST_REPEATS, strict=True)] = 1
    """The most stages of an experiment that are computed at the same time. On this machine these are processes, and
    each computes one stage after another. At most one of them at a time asks a server, people or a program. A
    refinement has one process."""
    executor: ExecutorSettings = LocalExecutor()
    """Who computes the stages of an experiment: `local`, `ray` or `submitit`. See docs/scale.md. A refinement is always
    computed in one process on this machine."""
    needs: Annotated[dict[str, Needs], AfterValidator(_known)] = Field(default={})
    """What stages need, as {name of a stage: needs}. The key `models` stands for all stages that compute with a model.
    Ray and Slurm reserve it. On this machine, `processes` alone counts."""
    shards: Repeats | Literal["auto"] = 1
    """Into how many parts an experiment cuts each stage that answers, scores or judges with a model, so that several
    workers share it. `auto` is the number of workers. With one worker on this machine nothing is cut. Results do not
    depend on it."""
    max_calls: Count | None = None
    """The run pauses before the judge's server answers more calls than this for the experiment."""
    max_cost: PositiveFloat | None = None
    """The run pauses before the judge's server costs more than this for the experiment. The judge needs `prices` for
    this limit."""
    report_to: Annotated[tuple[Tracker, ...], BeforeValidator(_list_from_text)] = ()
    """Programs that get the metrics of each training while it runs, and at the end the metrics of each round:
    `trackio`, `wandb`, `mlflow` or `tensorboard`, or a list of them. See docs/tracking.md."""

    def __hash__(self) -> int:
        """Return a hash, because these settings are a part of the keys of caches. The usual one fails on mappings."""
        return hash(self.model_dump_json())

    @property
    def alone(self) -> bool:
        """Whether one process computes everything, so that no workers are needed."""
        return self.workers == 1 and isinstance(self.executor, LocalExecutor)

    @property
    def parts(self) -> int:
        """Into how many parts a stage is cut. 1 means that it is not cut."""
        if self.alone:
            return 1
        return self.workers if self.shards == "auto" else self.shards

    @model_validator(mode="after")
    def _spread_once(self) -> Execution:
        if self.device_map == "auto" and self.workers > 1:
            raise ValueError(
                f"device_map: auto takes all GPUs for one process, but workers: {self.workers} found; set workers: 1"
            )
        if self.device_map == "auto" and self.split_training != "none":
            raise ValueError(
                "device_map: auto and split_training: fsdp2 both split a model over the GPUs; leave one of them out"
            )
        several, name = most_processes(self.needs)
        if several > 1 and self.device_map == "auto":
            raise ValueError(
                f"device_map: auto takes all GPUs for one process, but needs.{name}.processes: {several} found; leave "
                "one of them out"
            )
        if several > 1 and self.device == "mps":
            raise ValueError(
                f"device: mps has one GPU, but needs.{name}.processes: {several} found; leave one of them out"
            )
        return self

    @model_validator(mode="after")
    def _told_once(self) -> Execution:
        if len(set(self.report_to)) != len(self.report_to):
            raise ValueError(f"report_to: {list(map(str, self.report_to))} names a program twice; remove one of them")
        return self


class Budget(Settings):
    """How many comparisons a method may use in a round."""

    kind: Literal["paper", "equal"] = "paper"
    """`paper`: each method compares all of its pairs. ILR has one pair for each row, DPO has three. `equal`: each
    method compares at most `comparisons` pairs in a round (as in the paper's human study)."""
    comparisons: Count | None = None
    """With `equal`: the most comparisons in a round. If not given, it is the number of rows. A hash decides which pairs
    are compared. A method that asks nobody has no comparisons to limit."""

    @model_validator(mode="after")
    def _read(self) -> Budget:
        # A number that nothing reads is a mistake. Passed over, it would let the user believe in a budget.
        if self.kind == "paper" and self.comparisons is not None:
            raise ValueError(f"comparisons: {self.comparisons} has no effect with kind: paper; set kind: equal")
        return self

    @property
    def limit(self) -> int | Literal["rows"] | None:
        """The limit on a round's comparisons: a number, `rows` for as many as there are rows, or None for no limit."""
        # The paper has no limit of its own: it compares every proposal that differs.
        return None if self.kind == "paper" else self.comparisons or "rows"


def _budget_from_text(value: object) -> object:
    # The short form `budget: equal`.
    return {"kind": value} if isinstance(value, str) else value


class Compat(Settings):
    """Ways in which the released code departs from the paper. They are here so that their effect can be measured. All
    of them are off by default."""

    unswapped_dpo: bool = False
    """Score DPO's pairs as the released code does. It does not swap the two answers, so that every score is 0.5 except
    for rounding (dpo.py:115-116)."""
    cap: Literal["rows", "differing"] = "rows"
    """`rows`: alpha is a share of all rows, as in the paper. `differing`: alpha is a share of the proposals that differ
    from their label (ilr.py:170)."""


class FileDemonstrations(Settings):
    """Demonstrations from a file: answers that people wrote, as `burnish study export` gives them (section 6).

    The rows that have one are half U, and all other training rows are half G. No weak model is trained to write
    labels."""

    kind: Literal["file"]
    path: str
    """A JSONL file with the columns `prompt` and `completion`, and one line for each demonstrated row. The column `id`
    may have the id of the row. Otherwise the prompt says which row it is."""


def _form_of(value: object) -> str:
    return "word" if isinstance(value, str) else "file"


Demonstrations: TypeAlias = Annotated[
    Annotated[Literal["weak", "correct", "gold"], Tag("word")] | Annotated[FileDemonstrations, Tag("file")],
    # Without it, an error in the one form would list what is wrong with the other form.
    Discriminator(_form_of),
]


class Supervision(Settings):
    """The sources of labels and comparisons."""

    demonstrations: Demonstrations = "weak"
    """Where the labels of half U come from. `weak`: the weak model p~ is finetuned on half G and then answers half U.
    `correct`: as `weak`, but only rows that p~ answered correctly are kept (section 4). `gold`: the references of half
    U. `{kind: file, path: ...}`: answers that people wrote; see `FileDemonstrations`."""
    annotator: Supervisor
    """The annotator, which compares two answers."""
    train: TrainSettings | None = None
    """How p~ is finetuned. If not given, in the same way as the strong model."""


class Config(Settings):
    """An experiment: a supervisor teaches a student, and several methods are compared."""

    unwritten: ClassVar[frozenset[str]] = frozenset({"note", "train_proposers", "orders"})

    name: Name
    """The name of the experiment and of its results folder."""
    figure: Name | None = None
    """The figure or table of the paper that the report draws in addition to its own figures. See docs/paper.md."""
    note: str | None = None
    """What a reader of the results must know. It is printed after them, and the report shows it."""
    variant: str = ""
    """The name of this setting within a sweep. It is filled in from the keys of `variants`."""
    task: AnyTask
    """The task that the models learn."""
    models: Models
    """The model that teaches (weak) and the model that learns (strong)."""
    supervision: Supervision
    """Where labels and comparisons come from, and so how good the supervision is."""
    train: TrainSettings = TrainSettings()
    """How the strong model is finetuned. Each training starts from the base model."""
    train_proposers: TrainSettings | None = None
    """How the models that propose answers are finetuned. They learn from a part of the rows, so another learning rate
    can be best for them. If not given, in the same way as the final model."""
    decode: Decoding = Decoding()
    """How test answers, labels and proposals are generated."""
    methods: tuple[ExperimentMethod, ...]
    """The methods that are compared."""
    differs: TaskDiffers = AnswerDiffers()
    """Which proposals of a refinement differ enough from their label to be compared."""
    budget: Annotated[Budget, BeforeValidator(_budget_from_text)] = Budget()
    """How many comparisons a method may use in a round. The short form `budget: paper` or `budget: equal` is enough."""
    compat: Compat = Compat()
    """Ways in which the released code departs from the paper."""
    evaluate: Literal["test", "validation"] = "test"
    """The prompts on which models are measured. `test`: the test prompts. `validation`: the prompts of half G, on which
    no student was trained; use them to choose settings."""
    judge: ReferenceJudge | None = None
    """The judge that compares held-out answers with their references, for win rates (appendix A.2). It is a model on a
    server, a local model or a program, and the report names it. It is only used for measuring, not for supervision."""
    measure: tuple[Literal["kl", "win_rate"], ...] = ()
    """What is measured in addition to accuracy. `kl`: the divergence from the SFT model. `win_rate`: how often the
    annotator prefers the answers of a round to the answers of the SFT model."""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1, max_length=MOST_REPEATS)] = (0,)
    """The seeds. Each seed is a separate run with its own halves, training order and samples."""
    orders: Repeats = 1
    """How often the model of each round is trained to be measured, each time with its rows in another order and, with
    adapters, from other first weights. `test_accuracy` is then the mean over the orders. This shows the noise of
    training on the same labels. Labels, proposals and later rounds come from the first training."""
    execution: Execution = Execution()
    """Settings that change only how fast the experiment runs and when it pauses."""

    @model_validator(mode="after")
    def _annotators_fit(self) -> Config:
        check_fits(self.supervision.annotator, "supervision.annotator", simulated=True)
        if self.judge is not None:
            # The judge of win rates only measures. It is used as it is, without training on ground truth, as in a
            # refinement.
            check_fits(self.judge, "judge", simulated=False)
        return self

    @property
    def needs_half_g(self) -> bool:
        """Whether rows with right answers are needed beside those that are demonstrated."""
        supervision = self.supervision
        demonstrated = isinstance(supervision.demonstrations, FileDemonstrations)
        return not demonstrated or supervision.annotator.needs_ground_truth(True) or self.evaluate == "validation"

    @model_validator(mode="after")
    def _has_a_supervisor(self) -> Config:
        demonstrations, annotator = self.supervision.demonstrations, self.supervision.annotator
        needed = not isinstance(demonstrations, FileDemonstrations) or annotator.needs_ground_truth(simulated=True)
        if needed and self.models.weak is None:
            raise ValueError(
                "models.weak: none is given; name the model that teaches. Only demonstrations from a file, with an "
                "annotator that is not made from ground truth, need none"
            )
        if not needed and self.models.weak is not None:
            raise ValueError(
                f"models.weak: {self.models.weak.source!r} found, but the demonstrations come from a file and the "
                "annotator is not made from ground truth, so nothing uses it; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _adapters_are_trained(self) -> Config:
        strong, weak, taught = self.models.strong, self.models.weak, self.supervision.train
        check_adapters_are_trained(strong, "models.strong", self.train, "train")
        if self.train_proposers is not None:
            check_adapters_are_trained(strong, "models.strong", self.train_proposers, "train_proposers")
        if weak is not None:
            field = "train" if taught is None else "supervision.train"
            check_adapters_are_trained(weak, "models.weak", taught or self.train, field)
        return self

    @model_validator(mode="after")
    def _balanced_by_category(self) -> Config:
        # Found here and not while the pairs are made, which is after the training of p~.
        for field, member in self.supervision.annotator.placed_members("supervision.annotator").items():
            if isinstance(member, ClassifierConfig) and member.pairs == "balanced" and not self.task.has_categories:
                raise ValueError(
                    f"{field}.pairs: 'balanced' found, but the task is {self.task.kind}, whose rows have no category; "
                    "set pairs: checkpoints there, or use the task instructions"
                )
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> Config:
        # Results are found by the name of their method and their seed, so both must be different.
        names = [method.name for method in self.methods]
        if not names:
            raise ValueError("methods: the list is empty; name at least one, such as {kind: sft}")
        if "weak" in names:
            raise ValueError(
                "methods: the name 'weak' stands for the supervisor in results; give the method another `name`"
            )
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"methods: two methods have the name {name!r}; give one of them another `name`")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds: {list(self.seeds)} contains a seed twice; remove one of them")
        return self
