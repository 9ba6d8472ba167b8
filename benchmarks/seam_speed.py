"""Seconds of `burnish seam score` on 1,000 prompts with 8 worse answers each, with built-in models.

    python benchmarks/seam_speed.py --out docs/results/seam-speed.json

Edits of the gold answer are the worse answers. The whole command is counted: the start of Python, the edits, the scores
of both models, the table and the page. The reward model is trained before, on pairs of other problems, and is not
counted.
The command runs on one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench_output import put
from bench_time import Spent

from burnish.tasks.sums_world import generate

BURNISH = [sys.executable, "-m", "burnish"]
WORSE, PAIRS = 8, 200


def ran(arguments: Sequence[str], where: Path) -> Spent:
    """Run a command of burnish in the folder `where`, and return what it cost."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    subprocess.run([*BURNISH, *arguments], cwd=where, env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Spent(cpu=cpu, wall=time.perf_counter() - start)


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_inputs(where: Path, prompts: int) -> None:
    """Write prompts with gold answers, and pairs of other problems for the reward model."""
    problems = generate(prompts + PAIRS, seed=0)
    asked, learned = problems[:prompts], problems[prompts:]
    write_rows(where / "prompts.jsonl", [{"question": one.question, "answer": one.solution} for one in asked])
    pairs = [{"prompt": one.question, "chosen": one.solution, "rejected": f"#### {one.answer + 1}"} for one in learned]
    write_rows(where / "pairs.jsonl", pairs)


def main() -> None:
    """Score the prompts, and print what it cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        where = Path(name)
        write_inputs(where, options.prompts)
        ran(["reward", "train", "pairs.jsonl", "--base", "builtin:strong", "--epochs", "1", "--out", "rm"], where)
        models = ["--policy", "builtin:strong", "--reward", "rm", "--checker", "sums", "--n", str(WORSE)]
        spent = ran(["seam", "score", "prompts.jsonl", *models, "--top", "0"], where)
        lines = (where / "seam" / "table.jsonl").read_text(encoding="utf-8").splitlines()
    found = [len(json.loads(line)["worse"]) for line in lines]
    put(
        {
            "prompts": len(found),
            "worse_answers": sum(found),
            "cpu_seconds": round(spent.cpu, 1),
            "wall_seconds": round(spent.wall, 1),
        },
        options.out,
    )


if __name__ == "__main__":
    main()
