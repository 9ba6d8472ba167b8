"""Time and memory of a whole refinement at many rows: python benchmarks/million_rows.py --rows 200000 1000000.

`refine` runs from a file of questions and answers to the finished folder, with the fake backend: its training, its
answers and its verdicts cost little, so that the time is that of burnish itself. A third of the labels is wrong, about
half of the proposals differ from their label, and one round is refined. Each size runs in a process of its own, since
the peak of memory is a process's. The rows are written before the clock starts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bench_output import put

from burnish.backends.fake import FakeBackend
from burnish.refinery import RunOptions, refine_data
from burnish.refinery.options import Options, config_of
from burnish.refinery.writing import Writer
from burnish.store.runners import Executor
from burnish.store.stages import Stage

SIZES = (100_000, 200_000, 500_000, 1_000_000)
WRONG = 3
"""Every third label is wrong: two too high, where the fake backend's wrong answers are one too high."""
QUESTION = "Natalia sold some of her clips to her friends in April, and then half as many in May, to each of them. "
ANSWER = "She sold half as many clips in May as in April, which makes <<48/2=24>>24, and both months together. "


class Gold(Mapping[str, str]):
    """The right answer of every question. It is read from the question, since a dict of a million would count."""

    def __getitem__(self, question: str) -> str:
        return question.rpartition(" ")[2]

    def __iter__(self) -> Iterator[str]:
        raise NotImplementedError("the questions are not listed")

    def __len__(self) -> int:
        raise NotImplementedError("the questions are not counted")


def write_data(path: Path, rows: int, length: int) -> None:
    """Write rows whose questions and answers have about `length` characters, or as few as possible."""
    question, answer = (text * (length // len(text)) for text in (QUESTION, ANSWER))
    with path.open("w") as out:
        for number in range(rows):
            row = {
                "question": f"{question}What is the number {number}",
                "answer": f"{answer}#### {number + 2 * (number % WRONG == 0)}",
                "source": "bench",
            }
            out.write(f"{json.dumps(row)}\n")


def refine(folder: Path) -> None:
    """Refine the rows of a folder for one round."""
    config = config_of(
        Options(
            data=str(folder / "data.jsonl"),
            model="builtin:strong",
            annotator={"kind": "likelihood", "model": "builtin:judge-1"},
            differs="number",
            rounds=1,
            no_selftest=True,
        )
    )
    refine_data(config, RunOptions(out=folder / "out", store=folder / "store", backend=lambda: FakeBackend(Gold())))


class Clock:
    """Adds up wall and CPU seconds of parts of the run, and by how much they raised the peak of memory, by name.

    A part within another one counts for itself alone.
    """

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.cpu_seconds: defaultdict[str, float] = defaultdict(float)
        self.raised_mib: defaultdict[str, int] = defaultdict(int)
        self._peak = peak_mib(resource.RUSAGE_SELF)
        self._name, self._at = "other", self._now()

    def _now(self) -> tuple[float, float]:
        return time.perf_counter(), time.process_time()

    def switch(self, name: str) -> str:
        """Go on counting for another part, and return the part that was counted until now."""
        now, before = self._now(), self._name
        self.seconds[before] += now[0] - self._at[0]
        self.cpu_seconds[before] += now[1] - self._at[1]
        # The peak never falls. A part that needs no more than those before it raises it by nothing.
        peak = peak_mib(resource.RUSAGE_SELF)
        self.raised_mib[before] += peak - self._peak
        self._peak = peak
        self._name, self._at = name, now
        return before

    def watch(self, owner: type, method: str, name: Callable[..., str]) -> None:
        """Count the calls of a method for the part that `name` gives them."""
        real = getattr(owner, method)

        def watched(*args: Any, **more: Any) -> Any:
            before = self.switch(name(*args, **more))
            try:
                return real(*args, **more)
            finally:
                self.switch(before)

        setattr(owner, method, watched)


def _name_of(_: Executor, stage: Stage) -> str:
    return stage.name


def measured(folder: Path) -> dict[str, Any]:
    """Refine in this process, and return seconds by part and the peak of resident memory in MiB."""
    clock = Clock()
    clock.watch(Executor, "run", _name_of)
    for method in ("begin", "write"):
        clock.watch(Writer, method, lambda *_: "folder")
    libraries = peak_mib(resource.RUSAGE_SELF)
    refine(folder)
    clock.switch("end")
    return {
        "seconds": round(sum(clock.seconds.values()), 1),
        "cpu_seconds": round(sum(clock.cpu_seconds.values()), 1),
        "peak_mib": peak_mib(resource.RUSAGE_SELF),
        "peak_mib_of_children": peak_mib(resource.RUSAGE_CHILDREN),
        "peak_mib_before": libraries,
        "parts": {
            name: {
                "seconds": round(seconds, 1),
                "cpu_seconds": round(clock.cpu_seconds[name], 1),
                "raised_peak_by_mib": clock.raised_mib[name],
            }
            for name, seconds in clock.seconds.items()
        },
    }


def peak_mib(who: int) -> int:
    """Return the largest resident size of this process so far, or that of the largest of its children."""
    return resource.getrusage(who).ru_maxrss // (1024 * 1024 if sys.platform == "darwin" else 1024)


def of_size(rows: int, length: int, keep: Path | None) -> dict[str, Any]:
    """Measure one size in a process of its own. The folder is removed unless it is kept in `keep`."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = keep / str(rows) if keep else Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        write_data(folder / "data.jsonl", rows, length)
        command = [sys.executable, __file__, "--inside", str(folder)]
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        used = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {"rows": rows, **found, "disk_mib": used // 2**20}


def ratios(sizes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Compare each size with the first one: how many times the rows, the seconds and the memory."""
    first = sizes[0]
    names = ("rows", "seconds", "cpu_seconds", "peak_mib")
    return [{name: round(size[name] / first[name], 2) for name in names} for size in sizes[1:]]


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES)
    parser.add_argument("--length", type=int, default=0, help="characters of a question and of an answer")
    parser.add_argument("--keep", type=Path, help="keep the rows and the results of each size in this folder")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.inside:
        print(json.dumps(measured(options.inside)))
        return
    sizes = [of_size(rows, options.length, options.keep) for rows in options.rows]
    command = f"python benchmarks/million_rows.py --rows {' '.join(map(str, options.rows))} --length {options.length}"
    machine = {"python": platform.python_version(), "cores": os.cpu_count()}
    put({"command": command, **machine, "sizes": sizes, "ratios to the first size": ratios(sizes)}, options.out)


if __name__ == "__main__":
    main()
