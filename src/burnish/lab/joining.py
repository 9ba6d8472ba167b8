"""The command `join` as a function: from folders with the results of single seeds to one folder with all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from burnish.errors import ConfigError, DataError, brief
from burnish.lab.measure import over_runs
from burnish.lab.pairing import Graded, graded_again, prompt_grades
from burnish.lab.running import Finished
from burnish.report.figures import draw_figures, write_figures
from burnish.report.page import write_report
from burnish.results import (
    CHANGES_FILE,
    CONFIDENCE_FILE,
    CONFIG_FILE,
    REFERENCE_WIN_RATE,
    RESULTS_FILE,
    TIMINGS_FILE,
    Record,
    Results,
    Run,
    StageTiming,
    Timings,
    read_changes,
    read_confidence,
    read_prompt_grades,
    read_results,
    read_timings,
    write_prompt_grades,
)
from burnish.store.explain import flat
from burnish.store.files import explained_write_errors, pretty, write_atomic
from burnish.store.json_rows import dump_line

SAID = {"name", "note", "seeds"}
"""The settings that may differ: the seeds must, and the others change no result."""
SHARED = {"data", "base"}
"""The stages that all seeds have in common. Their fingerprints tell whether data and models are the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A results folder of some of the seeds."""

    folder: Path
    results: Results
    graded: list[Graded]
    timings: Timings

    @property
    def seeds(self) -> list[int]:
        """The seeds, in the order of the config."""
        return list(dict.fromkeys(run.seed for run in self.results.runs))


def join(folders: Sequence[Path], out: Path) -> Finished:
    """Join results folders of one experiment that were computed with other seeds, for example on several machines.

    Everything that `burnish run` writes into a results folder is written into `out`, except models.json, because each
    machine has its own models. Means, differences and intervals are computed anew over all seeds. `config.yaml` has the
    seeds of all folders, in ascending order.

    Raises ConfigError if the folders do not fit together (settings, data, models or a seed that two of them have), and
    DataError if a file is missing or damaged.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"out: {str(out)!r} is a file; name a folder for the results")
    parts = sorted(map(_read, folders), key=lambda part: min(part.seeds, default=0))
    _check(parts, out)
    results = _joined(parts)
    with explained_write_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    seeds = _seeds(parts)
    # The examples in the report are of the first seed alone, as in a run.
    changes = [row for part in parts for row in read_changes(part.folder) if row.seed == seeds[0]]
    confidence = sorted(
        (row for part in parts for row in read_confidence(part.folder)), key=lambda row: seeds.index(row.seed)
    )
    write_prompt_grades(out, prompt_grades(_in_order(parts)))
    write_atomic(out / CHANGES_FILE, _lines(changes))
    write_atomic(out / CONFIDENCE_FILE, _lines(confidence))
    write_atomic(out / CONFIG_FILE, _config(parts[0].folder, seeds))
    # The results come last, as in a run.
    for name, record in ((TIMINGS_FILE, _timings(parts)), (RESULTS_FILE, results)):
        write_atomic(out / name, pretty(record.model_dump(mode="json")))
    drawings = draw_figures(results)
    write_figures(out, drawings)
    write_report(out, drawings)
    return Finished(results=results, out=out)


def _read(folder: Path) -> _Part:
    results, grades = read_results(folder), read_prompt_grades(folder)
    if grades is None:
        raise DataError(f"{folder}: no grades of single prompts; an earlier version wrote it: run `burnish run` again")
    graded = graded_again(grades)
    if [(*one.at, one.seed) for one in graded] != [(run.method, run.round, run.seed) for run in results.runs]:
        raise DataError(f"{folder}: the grades are not those of results.json; run `burnish run` again")
    return _Part(folder=folder, results=results, graded=graded, timings=read_timings(folder))


def _check(parts: Sequence[_Part], out: Path) -> None:
    first = parts[0]
    for number, part in enumerate(parts):
        if part.folder.resolve() == out.resolve():
            raise ConfigError(f"out: {str(out)!r} is one of the folders to join; name another folder")
        if any(REFERENCE_WIN_RATE in run.metrics for run in part.results.runs):
            raise ConfigError(
                f"{part.folder}: has win rates against references, which a results folder does not hold prompt by "
                "prompt; run all seeds in one store"
            )
        for other in parts[:number]:
            if twice := sorted(set(part.seeds) & set(other.seeds)):
                raise ConfigError(f"seeds: {twice[0]} is in {other.folder} and in {part.folder}; leave one folder out")
        before, now = (
            flat({name: value for name, value in one.results.config.items() if name not in SAID})
            for one in (first, part)
        )
        for field in dict.fromkeys((*before, *now)):
            if before.get(field) != now.get(field):
                raise ConfigError(
                    f"{field}: {brief(before.get(field))} in {first.folder}, {brief(now.get(field))} in {part.folder}; "
                    "only folders of the same settings can be joined"
                )
        if (ours := _shared(part)) != (theirs := _shared(first)):
            label = min(ours ^ theirs)[0]
            raise ConfigError(
                f"{label}: {part.folder} was computed with another content than {first.folder} (the fingerprints in "
                f"{TIMINGS_FILE} differ); only folders with the same data and models can be joined"
            )


def _shared(part: _Part) -> set[tuple[str, str]]:
    """Return the labels and fingerprints of the stages that all seeds share."""
    return {(stage.label, stage.fingerprint) for stage in part.timings.stages if stage.name in SHARED}


def _seeds(parts: Sequence[_Part]) -> list[int]:
    return sorted(seed for part in parts for seed in part.seeds)


def _in_order(parts: Sequence[_Part]) -> list[Graded]:
    """Return the grades of all seeds, one seed after the other, as in a run."""
    return sorted((one for part in parts for one in part.graded), key=lambda one: one.seed)


def _joined(parts: Sequence[_Part]) -> Results:
    runs = sorted((run for part in parts for run in _runs(part.results)), key=lambda run: run.seed)
    return over_runs({**parts[0].results.config, "seeds": _seeds(parts)}, runs, _in_order(parts))


def _runs(results: Results) -> Iterable[Run]:
    """Yield the runs with their metrics in the order of the summary. The file has them in alphabetical order."""
    for run in results.runs:
        rows = (row for row in results.summary if (row.method, row.round) == (run.method, run.round))
        order = {row.metric: place for place, row in enumerate(rows)}
        names = sorted(run.metrics, key=lambda name: order.get(name, len(order)))
        yield run.model_copy(update={"metrics": {name: run.metrics[name] for name in names}})


def _timings(parts: Sequence[_Part]) -> Timings:
    """Return the cost of all folders. A stage that several of them computed is there once for each."""
    known: set[str] = set()
    stages: list[StageTiming] = []
    for stage in (stage for part in parts for stage in part.timings.stages):
        # A stage that was reused says nothing new, if it is there already.
        if not (stage.reused and stage.fingerprint in known):
            stages.append(stage)
        known.add(stage.fingerprint)
    all_ = [part.timings for part in parts]
    machine = all_[0].machine
    platforms = "; ".join(dict.fromkeys(one.machine.platform for one in all_))
    return Timings(
        total_seconds=round(sum(one.total_seconds for one in all_), 3),
        peak_memory_bytes=max(
            (one.peak_memory_bytes for one in all_ if one.peak_memory_bytes is not None), default=None
        ),
        machine=machine.model_copy(update={"platform": platforms}),
        versions=all_[0].versions,
        stages=tuple(stages),
    )


def _config(folder: Path, seeds: Sequence[int]) -> bytes:
    """Return the config.yaml of a folder with these seeds. Raises DataError if it cannot be read."""
    path = folder / CONFIG_FILE
    try:
        found: Any = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise DataError(f"{path}: cannot be read ({error}); give the folder that `burnish run` wrote") from None
    if not isinstance(found, dict):
        raise DataError(f"{path}: no mapping of settings found; give the folder that `burnish run` wrote")
    config = cast(dict[str, Any], found) | {"seeds": list(seeds)}
    return yaml.safe_dump(config, sort_keys=False).encode()  # pyright: ignore[reportUnknownMemberType] its stub


def _lines(rows: Iterable[Record]) -> bytes:
    return b"".join(dump_line(row.model_dump(mode="json")) for row in rows)
