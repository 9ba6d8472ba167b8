"""What speaks against an experiment before anything is spent: bad rows, too few of them, answers that would be cut."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from burnish.config import Config
from burnish.errors import BackendError
from burnish.inputs.feasible import check_caps, check_parts
from burnish.inputs.heads import check_heads
from burnish.inputs.lengths import check_lengths, spread
from burnish.lab.inputs import STRONG, ExperimentInputs
from burnish.lab.learned import half_u
from burnish.lab.seen_prompts import seen_by_reward_models
from burnish.protocols import Previews
from burnish.steps.artifacts import Split
from burnish.steps.reinforcing import check_prompts
from burnish.store import identity
from burnish.store.files import iter_rows
from burnish.store.runners import StageRecord
from burnish.store.stages import Store
from burnish.tasks import make_task
from burnish.types import Example


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubts:
    """`warnings` say what will hardly work. `unread` says why the data could not be read in a dry run, or is None."""

    warnings: list[str]
    unread: str | None


def doubts_of(
    config: Config,
    inputs: ExperimentInputs,
    records: Sequence[StageRecord],
    store: Store,
    *,
    offline_ok: bool,
    own_backend: bool = False,
) -> Doubts:
    """Read the data, and check that there is enough of it for every seed and method.

    With `offline_ok` (a dry run), a dataset on the hub is not read. With a caller's own backend, tokens are not
    counted. Raises DataError for a bad row or too few rows, and ConfigError for a cap of 0 or a limit of tokens that
    cuts every answer.
    """
    if not own_backend:
        check_heads(inputs.models)
    # Rows of a finished stage were checked when it was computed, and a hub dataset then needs no network.
    (data,) = (record for record in records if record.stage.name == "data")
    finished = store.done("data", data.fingerprint) if data.reused else None
    if finished is not None:
        store.fetch(finished.path)
        train, test = (tuple(iter_rows(finished.path / f"{split}.jsonl", Example)) for split in Split)
    elif offline_ok and inputs.task.hub_dataset is not None and "dataset" in inputs.data:
        return Doubts(warnings=[], unread=f"{inputs.task.hub_dataset[0]} is on the hub; a run downloads and checks it")
    else:
        try:
            train, test = _loaded(inputs.task.model_dump_json(), data.fingerprint, _Task(inputs))
        except BackendError as error:
            if not offline_ok:
                raise
            return Doubts(warnings=[], unread=str(error))
    _check_amounts(config, inputs, train)
    # If everything is finished, no answer is written any more. Reading a tokenizer would take seconds.
    waiting = any(not record.reused for record in records)
    long = _cut_answers(config, inputs, train) if waiting and not own_backend else None
    seen = seen_by_reward_models(config, train, test)
    return Doubts(warnings=[*([long] if long else []), *seen], unread=None)


@dataclass(frozen=True, slots=True)
class _Task:
    """The inputs with the task, which are equal to any others: the other arguments of `_loaded` identify the data."""

    inputs: ExperimentInputs

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Task)

    def __hash__(self) -> int:
        return 0


# The variants of a sweep share their data. Two tasks at a time are enough, and bound the memory.
@functools.lru_cache(maxsize=2)
def _loaded(task_json: str, fingerprint: str, task: _Task) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """Return the rows of both splits of a task that is identified by its settings and by the content of its files."""
    found = make_task(task.inputs.task)
    data = found.preview() if isinstance(found, Previews) else found.load()
    return data.train, data.test


def _check_amounts(config: Config, inputs: ExperimentInputs, train: Sequence[Example]) -> None:
    """Check for each seed that half U has enough rows for every method."""
    groups = {example.id: example.group for example in train}
    which = "half U of the training rows" if inputs.demonstrations is None else "the file of demonstrations"
    for seed, rows in half_u(inputs, train, config.seeds).items():
        where = f"{which} (seed {seed})"
        for place, method in enumerate(config.methods):
            check_parts(method, len({groups[id_] for id_ in rows}), len(rows), where)
            check_prompts(method.prompts_needed, len(rows), f"methods.{place}: {where}")
            check_caps(method, f"methods.{place}", len(rows), where)


def _cut_answers(config: Config, inputs: ExperimentInputs, train: Sequence[Example]) -> str | None:
    """Return a warning if many references are longer than an answer may become. Raises ConfigError if all are."""
    found = inputs.models[STRONG]
    if identity.unresolved([found.weights.fingerprint]):
        return None
    references = [example.reference for example in train if example.reference]
    try:
        return check_lengths(
            spread(references, len(references)), len(references), found.model, config.decode, "references"
        )
    except BackendError:  # without the libraries or the tokenizer nothing can be counted
        return None
