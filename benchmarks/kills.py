"""Kill a run (SIGKILL) at random moments, again and again, and check that nothing finished is lost or done twice.

    python benchmarks/kills.py --kills 20 --out docs/results/kills.json

The same command goes on after each kill, with two workers, so that their deaths are tested too. At the end
results.json must equal an uninterrupted run's byte for byte. When a kill comes is counted in finished stages, not in
seconds: a faster machine is killed as often.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from bench_output import put

RESUMED = ("answer/", "judge/", "score/", "reward_samples/")
"""Stages whose finished rows survive a kill."""
LATER = 0.5
"""Seconds at most between the stage that a kill waits for and the kill."""
CONFIG = """
name: kills
task: {kind: sums, train: TRAIN, test: 60}
models: {weak: "builtin:weak", strong: "builtin:strong"}
supervision: {annotator: {kind: mixed, other: {kind: likelihood, model: "builtin:judge-3"}}}
train: {epochs: 4, learning_rate: 2e-3, batch_size: 8, lora: null}
decode: {beams: 1, max_new_tokens: 32}
methods: [{kind: sft}, {kind: naive, rounds: 1}, {kind: ilr, rounds: 1}, {kind: dpo, rounds: 1, samples: 2},
  {kind: rl, reward: checker, steps: 3, prompts: 4, samples: 4}]
measure: [kl, win_rate]
seeds: SEEDS
execution: {workers: 2, threads: 1, batch_tokens: 2000}
"""


@dataclass
class Seen:
    """What was there after each kill, to be found again unchanged at the end."""

    manifests: dict[Path, tuple[int, int]] = field(default_factory=dict)
    rows: dict[str, bytes] = field(default_factory=dict)

    def look(self, store: Path) -> None:
        """Remember finished stages by inode and time, and whole lines of unfinished ones."""
        for path in store.glob("stages/*/*/manifest.json"):
            status = path.stat()
            self.manifests.setdefault(path, (status.st_ino, status.st_mtime_ns))
        for path in store.glob("work/*/*.jsonl"):
            data = path.read_bytes()
            # What follows the first dot names the attempt: host, process and number.
            name, _, digest = path.parent.name.partition(".")[0].rpartition("-")
            self.rows[f"{name}/{digest}/{path.name}"] = data[: data.rfind(b"\n") + 1]

    def check(self, store: Path) -> tuple[int, int]:
        """Return how many finished stages and whole rows were found unchanged; assert that it is all of them."""
        for path, known in self.manifests.items():
            status = path.stat()
            assert (status.st_ino, status.st_mtime_ns) == known, f"{path} was computed again"
        for name, data in self.rows.items():
            if name.startswith(RESUMED):
                final = (store / "stages" / name).read_bytes()
                assert final.startswith(data), f"{name}: rows that were finished changed"
        kept = sum(data.count(b"\n") for name, data in self.rows.items() if name.startswith(RESUMED))
        return len(self.manifests), kept


def start(where: Path, config: Path) -> subprocess.Popen[bytes]:
    """Start the run in a session of its own."""
    command = [sys.executable, "-m", "burnish", "run", str(config), "--store", "store", "--out", "out"]
    return subprocess.Popen(
        command, cwd=where, stdout=subprocess.DEVNULL, stderr=(where / "stderr").open("ab"), start_new_session=True
    )


def living(where: Path) -> list[int]:
    """Return the processes whose working directory is `where` (Linux)."""
    found: list[int] = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if link.readlink() == where:
                found.append(int(link.parent.name))
        except OSError:  # it ended while we looked
            continue
    return found


def moments(kills: int, stages: int, random: Random) -> list[float]:
    """Draw after how many finished stages each kill comes: one in each of as many equal parts of the run, rising.

    The last sixth is left out, several seconds of work, so that no run ends before its kill.
    """
    return [stages * 5 / 6 * (number + random.random()) / kills for number in range(kills)]


def finished(store: Path) -> int:
    """Count the finished stages of a store."""
    return sum(1 for _ in store.glob("stages/*/*/manifest.json"))


def kill(process: subprocess.Popen[bytes], where: Path, patience: float = 10) -> float:
    """Kill the parent alone; its workers must die by themselves, within `patience` seconds. Returns how long they lived
    on, in seconds."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    died = time.monotonic()
    while living(where):
        assert time.monotonic() - died < patience, f"still writing: {living(where)}"
        time.sleep(0.01)
    return time.monotonic() - died


def kill_again_and_again(where: Path, config: Path, at: Sequence[float], random: Random) -> tuple[float, Seen]:
    """Start the run and kill it at each of the moments `at`, then let it end."""
    seen, longest_death = Seen(), 0.0
    for moment in at:
        process = start(where, config)
        while finished(where / "store") < moment:
            assert process.poll() is None, f"ended before {moment} stages: {(where / 'stderr').read_text()}"
            time.sleep(0.01)
        time.sleep(random.random() * LATER)  # into the next stage, or into Python's start
        assert process.poll() is None, f"ended before it was killed, soon after {moment} stages"
        longest_death = max(longest_death, kill(process, where))
        seen.look(where / "store")
    assert start(where, config).wait() == 0, (where / "stderr").read_text()
    return longest_death, seen


def main() -> None:
    """Run both, compare, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--train", type=int, default=1200, help="training rows: more rows, a longer run")
    parser.add_argument("--seeds", type=int, default=2, help="seeds of the run, each with all methods")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the moments of the kills")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve()
        config = root / "config.yaml"
        seeds = list(range(options.seeds))
        config.write_text(CONFIG.replace("TRAIN", str(options.train)).replace("SEEDS", str(seeds)))
        for place in ("whole", "killed"):
            (root / place).mkdir()
        assert start(root / "whole", config).wait() == 0, (root / "whole" / "stderr").read_text()
        random = Random(options.seed)
        at = moments(options.kills, finished(root / "whole" / "store"), random)
        death, seen = kill_again_and_again(root / "killed", config, at, random)
        stages, rows = seen.check(root / "killed" / "store")
        equal = all(
            (root / "whole" / "out" / file).read_bytes() == (root / "killed" / "out" / file).read_bytes()
            for file in ("results.json", "changes.jsonl")
        )
        assert equal, "results differ"
        kinds = Counter(path.parent.parent.name for path in seen.manifests)
    result = {
        "kills": len(at),
        "results_identical": equal,
        "finished_stages_never_redone": stages,
        "stages_by_kind": dict(sorted(kinds.items())),
        "finished_rows_of_killed_stages_kept": rows,
        "longest_life_of_an_orphan_seconds": round(death, 3),
    }
    put(result, options.out)


if __name__ == "__main__":
    main()
