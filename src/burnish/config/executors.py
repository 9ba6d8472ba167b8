"""Who computes the stages of an experiment, and what a stage needs. Neither changes results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import BeforeValidator, Field, field_validator, model_validator

from burnish.config.base import MOST_REPEATS, Count, NotNegative, PositiveFloat, Settings


class LocalExecutor(Settings):
    """Processes on this machine."""

    kind: Literal["local"] = "local"


class RayExecutor(Settings):
    """Tasks of Ray Core. All nodes need the same burnish, and a store that all of them reach."""

    kind: Literal["ray"]
    address: str = "auto"
    """The cluster, as HOST:PORT. `auto` takes the environment variable RAY_ADDRESS, or else the cluster that runs on
    this machine."""


class SubmititExecutor(Settings):
    """Jobs of Slurm, one for each stage, through the package submitit. All nodes need the same burnish and a disk that
    they share with this machine."""

    kind: Literal["submitit"]
    cluster: Literal["slurm", "local"] = "slurm"
    """`slurm`, or `local` for processes on this machine, with which a config can be tried."""
    minutes: Count = 1440
    """The time limit of a job. A stage that needs longer is lost, except for the rows that it has written."""
    options: dict[str, str | bool | Count] = Field(default={})
    """More parameters of submitit, such as {slurm_partition: gpu, slurm_account: lab}."""


def _executor_from_text(value: object) -> object:
    # The short form `executor: ray`.
    return {"kind": value} if isinstance(value, str) else value


ExecutorSettings: TypeAlias = Annotated[
    Annotated[LocalExecutor | RayExecutor | SubmititExecutor, Field(discriminator="kind")],
    BeforeValidator(_executor_from_text),
]


class Needs(Settings):
    """What one stage needs of the node that computes it. With several `processes`, each of them needs so much."""

    # It came later. Without it, config.yaml and manifests keep their bytes.
    unwritten: ClassVar[frozenset[str]] = frozenset({"processes"})

    processes: Annotated[int, Field(ge=1, le=MOST_REPEATS, strict=True)] = 1
    """How many processes of one node share a training: `train`, `train_preferences`, `train_classifier`, and
    `train_rewards` where it is named itself. burnish starts them with torchrun. Each has the whole model, or a part of
    it with `split_training: fsdp2`. On GPUs each process has one of its own. Under `models` it counts for the first
    three. Results differ in the last digits."""
    gpus: NotNegative | Literal["auto"] = "auto"
    """The number of GPUs. Ray also takes a part of one. `auto`: one for a stage that computes with a model, if
    `device` is cuda, or if it is auto and Ray's cluster has GPUs; else none."""
    cpus: Count = 1
    """The number of CPU cores."""
    memory_gb: PositiveFloat | None = None
    """The main memory in gigabytes (10^9 bytes). If it is not given, none is reserved."""

    @field_validator("gpus", mode="after")
    @classmethod
    def _whole_or_part_of_one(cls, value: float | Literal["auto"]) -> float | Literal["auto"]:
        if value != "auto" and value > 1 and value != int(value):
            raise ValueError(f"{value} found; give a part of one GPU, or a whole number of them")
        return value

    @model_validator(mode="after")
    def _one_gpu_each(self) -> Needs:
        if self.processes > 1 and self.gpus not in {"auto", 0.0, 1.0}:
            raise ValueError(
                f"gpus: {self.gpus:g} found with processes: {self.processes}; each process of a training has one GPU "
                "of its own: set gpus to 1 or auto"
            )
        return self

    def in_all(self) -> Needs:
        """Return what all processes of a stage need together. They are on one node."""
        gpus = self.gpus if self.gpus == "auto" else self.gpus * self.processes
        memory = None if self.memory_gb is None else self.memory_gb * self.processes
        return Needs.model_construct(
            processes=self.processes, gpus=gpus, cpus=self.cpus * self.processes, memory_gb=memory
        )


WITH_MODELS = frozenset(
    {
        "train",
        "train_classifier",
        "train_policy",
        "train_preferences",
        "train_rewards",
        "answer",
        "judge",
        "score",
        "reward",
    }
)
"""The names of the stages that compute with a model."""
SHARED = frozenset({"train", "train_preferences", "train_classifier"})
"""The names of the trainings that several processes may share."""
SHARED_IF_NAMED = SHARED | {"train_rewards"}
"""The same, with those that can only be shared if numbers of rows fit. They are shared only if `needs` names them."""
ALL = "models"
"""The key of `execution.needs` that stands for all of them."""
PART = "_part"
"""What the name of a part of a stage has behind the name of the stage."""


def check_names(needs: Mapping[str, Needs]) -> None:
    """Raise ValueError if a key is no stage that computes with a model, or one that several processes cannot share."""
    for name, one in needs.items():
        if name not in {*WITH_MODELS, ALL}:
            raise ValueError(
                f"needs: {name!r} is no stage that computes with a model; write {ALL} for all of them, or one of "
                f"{', '.join(sorted(WITH_MODELS))}"
            )
        if one.processes > 1 and name not in {*SHARED_IF_NAMED, ALL}:
            raise ValueError(
                f"needs.{name}.processes: {one.processes} found, but only trainings are shared by processes, and not "
                f"that of a policy with RL: leave it out, or set it for {', '.join(sorted(SHARED_IF_NAMED))}"
            )


def needs_of(needs: Mapping[str, Needs], name: str) -> Needs:
    """Return what all processes of a stage with this name need: what is set for its name, else for all of them if it
    computes with a model. A part of a stage needs what the stage needs."""
    whole = name.removesuffix(PART)
    if whole in needs:
        return needs[whole].in_all()
    if whole not in WITH_MODELS:
        return Needs(gpus=0)
    common = needs.get(ALL, Needs())
    return (common if whole in SHARED else common.model_copy(update={"processes": 1})).in_all()


def gpus_of(needs: Needs, name: str, device: str, gpus: float) -> float:
    """Return how many GPUs a stage gets. `gpus` is how many there are, as far as it is known."""
    if needs.gpus != "auto":
        return needs.gpus
    wanted = device == "cuda" or (device == "auto" and gpus > 0)
    return float(needs.processes if wanted and name.removesuffix(PART) in WITH_MODELS else 0)


def most_processes(needs: Mapping[str, Needs]) -> tuple[int, str]:
    """Return the most processes that share a training, and the name in `needs` that asks for them."""
    return max(((one.processes, name) for name, one in needs.items()), default=(1, ""))
