"""Kill a node of a Ray cluster (SIGKILL) at random moments, again and again, while a run computes on it.

    python benchmarks/ray_kills.py --kills 10 --train 300 --out docs/results/ray-kills.json

The cluster has two nodes of one core each, on this machine: a head and a second node. The raylet of the second node is
killed, its workers die with it, and it is started again. The run is not started again: it must end by itself, and its
results.json must equal a plain run's byte for byte. If a run ends before all kills are done, the next one begins in an
empty store. It needs Linux, and ray: pip install 'burnish[train,ray]'.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

from bench_output import put
from bench_ray import Cluster, two_nodes

CONFIG = """
name: ray-kills
task: {kind: sums, train: TRAIN, test: 60}
models: {weak: "builtin:weak", strong: "builtin:strong"}
supervision: {annotator: {kind: mixed, other: {kind: likelihood, model: "builtin:judge-3"}}}
train: {epochs: 4, learning_rate: 2e-3, batch_size: 8, lora: null}
decode: {beams: 1, max_new_tokens: 32}
methods: [{kind: sft}, {kind: naive, rounds: 1}, {kind: ilr, rounds: 1}, {kind: dpo, rounds: 1, samples: 2}]
measure: [kl]
seeds: SEEDS
execution: {workers: 2, threads: 1, batch_tokens: 2000}
"""
LATER = 3.0
"""Seconds at most between the stage that a kill waits for and the kill."""
LOST = "its worker on the Ray cluster was lost"
"""What a run says of a stage that it has to compute again."""
FILES = ("results.json", "changes.jsonl")


def start(where: Path, config: Path, address: str | None) -> subprocess.Popen[bytes]:
    """Start a run in an empty folder, on this machine or on a cluster."""
    where.mkdir()
    command = [sys.executable, "-m", "burnish", "run", str(config), "--store", "store", "--out", "out"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if address is not None:
        command += ["--executor", "ray"]
        environment["RAY_ADDRESS"] = address
    with (where / "stderr").open("wb") as errors:
        return subprocess.Popen(command, cwd=where, stdout=subprocess.DEVNULL, stderr=errors, env=environment)


def finished(where: Path) -> int:
    """Count the finished stages of a run."""
    return sum(1 for _ in (where / "store").glob("stages/*/*/manifest.json"))


def moments(kills: int, stages: int, random: Random) -> list[float]:
    """Draw after how many finished stages each kill comes: one in each of as many equal parts of the run, rising.

    Stages are counted and not seconds, so that a faster machine is killed as often. The last sixth is left out, so that
    few runs end before their kills.
    """
    return [stages * 5 / 6 * (number + random.random()) / kills for number in range(kills)]


def kill_often(run: subprocess.Popen[bytes], where: Path, cluster: Cluster, at: Sequence[float], random: Random) -> int:
    """Kill the second node at each of the moments `at`, and start it again. Returns how many kills there were."""
    for kills, moment in enumerate(at):
        while finished(where) < moment and run.poll() is None:
            time.sleep(0.02)
        try:
            run.wait(timeout=random.random() * LATER)
            return kills
        except subprocess.TimeoutExpired:
            cluster.kill_node()
            cluster.start_node()
    return len(at)


def main() -> None:
    """Run on one machine and on the cluster, compare, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--train", type=int, default=400, help="training rows: more rows, longer stages")
    parser.add_argument("--seeds", type=int, default=2, help="seeds of the run, each with all methods")
    parser.add_argument(
        "--apart", type=float, default=15.0, help="the most seconds between a start of the node and a kill"
    )
    parser.add_argument("--seed", type=int, default=0, help="the seed of the moments of the kills")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    random = Random(options.seed)
    with tempfile.TemporaryDirectory() as name, two_nodes() as cluster:
        root = Path(name).resolve()
        config = root / "config.yaml"
        seeds = list(range(options.seeds))
        config.write_text(CONFIG.replace("TRAIN", str(options.train)).replace("SEEDS", str(seeds)))
        plain = root / "plain"
        assert start(plain, config, None).wait() == 0, (plain / "stderr").read_text()
        stages, kills = finished(plain), list[int]()
        lost: list[str] = []
        identical = True
        while sum(kills) < options.kills:
            at = moments(options.kills - sum(kills), stages, random)
            where = root / f"run{len(kills)}"
            run = start(where, config, cluster.address)
            kills.append(kill_often(run, where, cluster, at, random))
            assert run.wait() == 0, (where / "stderr").read_text()
            lost += [line.split(": ")[0] for line in (where / "stderr").read_text().splitlines() if LOST in line]
            identical &= all(
                (where / "out" / file).read_bytes() == (plain / "out" / file).read_bytes() for file in FILES
            )
    assert identical, "results differ"
    result = {
        "ray": importlib.metadata.version("ray"),
        "nodes": 2,
        "kills": sum(kills),
        "kills_in_each_run": kills,
        "runs_on_the_cluster_that_ended_by_themselves": len(kills),
        "results_identical": identical,
        "stages_of_a_run": stages,
        "stages_that_were_lost_and_computed_again": len(lost),
        "lost": sorted(lost),
    }
    put(result, options.out)


if __name__ == "__main__":
    main()
