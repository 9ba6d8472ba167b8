"""Time and memory of the pure part of a round at many rows: split, select, update, ledger written as JSON lines.

    python benchmarks/pure_step.py --rows 250000
    python benchmarks/pure_step.py --all --out docs/results/pure_step.json

Each size of `--all` runs in a process of its own, since the peak of memory is a process's. The rows (answers of about
280 characters, as in GSM8K, all held in memory) are made before the clock starts.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from burnish.algorithms import refinement as algorithm
from burnish.algorithms.comparisons import combined
from burnish.store import files as store
from burnish.types import Demonstration, DemonstrationSource, Order, Preference, Reason

SIZES = (250_000, 500_000, 1_000_000)
ALPHA = 0.15
ANSWER = "She sold 48 clips in April and half as many in May, so she sold 48 / 2 = 24 clips in May. " * 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """One synthetic round."""

    groups: dict[str, str]
    current: dict[str, Demonstration]
    proposals: dict[str, Demonstration]
    preferences: dict[str, Preference]
    candidates: list[algorithm.Candidate]


def made(rows: int) -> Rows:
    """Make a round in which a third agrees, 2 % are invalid and the rest is judged in both orders."""
    draw = random.Random(0)
    round_ = Rows(groups={}, current={}, proposals={}, preferences={}, candidates=[])
    for number in range(rows):
        name = f"row-{number:08d}"
        round_.groups[name] = f"group-{number:08d}"
        round_.current[name] = Demonstration(
            example_id=name, completion=f"{ANSWER}#### {number}", source=DemonstrationSource.WEAK, producer="w" * 16
        )
        round_.proposals[name] = Demonstration(
            example_id=name,
            completion=f"{ANSWER}#### {number + 1}",
            source=DemonstrationSource.PROPOSAL,
            producer="p" * 16,
            round=1,
        )
        chance = draw.random()
        screened = Reason.INVALID if chance < 0.02 else Reason.AGREED if chance < 0.35 else None
        preference = None
        if screened is None:
            both = (draw.random(), draw.random())
            preference = combined(f"{number:016x}", (Order.AB, Order.BA), both, "judge")
            round_.preferences[name] = preference
        round_.candidates.append(
            algorithm.Candidate(
                example_id=name,
                screened=screened,
                verdict=preference.verdict if preference else None,
                p_b=preference.p_b if preference else None,
            )
        )
    return round_


def measured(rows: int) -> dict[str, object]:
    """Run the three steps once and return rows, seconds for each and the peak of memory in MiB."""
    data = made(rows)
    before = peak_mib()
    seconds: dict[str, float] = {}

    cpu_seconds: dict[str, float] = {}

    @contextmanager
    def timed(name: str) -> Generator[None]:
        start, cpu_start = time.perf_counter(), time.process_time()
        yield
        seconds[name] = round(time.perf_counter() - start, 2)
        cpu_seconds[name] = round(time.process_time() - cpu_start, 2)

    with timed("split"):
        algorithm.split(data.groups, seed=0, round_number=1)
    with timed("select"):
        chosen = algorithm.select(data.candidates, ALPHA, rows)
    with timed("update and ledger"), tempfile.TemporaryDirectory() as folder:
        sides = (data.current.values(), data.proposals.values(), map(data.preferences.get, data.current), chosen)
        updated = algorithm.updated(*sides, round_number=1, annotator="a" * 16)
        assert store.write_rows(Path(folder) / "ledger.jsonl", (line for line, _ in updated)) == rows
    return {
        "rows": rows,
        "accepted": chosen.count(Reason.ACCEPTED),
        "seconds": seconds,
        "total_seconds": round(sum(seconds.values()), 2),
        "cpu_seconds": cpu_seconds,
        "total_cpu_seconds": round(sum(cpu_seconds.values()), 2),
        "peak_rss_mib": peak_mib(),
        "of_which_input_mib": before,
    }


def peak_mib() -> int:
    """Return the largest resident size of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024 * 1024 if sys.platform == "darwin" else 1024)  # bytes on macOS, KiB elsewhere


def main() -> None:
    """Parse, run one size or all, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=SIZES[0])
    parser.add_argument("--all", action="store_true", help="run 250k, 500k and 1M rows, each in its own process")
    parser.add_argument("--out", type=Path, help="write the JSON here too")
    options = parser.parse_args()
    result: object = (
        measured(options.rows)
        if not options.all
        else {
            "python": platform.python_version(),
            "sizes": [
                json.loads(
                    subprocess.run([sys.executable, __file__, "--rows", str(rows)], check=True, stdout=-1).stdout
                )
                for rows in SIZES
            ],
        }
    )
    text = json.dumps(result, indent=2) + "\n"
    sys.stdout.write(text)
    if options.out:
        store.write_atomic(options.out, text.encode())


if __name__ == "__main__":
    main()
