"""Let two hosts compute one experiment in one bucket at the same time, and kill one of them again and again (SIGKILL).

    python benchmarks/bucket_kills.py --kills 10 --train 160 --out docs/results/bucket-kills.json

The hosts are two `burnish run` commands of the same config, with two worker processes, a cache and a results folder
each. The bucket is played by moto's server. The first host is left alone. On the second one, a kill hits in turn the
command itself, which is then started again, and one of its workers, which the command must replace. If a run ends
before all kills are done, the next one begins at an empty prefix of the bucket.

Both results must equal a plain local run's byte for byte, no finished stage may be written a second time, and the key
of the bucket may be in no object, file or message. At the end the other commands are tried on the bucket. It needs
Linux, and moto (the extra `dev`).
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random

from bench_bucket import BUCKET, credentials, s3_server
from bench_output import put
from kills import finished, kill, living

from burnish.store.bucket import Bucket, open_bucket

SECRET = "sEcReT/0fTheBucket+neverWritten"
LATER = 3.0
"""Seconds at most between the begin of a stage, for which a kill waits, and the kill: into that stage, an upload, or
one of the next stages."""
PATIENCE = 120.0
"""Seconds in which the workers of a killed command must die. One that just starts dies after its imports."""
CONFIG = """
name: bucket-kills
task: {kind: sums, train: TRAIN, test: 40}
models: {weak: "builtin:weak", strong: "builtin:strong"}
supervision: {annotator: {kind: mixed, other: {kind: likelihood, model: "builtin:judge-3"}}}
train: {epochs: 4, learning_rate: 2e-3, batch_size: 8, lora: null}
decode: {beams: 1, max_new_tokens: 32}
methods: [{kind: sft}, {kind: ilr, rounds: 1}, {kind: dpo, rounds: 1, samples: 2}]
seeds: [0, 1]
execution: {workers: 2, threads: 1, batch_tokens: 2000}
"""
FILES = ("results.json", "changes.jsonl")


@dataclass
class Host:
    """A folder that acts as a host: its cache, its results, and what it says."""

    where: Path
    config: Path
    store: str
    process: subprocess.Popen[bytes] | None = None
    # How long its messages were at its last start, or when a worker was killed.
    seen: int = 0

    def said_so_far(self) -> int:
        """Return the length of all messages in bytes."""
        return (self.where / "stderr").stat().st_size if (self.where / "stderr").exists() else 0

    def computes(self) -> bool:
        """Wait until a worker has begun a stage since the last start or kill. Return False if the run ended."""
        while self.process is not None and self.process.poll() is None:
            with (self.where / "stderr").open("rb") as messages:
                messages.seek(self.seen)
                if b": started" in messages.read():
                    return True
            time.sleep(0.05)
        return False

    def start(self) -> None:
        """Start the run, or go on with it."""
        self.where.mkdir(exist_ok=True)
        self.seen = self.said_so_far()
        command = [sys.executable, "-m", "burnish", "run", str(self.config), "--store", self.store, "--out", "out"]
        with (self.where / "stderr").open("ab") as errors:
            self.process = subprocess.Popen(
                command,
                cwd=self.where,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env={**os.environ, "BURNISH_CACHE": str(self.where / "cache"), "OMP_NUM_THREADS": "1"},
            )

    def said(self, *arguments: str) -> str:
        """Run another command on the same store. Returns its stdout."""
        done = subprocess.run(
            [sys.executable, "-m", "burnish", *arguments, "--store", self.store],
            cwd=self.where,
            env={**os.environ, "BURNISH_CACHE": str(self.where / "cache")},
            capture_output=True,
            text=True,
            check=False,
        )
        with (self.where / "stderr").open("a") as errors:
            errors.write(done.stdout + done.stderr)
        assert done.returncode == 0, done.stderr
        return done.stdout


@dataclass
class Kills:
    """What was killed, and when each finished stage was written, as it was seen after each kill."""

    commands: int = 0
    workers: int = 0
    manifests: dict[str, datetime] = field(default_factory=dict)

    @property
    def all(self) -> int:
        """The number of kills."""
        return self.commands + self.workers

    def look(self, bucket: Bucket) -> None:
        """Remember when finished stages were written, and check that none was written a second time."""
        for key, (_, written) in bucket.listed("manifests/").items():
            place = f"{bucket.url}/{key}"
            assert self.manifests.setdefault(place, written) == written, f"{place} was written again"


def kill_often(host: Host, bucket: Bucket, most: int, random: Random, kills: Kills) -> None:
    """Kill the host when it computes, and start it again, until its run ends or there were `most` kills."""
    host.start()
    while kills.all < most and host.computes():
        time.sleep(random.random() * LATER)
        process = host.process
        assert process is not None
        workers = [pid for pid in living(host.where) if pid != process.pid]
        if process.poll() is not None:
            break
        if kills.all % 2 and workers:
            os.kill(random.choice(workers), signal.SIGKILL)
            host.seen = host.said_so_far()
            kills.workers += 1
        else:
            kill(process, host.where, PATIENCE)
            kills.commands += 1
            host.start()
        kills.look(bucket)
    assert host.process is not None
    assert host.process.wait() == 0, (host.where / "stderr").read_text()


def compete(root: Path, number: int, most: int, random: Random, kills: Kills) -> tuple[Host, Host]:
    """Let two hosts compute the same at an empty prefix, with kills of the second one. Returns both."""
    store = f"s3://{BUCKET}/run{number}"
    first, second = (Host(root / f"{name}{number}", root / "config.yaml", store) for name in ("first", "second"))
    bucket = open_bucket(store)
    first.start()
    kill_often(second, bucket, most, random, kills)
    assert first.process is not None
    assert first.process.wait() == 0, (first.where / "stderr").read_text()
    kills.look(bucket)
    return first, second


def computed(host: Host) -> int:
    """Count the stages that a host said it had computed. Of these, the other host may have been first with some."""
    return len(re.findall(r"^\[\d+/\d+\] .*: finished in ", (host.where / "stderr").read_text(), re.MULTILINE))


def commands_on(host: Host, root: Path) -> dict[str, bool | int]:
    """Try the other commands on the bucket, as a third host with an empty cache."""
    third, bucket = Host(root / "third", host.config, host.store), open_bucket(host.store)
    third.where.mkdir()
    explained = third.said("explain", str(host.config))
    dry = third.said("run", str(host.config), "--dry-run")
    watched = json.loads(third.said("workers", "--json"))
    before = json.loads(third.said("gc", "--json"))["removed"]
    stages = len(bucket.listed("manifests/"))
    for folder in root.glob("*/out"):
        shutil.rmtree(folder)
    freed = json.loads(third.said("gc", "--json"))["removed"]
    return {
        "explain_and_dry_run_have_nothing_to_run": " 0 to run" in explained and " 0 to run" in dry,
        "attempts_that_workers_shows_at_the_end": len(watched["attempts"]),
        "stages_that_gc_frees_while_the_results_folders_exist": sum(one["name"] != "files" for one in before),
        "stages_before_gc": stages,
        "things_that_gc_frees_without_results_folders": len(freed),
        "finished_stages_after_gc": len(bucket.listed("manifests/")),
        "objects_after_gc": len(bucket.listed("")),
    }


def check_no_key(root: Path, runs: int) -> int:
    """Check that the key is in no object and no file. Returns how many of them were read."""
    buckets = [open_bucket(f"s3://{BUCKET}/run{number}") for number in range(runs)]
    objects = [bucket.read(key) or b"" for bucket in buckets for key in bucket.listed("")]
    files = [path.read_bytes() for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    assert not [data for data in (*objects, *files) if SECRET.encode() in data], "the key was written"
    return len(objects) + len(files)


def main() -> None:
    """Run locally and on the bucket, compare, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--train", type=int, default=160, help="training rows: more rows, longer stages")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the moments of the kills")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    random, kills, runs, identical = Random(options.seed), Kills(), 0, True
    with tempfile.TemporaryDirectory() as name, s3_server() as url:
        root = Path(name).resolve()
        os.environ |= credentials(url, SECRET)
        (root / "config.yaml").write_text(CONFIG.replace("TRAIN", str(options.train)))
        plain = Host(root / "plain", root / "config.yaml", "store")
        plain.start()
        assert plain.process is not None
        assert plain.process.wait() == 0, (plain.where / "stderr").read_text()
        stages, shares = finished(plain.where / "store"), list[list[int]]()
        hosts = (plain, plain)
        while kills.all < options.kills:
            hosts = compete(root, runs, options.kills, random, kills)
            shares.append([computed(host) for host in hosts])
            runs += 1
            identical &= all(
                (host.where / "out" / file).read_bytes() == (plain.where / "out" / file).read_bytes()
                for file in FILES
                for host in hosts
            )
        assert identical, "results differ"
        read = check_no_key(root, runs)
        result = {
            "moto": importlib.metadata.version("moto"),
            "hosts": 2,
            "workers_of_each_host": 2,
            "kills_of_the_command": kills.commands,
            "kills_of_a_worker": kills.workers,
            "runs": runs,
            "results_identical_to_a_local_run": identical,
            "stages_of_a_run": stages,
            "stages_that_each_host_computed_in_each_run": shares,
            "finished_stages_that_were_never_written_again": len(kills.manifests),
            "objects_and_files_searched_for_the_key": read,
            **commands_on(hosts[1], root),
        }
    put(result, options.out)


if __name__ == "__main__":
    main()
