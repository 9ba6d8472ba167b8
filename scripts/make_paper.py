"""Run all experiments of configs/paper/list.yaml in one store, and log their CPU hours.

    python scripts/make_paper.py [--dry-run] [--again] [--store DIR] [--list FILE] [--log FILE]

If it is stopped, the same command continues: finished stages are in the store. A config that the log calls finished is
left as it is, unless some of its stages must run again. --again writes the results of finished configs anew from the
store, for example after a change of their statistics. --dry-run prints what is left to compute and about what it would
cost, and computes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from publish_results import publish
from pydantic import TypeAdapter

from burnish.config import Config, Settings
from burnish.config.reading import checked, read_sweep
from burnish.config.yaml_text import read_yaml
from burnish.errors import BurnishError, ConfigError
from burnish.lab.inputs import resolve
from burnish.lab.running import planned
from burnish.lab.suite import SUITE_FILE, TRAININGS, models_of, slug
from burnish.report.joined import write_joined
from burnish.results import RESULTS_FILE, read_timings
from burnish.store.files import pretty, write_atomic
from burnish.store.opening import default_store, open_store
from burnish.store.stages import Store

ROOT = Path(__file__).parent.parent
LIST, LOG = ROOT / "configs" / "paper" / "list.yaml", ROOT / "docs" / "results" / "paper-cost.json"


class Runs(Settings):
    """Some experiments whose results go into one folder."""

    configs: tuple[str, ...]
    """Files, or patterns of them such as configs/paper/embedded/*.yaml."""
    out: str
    """The folder of results: of an experiment OUT/NAME, and of a variant OUT/NAME/VARIANT."""
    like: tuple[str, ...] = ()
    """Folders with a timings.json of similar experiments, for estimates."""
    publish: str | None = None
    """Where the results are copied to without texts."""


class PaperList(Settings):
    """The file configs/paper/list.yaml."""

    runs: tuple[Runs, ...]
    """Experiments in the order in which they are run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """How a command ended, and what it used."""

    code: int
    cpu_seconds: float
    wall_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What is left to compute of a config. `cpu_hours` is without the `unknown` kinds of stages: no timing exists."""

    config: str
    stages: int
    trainings: int
    cpu_hours: float
    unknown: tuple[str, ...]

    def words(self) -> str:
        """Return a line about it."""
        without = f" without {', '.join(self.unknown)}" if self.unknown else ""
        work = f"{self.stages:>6,} stages  {self.trainings:>5,} trainings"
        return f"{self.config:<44} {work}  about {self.cpu_hours:.2f} CPU hours{without}"


def read_list(path: Path) -> PaperList:
    """Read the list. Raises ConfigError, which names the file, the field and the fix."""
    try:
        return checked(TypeAdapter(PaperList), read_yaml(path.read_text(encoding="utf-8"), str(path)), str(path))
    except OSError as error:
        raise ConfigError(f"{path}: the list cannot be read ({error.strerror})") from None


def files_of(runs: Runs, root: Path) -> list[Path]:
    """Return the config files of an entry, in order. Raises ConfigError if a pattern finds none."""
    found: list[Path] = []
    for pattern in runs.configs:
        files = sorted(root.glob(pattern))
        if not files:
            raise ConfigError(f"configs: {pattern!r} found no file below {root.name}; correct the pattern")
        found += files
    return found


def left_of(entries: Sequence[tuple[str, Sequence[Config], Sequence[Path]]], store: Store) -> Iterator[Left]:
    """Yield what is left to compute of each config file. A stage of several files counts for the first of them.

    An entry is a file's name, its experiments, and the folders whose timings its stages are compared with.
    """
    seen: set[str] = set()
    for name, configs, like in entries:
        seconds = _mean_seconds(like)
        stages = [
            record
            for config in configs
            for record in planned(config, resolve(config, offline_ok=True), store)
            if not record.reused
        ]
        new = {record.fingerprint: record.stage.name for record in stages if record.fingerprint not in seen}
        seen |= new.keys()
        kinds = list(new.values())
        yield Left(
            config=name,
            stages=len(kinds),
            trainings=sum(kind in TRAININGS for kind in kinds),
            cpu_hours=sum(seconds.get(kind, 0.0) for kind in kinds) / 3600,
            unknown=tuple(sorted({kind for kind in kinds if kind not in seconds})),
        )


def _mean_seconds(folders: Sequence[Path]) -> dict[str, float]:
    """Return {kind of stage: mean seconds} from the stages that the timings of these folders computed."""
    taken: dict[str, list[float]] = {}
    for stage in (stage for folder in folders for stage in read_timings(folder).stages if not stage.reused):
        taken.setdefault(stage.name, []).append(stage.seconds)
    return {name: fmean(seconds) for name, seconds in taken.items()}


def measured(command: Sequence[str]) -> Used:
    """Run a command and return what it and its children used.

    If this process is interrupted, the command is stopped, and its code is that of a stopped command.
    """
    started = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except (KeyboardInterrupt, SystemExit):
        process.terminate()
        _, status, usage = os.wait4(process.pid, 0)
        status = status or signal.SIGTERM  # it may have ended well in this moment, but the list has not
    process.returncode = os.waitstatus_to_exitcode(status)
    cpu = usage.ru_utime + usage.ru_stime
    return Used(code=process.returncode, cpu_seconds=cpu, wall_seconds=time.monotonic() - started)


def note(log: Path, config: str, used: Used) -> None:
    """Add what a run used to the log. Runs that were stopped and resumed are added up."""
    entries: dict[str, Any] = json.loads(log.read_text())["configs"] if log.exists() else {}
    before = entries.get(config, {"cpu_seconds": 0.0, "wall_seconds": 0.0, "tries": 0})
    entries[config] = {
        "cpu_seconds": round(before["cpu_seconds"] + used.cpu_seconds, 1),
        "wall_seconds": round(before["wall_seconds"] + used.wall_seconds, 1),
        "tries": before["tries"] + 1,
        "finished": used.code == 0,
    }
    hours = round(sum(entry["cpu_seconds"] for entry in entries.values()) / 3600, 2)
    write_atomic(log, pretty({"configs": entries, "cpu_hours": hours}))


def make(
    paper: PaperList,
    root: Path,
    store: Path,
    log: Path,
    run: Callable[[Sequence[str]], Used] = measured,
    *,
    again: bool = False,
) -> int:
    """Run every config, then write the joint reports and publish. Returns the exit code of the first run that fails."""
    for runs in paper.runs:
        files = files_of(runs, root)
        for file in files:
            # A second run would only read the store, and write timings that say so.
            if not again and is_finished(file, runs, root, store, log):
                continue
            used = run(_command(file, runs, root, store))
            note(log, _name(file, root), used)
            if used.code:
                return used.code
        if len(files) > 1:
            _join(files, runs, root, store)
        if runs.publish is not None:
            for found in sorted((root / runs.out).rglob(RESULTS_FILE)):
                publish(found.parent, root / runs.publish / found.parent.relative_to(root / runs.out))
    return 0


def is_finished(file: Path, runs: Runs, root: Path, store: Path, log: Path) -> bool:
    """Say whether the log calls a config finished, its results are there, and the store has all of its stages."""
    entries: dict[str, Any] = json.loads(log.read_text())["configs"] if log.exists() else {}
    entry = entries.get(_name(file, root))
    configs = read_sweep(file)
    if entry is None or not entry["finished"]:
        return False
    if not all((folder / RESULTS_FILE).is_file() for folder in _folders(configs, runs, root)):
        return False
    plans = (planned(config, resolve(config, offline_ok=True), open_store(store)) for config in configs)
    return all(record.reused for records in plans for record in records)


def _folders(configs: Sequence[Config], runs: Runs, root: Path) -> list[Path]:
    """Return the results folder of each experiment."""
    return [root / runs.out / config.name / slug(config.variant) for config in configs]


def _join(files: Sequence[Path], runs: Runs, root: Path, store: Path) -> None:
    """Write one report of all experiments of an entry, and how many models were trained."""
    configs = [config for file in files for config in read_sweep(file)]
    write_joined(_folders(configs, runs, root), root / runs.out)
    models = models_of(configs, open_store(store))
    write_atomic(root / runs.out / SUITE_FILE, pretty({"models_trained": models.trained, "models_alone": models.alone}))


def _command(file: Path, runs: Runs, root: Path, store: Path) -> list[str]:
    """Return the command for one file. An experiment without variants takes its own folder as --out."""
    configs = read_sweep(file)
    out = root / runs.out if len(configs) > 1 or configs[0].variant else root / runs.out / configs[0].name
    return [sys.executable, "-m", "burnish", "run", "--store", str(store), str(file), "--out", str(out)]


def _name(file: Path, root: Path) -> str:
    return str(file.relative_to(root))


def print_left(paper: PaperList, root: Path, store: Path) -> None:
    """Print a line for each config, and the sum."""
    entries = [
        (_name(file, root), read_sweep(file), [root / folder for folder in runs.like])
        for runs in paper.runs
        for file in files_of(runs, root)
    ]
    every: list[Left] = []
    for left in left_of(entries, open_store(store)):
        print(left.words(), flush=True)
        every.append(left)
    unknown = sorted({kind for left in every for kind in left.unknown})
    without = f", without the stages of which no timing exists: {', '.join(unknown)}" if unknown else ""
    print(f"in all about {sum(left.cpu_hours for left in every):.1f} CPU hours{without}")


def _end(number: int, frame: object) -> None:
    sys.exit(128 + number)


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description="Run all experiments of the paper in one store.")
    parser.add_argument("--dry-run", action="store_true", help="print what is left and what it would cost")
    parser.add_argument("--again", action="store_true", help="write the results of finished configs anew, too")
    parser.add_argument("--store", type=Path, default=None, help="the store (default: as for `burnish run`)")
    parser.add_argument("--list", type=Path, default=LIST, help="the list of configs")
    parser.add_argument("--log", type=Path, default=LOG, help="the JSON file with the CPU time of each config")
    given = parser.parse_args()
    store = given.store or default_store()
    # A request to end becomes an exception, so that the run in progress is stopped and its CPU time is logged.
    signal.signal(signal.SIGTERM, _end)
    try:
        paper = read_list(given.list)
        if given.dry_run:
            print_left(paper, ROOT, store)
            return 0
        return make(paper, ROOT, store, given.log, again=given.again)
    except BurnishError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
