"""Kill a node of a Ray cluster (SIGKILL) at random moments, again and again, while a run computes on it.

    python benchmarks/ray_kills.py --kills 10 --out docs/results/ray-kills.json

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


def kill_often(run: subprocess.Popen[bytes], where: Path, cluster: Cluster, seconds: list[float]) -> int:
    """Kill the second node until the run ends. Each kill takes the next number of `seconds` to wait for. Returns how
    many kills there were."""
    kills = 0
    while seconds and run.poll() is None:
        # Before its first stage a run has nothing to lose.
        if finished(where) == 0:
            time.sleep(0.1)
            continue
        try:
            run.wait(timeout=seconds[0])
        except subprocess.TimeoutExpired:
            seconds.pop(0)
            cluster.kill_node()
            kills += 1
            cluster.start_node()
    return kills


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
    seconds = [random.uniform(1.0, options.apart) for _ in range(options.kills)]
    with tempfile.TemporaryDirectory() as name, two_nodes() as cluster:
        root = Path(name).resolve()
        config = root / "config.yaml"
        seeds = list(range(options.seeds))
        config.write_text(CONFIG.replace("TRAIN", str(options.train)).replace("SEEDS", str(seeds)))
        plain = root / "plain"
        assert start(plain, config, None).wait() == 0, (plain / "stderr").read_text()
        kills: list[int] = []
        lost: list[str] = []
        identical = True
        while seconds:
            where = root / f"run{len(kills)}"
            run = start(where, config, cluster.address)
            kills.append(kill_often(run, where, cluster, seconds))
            assert run.wait() == 0, (where / "stderr").read_text()
            lost += [line.split(": ")[0] for line in (where / "stderr").read_text().splitlines() if LOST in line]
            identical &= all(
                (where / "out" / file).read_bytes() == (plain / "out" / file).read_bytes() for file in FILES
            )
        stages = finished(plain)
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
