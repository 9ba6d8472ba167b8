"""`burnish.refine`: the verb as a function, for data, annotators and backends that live in Python."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

from burnish.annotators.function import FunctionAnnotator, source_of
from burnish.backends.tables import read_dataset, write_dataset, write_frame
from burnish.errors import ConfigError, DataError
from burnish.forms.convert import AlsoAs
from burnish.ledger.folder import MODEL, Folder
from burnish.ledger.summary import Summary
from burnish.protocols import Annotator, Backend
from burnish.refinery.options import Options, config_of
from burnish.refinery.refining import Ways, refine_data
from burnish.services.calls import Budget
from burnish.steps.judging import AnnotatorPlan
from burnish.store.files import default_store, dump_line, write_atomic
from burnish.types import Example, Refinement, short_hash


@runtime_checkable
class NeedsExamples(Protocol):
    """An annotator that has to see prompts: `over` returns it over the examples {id: example}."""

    def over(self, examples: Mapping[str, Example]) -> Annotator:
        """Return the annotator that knows these examples."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Refined:
    """What `burnish.refine` returns: the refined dataset (a `datasets.Dataset`), every line of the ledger in order, the
    folder of the finetuned model, the folder of all results, and the summary."""

    dataset: Any
    ledger: tuple[Refinement, ...]
    model: Path
    out: Path
    summary: Summary


def refine(
    data: Any,
    *,
    model: str | Path,
    annotator: Any = None,
    out: str | Path = "refined",
    store: str | Path | None = None,
    backend: Backend | None = None,
    overwrite: bool = False,
    also_as: str | Sequence[str] = (),
    **options: Any,
) -> Refined:
    """Refine a finetuning dataset; the same call goes on after any crash.

    `data`: a path, a hub id, a `datasets.Dataset`, a pandas DataFrame, or rows as mappings, in one of the known forms,
    or in another one with `columns` (a mapping such as {"prompt": "query", "completion": "response"}). `annotator`: a
    YAML file, a short form (`oracle:COLUMN`, ...), a mapping of settings, a function `judge(request, first, second)`,
    or an object that keeps the Annotator protocol (with a method `over(examples)` if it needs prompts). `backend`: any
    object that keeps the Backend protocol. `also_as`: "parquet" or "csv", or both in a list: the dataset is written so,
    too. `options`: `rounds`, `alpha`, `method`, `differs`, `reference`, `audit`, `max_harm`
    and all other fields of `burnish.refinery.options.Options`, and `max_calls` and `max_cost`.

    Raises BurnishError for what the caller can mend, and Paused where people or a larger budget are waited for.
    """
    place = Path(out)
    own = _own(annotator)
    budget = Budget(max_calls=options.pop("max_calls", None), max_cost=options.pop("max_cost", None))
    root = Path(store) if store is not None else default_store()
    config = config_of(_options(data=_source(data, root), model=str(model), annotator=annotator, own=own, **options))
    ways = Ways(
        out=place,
        store=root,
        budget=budget,
        overwrite=overwrite,
        backend=None if backend is None else functools.partial(_given, backend),
        annotator=own,
        also=_kinds(also_as),
    )
    finished = refine_data(config, ways)
    folder = Folder(place)
    return Refined(
        dataset=read_dataset(place / finished.summary.data.file),
        ledger=tuple(folder.ledger()),
        model=place / MODEL,
        out=place,
        summary=finished.summary,
    )


def _kinds(also_as: str | Sequence[str]) -> tuple[AlsoAs, ...]:
    kinds = [also_as] if isinstance(also_as, str) else also_as
    try:
        return tuple(map(AlsoAs, kinds))
    except (TypeError, ValueError):
        raise ConfigError(f"also_as: {also_as!r:.200} found; give parquet, csv, or a list of both") from None


def _given(backend: Backend) -> Backend:
    return backend


def _options(*, annotator: Any, own: AnnotatorPlan | None, **options: Any) -> Options:
    try:
        configured = {"kind": "own", "name": str(own.config["name"])} if own is not None else annotator
        return Options(annotator=configured, **options)
    except TypeError as error:
        raise ConfigError(f"burnish.refine: {str(error).rpartition(') ')[2]}; see burnish.refinery.options") from None


def _own(annotator: Any) -> AnnotatorPlan | None:
    """Return a caller's function or object as an annotator; None for what is configured."""
    if annotator is None or isinstance(annotator, str | Path | Mapping):
        return None
    if hasattr(annotator, "judge"):
        name, fingerprint = type(annotator).__name__, str(annotator.fingerprint)
        needs = isinstance(annotator, NeedsExamples)

        def over(examples: Mapping[str, Example]) -> Annotator:
            return annotator.over(examples) if needs else annotator

    elif callable(annotator):
        function = cast(Callable[[str, str, str], float | None], annotator)
        name, fingerprint = getattr(annotator, "__name__", type(annotator).__name__), short_hash(source_of(function))

        def over(examples: Mapping[str, Example]) -> Annotator:
            return FunctionAnnotator(function, examples)

    else:
        raise ConfigError(
            f"annotator: {type(annotator).__name__} found; give a YAML file, a mapping, a function or an Annotator"
        )
    return AnnotatorPlan(
        kind="own", config={"kind": "own", "name": name, "fingerprint": fingerprint}, inputs={}, over=over
    )


def _source(data: Any, store: Path) -> str:
    """Return where the data is; what is in memory is written into the store, named by its content."""
    if isinstance(data, str | Path):
        return str(data)
    folder = store / "inputs"
    if hasattr(data, "to_parquet"):
        return str(write_dataset(data, folder) if hasattr(data, "_fingerprint") else write_frame(data, folder))
    if not isinstance(data, Iterable) or isinstance(data, Mapping | bytes):
        raise ConfigError(
            f"data: {type(cast(object, data)).__name__} found; give a path, a hub id, a datasets.Dataset or rows as "
            "mappings, or a pandas DataFrame"
        )
    lines = b"".join(_lines(data))  # pyright: ignore[reportUnknownArgumentType]
    path = folder / f"{short_hash(lines.decode())}.jsonl"
    write_atomic(path, lines)
    return str(path)


def _lines(rows: Iterable[Any]) -> Iterator[bytes]:
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise DataError(f"data: row {number} is {type(row).__name__}; each row must be a mapping of columns")
        try:
            yield dump_line(dict(row))  # pyright: ignore[reportUnknownArgumentType]
        except TypeError as error:
            raise DataError(f"data: row {number} has no form as JSON ({error}); use text, numbers and lists") from None
