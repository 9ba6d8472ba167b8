"""`burnish.refine`: the command `refine` as a function. Data, annotator and backend may be Python objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, Protocol, cast, runtime_checkable

from burnish.annotators.function import FunctionAnnotator, source_of
from burnish.backends.tables import read_dataset, write_dataset, write_frame
from burnish.errors import ConfigError, DataError, system_refusals
from burnish.forms.convert import AlsoAs
from burnish.inputs.feasible import check_launched_once
from burnish.ledger.folder import MODEL, Folder
from burnish.ledger.summary import Summary
from burnish.people.waiting import with_people
from burnish.protocols import Annotator, Backend, Generator
from burnish.refinery.arguments import check_switches, given_budget, given_path, given_text
from burnish.refinery.options import Options, config_of
from burnish.refinery.refining import RunOptions, refine_data
from burnish.report.terminal import Terminal
from burnish.steps.engines import BACKEND, GENERATOR, check_engine
from burnish.steps.judging import AnnotatorPlan
from burnish.store.files import write_atomic
from burnish.store.json_rows import dump_line
from burnish.store.opening import default_store, open_store
from burnish.types import Example, Refinement, short_hash


@runtime_checkable
class NeedsExamples(Protocol):
    """An annotator that must see prompts. burnish calls `over` with the examples {id: example} before it asks."""

    def over(self, examples: Mapping[str, Example]) -> Annotator:
        """Return an annotator that knows these examples."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Refined:
    """What `burnish.refine` returns.

    `dataset` is the refined dataset (a `datasets.Dataset`), `ledger` has every line of the ledger in order, `model` is
    the folder of the finetuned model, or None if none was trained, and `out` is the folder of all results.
    """

    dataset: Any
    # A ledger has a line for each row and round. Printing it would flood a notebook.
    ledger: tuple[Refinement, ...] = field(repr=False)
    model: Path | None
    out: Path
    summary: Summary = field(repr=False)


@system_refusals()
def refine(
    data: Any,
    *,
    model: str | Path | None = None,
    annotator: Any = None,
    out: str | Path = "refined",
    store: str | Path | None = None,
    backend: Backend | None = None,
    overwrite: bool = False,
    also_as: str | Sequence[str] = (),
    **options: Any,
) -> Refined:
    """Refine a finetuning dataset. After a crash, make the same call again: it continues where it stopped.

    `data`: a path, a hub id, a `datasets.Dataset`, a pandas DataFrame, or rows as mappings. The rows have one of the
    known forms, or another one that `columns` describes, such as {"prompt": "query", "completion": "response"}.
    `model`: the base model. It is not needed with `proposals` (a file, a server's YAML file, or a mapping of settings).

    `annotator`: a YAML file, a short form (`oracle:COLUMN`, ...), a mapping of settings, a function `judge(request,
    first, second)`, or an object that implements the Annotator protocol. Such an object also has a method
    `over(examples)` if it needs prompts.
    `backend`: any object that implements the Backend protocol. `also_as`: "parquet" or "csv", or both in a list: the
    dataset is also written in these forms. `options`: `rounds`, `alpha` and all other fields of
    `burnish.refinery.options.Options`, `max_calls`, `max_cost`, `pairs` (the file of `--pairs`), `wait` (for people,
    as `--wait`), and `generator`: an object that implements the Generator protocol, and answers the prompts.
    Raises BurnishError if the caller must correct something (ConfigError for a wrong argument, DataError for unusable
    data), and Paused if the run must wait for people (without `wait`) or for a larger budget.
    """
    check_launched_once()  # first of all: data in memory is written into the store below
    out_folder, own_annotator = given_path(out, "out"), _own(annotator)
    budget = given_budget(options.pop("max_calls", None), options.pop("max_cost", None))
    pairs, wait = options.pop("pairs", None), options.pop("wait", False)
    store_folder = given_path(store, "store") if store is not None else default_store()
    check_switches(overwrite=overwrite, wait=wait)
    backend_opener, generator = _engines(backend, options.pop("generator", None))
    source, base = _source(data, store_folder), None if model is None else given_text(model, "model")
    config = config_of(_options(data=source, model=base, annotator=annotator, own=own_annotator, **options))
    run_options = RunOptions(
        out=out_folder,
        store=store_folder,
        budget=budget,
        overwrite=overwrite,
        backend=backend_opener,
        generator=generator,
        annotator=own_annotator,
        also=_kinds(also_as),
        pairs=None if pairs is None else given_path(pairs, "pairs"),
    )
    finished = with_people(lambda: refine_data(config, run_options), Terminal().say, wait=wait)
    return _refined(out_folder, finished.summary)


def _refined(out: Path, summary: Summary) -> Refined:
    """Return a finished refinement with its dataset and its ledger read from its folder."""
    return Refined(
        dataset=read_dataset(out / summary.data.file),
        ledger=tuple(Folder(out).ledger()),
        model=None if summary.model is None else out / MODEL,
        out=out,
        summary=summary,
    )


def _kinds(also_as: str | Sequence[str]) -> tuple[AlsoAs, ...]:
    """Return the kinds of file that `also_as` names. Raises ConfigError if one is unknown."""
    kinds = [also_as] if isinstance(also_as, str) else also_as
    try:
        return tuple(map(AlsoAs, kinds))
    except (TypeError, ValueError):
        raise ConfigError(f"also_as: {also_as!r:.200} found; give parquet, csv, or a list of both") from None


def _engines(backend: Any, generator: Any) -> tuple[Callable[[], Backend] | None, Generator | None]:
    """Return a function that returns the caller's backend, and the caller's generator. None stands for the usual ones.

    Raises ConfigError if one of them lacks a method.
    """
    check_engine(backend, BACKEND, "burnish.refine: backend", "Backend")
    check_engine(generator, GENERATOR, "burnish.refine: generator", "Generator")
    return None if backend is None else lambda: backend, generator


def _options(*, annotator: Any, own: AnnotatorPlan | None, **options: Any) -> Options:
    """Return the options of a call. Raises ConfigError if an option is unknown."""
    # Options are checked like the texts of a command line, so a pathlib.Path becomes a text.
    options = {name: str(value) if isinstance(value, PurePath) else value for name, value in options.items()}
    try:
        configured = {"kind": "own", "name": str(own.config["name"])} if own is not None else annotator
        # The config only records that the annotator is the caller's own. `RunOptions` hands the object itself on.
        return Options(annotator=configured, **options)
    except TypeError as error:
        # Python's message ends with the name of the unknown argument, after `Options.__init__() `.
        raise ConfigError(f"burnish.refine: {str(error).rpartition(') ')[2]}; see burnish.refinery.options") from None


def _own(annotator: Any) -> AnnotatorPlan | None:
    """Return a caller's function or object as an annotator, or None if the annotator is configured by settings. Raises
    ConfigError for any other object."""
    # These are settings, which `config_of` reads.
    if annotator is None or isinstance(annotator, str | Path | Mapping):
        return None
    if hasattr(annotator, "judge"):
        name, fingerprint = type(annotator).__name__, str(annotator.fingerprint)
        # An annotator that judges the texts of a comparison alone needs no `over`.
        needs = isinstance(annotator, NeedsExamples)

        def over(examples: Mapping[str, Example]) -> Annotator:
            return annotator.over(examples) if needs else annotator

    elif callable(annotator):
        function = cast(Callable[[str, str, str], float | None], annotator)
        # A function has no fingerprint of its own, so its source takes the place of one.
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
    """Return where the data is. Data in memory is written into the store, into a file that is named by its content.
    Raises ConfigError or DataError if it is not rows."""
    if isinstance(data, str | Path):
        return str(data)
    # In the store and not in `out`: the same rows give the same file, so the same call finds its finished stages.
    folder = open_store(store).root / "inputs"
    if hasattr(data, "to_parquet"):
        # Both kinds of table have `to_parquet`. Only a datasets.Dataset has `_fingerprint`.
        return str(write_dataset(data, folder) if hasattr(data, "_fingerprint") else write_frame(data, folder))
    # A mapping and bytes can be iterated, too, but are never rows.
    if not isinstance(data, Iterable) or isinstance(data, Mapping | bytes):
        raise ConfigError(
            f"data: {type(cast(object, data)).__name__} found; give a path, a hub id, a datasets.Dataset or rows as "
            "mappings, or a pandas DataFrame"
        )
    # Rows may come from a generator, which can be read only once, so they are written before they are used.
    lines = b"".join(_lines(data))  # pyright: ignore[reportUnknownArgumentType]
    path = folder / f"{short_hash(lines.decode())}.jsonl"
    write_atomic(path, lines)
    return str(path)


def _lines(rows: Iterable[Any]) -> Iterator[bytes]:
    """Yield each row as a line of JSON. Raises DataError naming the row if it is no mapping or has no form in JSON."""
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise DataError(f"data: row {number} is {type(row).__name__}; each row must be a mapping of columns")
        try:
            yield dump_line(dict(row))  # pyright: ignore[reportUnknownArgumentType]
        except TypeError as error:
            raise DataError(
                f"data: row {number} cannot be written as JSON ({error}); use text, numbers and lists"
            ) from None
