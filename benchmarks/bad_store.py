"""Stores with one damaged file each: the next run ends with the bytes of an undamaged one, or with an error of ours."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from burnish.backends.fake import FakeBackend
from burnish.config import Config
from burnish.lab.experiment import Experiment
from burnish.lab.inputs import resolve
from burnish.lab.judged import changes_of
from burnish.lab.measure import results_of
from burnish.lab.pairing import graded_of
from burnish.store.course import StagePosition
from burnish.store.files import pretty
from burnish.store.gc import collect
from burnish.store.json_rows import dump_line
from burnish.store.runners import Executor
from burnish.store.stages import Store
from burnish.tasks import make_task
from burnish.tasks.sums_world import generate

TRAIN, TEST = 60, 20
CONFIG: dict[str, Any] = {
    "name": "store",
    "task": {"kind": "sums", "train": TRAIN, "test": TEST},
    "models": {"weak": "builtin:weak", "strong": "builtin:strong"},
    "supervision": {"annotator": {"kind": "likelihood", "model": "builtin:judge-3"}},
    "train": {"lora": None},
    "decode": {"beams": 1, "max_new_tokens": 8},
    "methods": [{"kind": "sft"}, {"kind": "ilr", "rounds": 1, "alpha": 0.15}],
}
SHAPES = (
    b"",
    b"{",
    b"[]",
    b"{}",
    b"null",
    b'"x"',
    b"3",
    b"\xff\xfe",
    b"[" * 3000,
    b'{"schema_version": "1"}',
    b"\0" * 64,
)
UNITS = 9
"""Units of work after which the unfinished store was interrupted."""


class Silent:
    """Hears what a run says."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        """Remember a line."""
        self.said.append(message)

    @contextmanager
    def stage(self, label: str, position: StagePosition | None = None) -> Generator[None, None, None]:
        """Show nothing."""
        yield

    def rows(self, done: int, total: int) -> None:
        """Show nothing."""


def run(place: Path, units: int | None = None) -> bytes:
    """Run the small experiment on the fake backend; returns the bytes of its results and changes.

    `units`: interrupt it after so many units of work.
    """
    count = itertools.count(1)

    def before_unit(_: str) -> None:
        if next(count) == units:
            raise KeyboardInterrupt

    config = Config.model_validate(CONFIG)
    gold = {problem.question: str(problem.answer) for problem in generate(TRAIN + TEST, 0)}
    backend = FakeBackend(gold, before_unit)
    inputs = resolve(config, offline_ok=False)
    executor = Executor(Store(place), Silent(), {})
    experiment = Experiment(config=config, inputs=inputs, runner=executor, backend=lambda: backend)
    outcomes = experiment.run(config.seeds)
    (place.parent / "out").mkdir(exist_ok=True)
    executor.store.refer(place.parent / "out", [record.fingerprint for record in executor.records])
    task = make_task(inputs.task)
    changes = b"".join(dump_line(change.model_dump(mode="json")) for change in changes_of(outcomes, task))
    return pretty(results_of(config, outcomes, graded_of(outcomes), task).model_dump(mode="json")) + changes


def damage(store: Path, random: Random) -> str:
    """Damage one file of a store; returns what was done."""
    files = sorted(path for path in store.rglob("*") if path.is_file())
    records = [path for path in files if path.suffix == ".json" and path.name != "skill.json"]
    path = random.choice(records if random.random() < 0.6 else files)
    kind = random.randrange(9)
    match kind:
        case 0:
            path.write_bytes(path.read_bytes()[: random.randrange(path.stat().st_size + 1)])
        case 1:
            data = bytearray(path.read_bytes() or b"x")
            data[random.randrange(len(data))] ^= 1 << random.randrange(8)
            path.write_bytes(data)
        case 2 | 3:
            path.write_bytes(random.choice(SHAPES))
        case 4:
            path.unlink()
        case 5:
            path.write_bytes(path.read_bytes() + random.randbytes(20))
        case 6:
            path.write_bytes(random.choice(files).read_bytes())
        case 7:
            path.unlink()
            path.mkdir()
        case _:
            _exchange(path.parent, random)
    return f"{kind} {path.relative_to(store)}"


def _exchange(folder: Path, random: Random) -> None:
    """Let two folders beside each other change places."""
    other = random.choice(sorted(folder.parent.iterdir()))
    if other != folder and other.is_dir() and folder.is_dir():
        aside = folder.with_name("aside")
        folder.rename(aside)
        other.rename(folder)
        aside.rename(other)


def trials(count: int, seed: int, where: Path) -> Iterator[tuple[str, bytes | None, Path]]:
    """Yield for each trial what was done, the right bytes, and the damaged store; it is removed afterwards.

    Every second store is unfinished: its work goes on.
    """
    right = run(where / "whole" / "store")
    unfinished = where / "unfinished" / "store"
    try:
        run(unfinished, UNITS)
        raise AssertionError("the run was not interrupted")
    except KeyboardInterrupt:
        pass
    for number in range(count):
        random = Random(f"store {seed} {number}")
        place = where / f"trial-{number}"
        shutil.copytree(where / ("unfinished" if number % 2 else "whole"), place)
        yield damage(place / "store", random), right, place / "store"
        shutil.rmtree(place)


def use(store: Path, number: int) -> bytes:
    """Do what users do with a store: run again, and in every third trial free what is not needed before."""
    if number % 3 == 0:
        collect(Store(store))
    return run(store)
