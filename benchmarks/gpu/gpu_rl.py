"""RLOO on GSM8K with a checker and with a reward model, and SEAM, on one GPU in one run of at most 580 s.

    PYTHONPATH=site:src:benchmarks python benchmarks/gpu/gpu_rl.py --device cuda --weights parts --data gsm8k

The steps are the parts of benchmarks/rl_smollm2.py with configs/rl-gsm8k-gpu.yaml and larger sizes. Each has its own
time limit, as in gpu_check.py. A part that needs another one which was cut off fails, and says so. **No GPU has run it
yet.** See README.md beside this file.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from gpu_check import PREPARE, Step, main
from gpu_rounds import stages_of
from gpu_setup import Setup, prepare
from rl_smollm2 import Sizes, Work, do
from rl_smollm2_results import measured

CONFIG = Path(__file__).parents[2] / "configs" / "rl-gsm8k-gpu.yaml"
SECONDS = 580
LIMITS = {
    "policy": 90,
    "pairs": 50,
    "reward": 40,
    "seam-adversarial": 20,
    "seam-weaker": 25,
    "mismatch-before": 25,
    "rl-checker": 130,
    "rl-model": 130,
    "mismatch-after": 30,
}
"""Seconds that each part may take on an H100. They are estimates: nothing was measured on a GPU."""
TRAIN_ROWS, TEST_PROMPTS = 1600, 300


def work_of(setup: Setup) -> Work:
    """Return what is made, with this run's share of all rows, prompts and steps."""
    sizes = Sizes(
        pool=setup.count(600, 8),
        tested=setup.count(200, 6),
        steps=setup.count(16, 2),
        worse=setup.count(8, 2),
        samples=setup.count(8, 2),
        batch=setup.count(32, 4),
    )
    cuda = setup.device.type == "cuda"
    changes = [
        f"task.train={setup.count(TRAIN_ROWS, 64)}",
        f"task.test={setup.count(TEST_PROMPTS, 8)}",
        f"decode.max_new_tokens={setup.new_tokens}",
        f"execution.device={setup.device.type}",
        *([] if cuda else ["execution.batch_tokens=auto", "train.batch_size=4", "supervision.train.batch_size=4"]),
    ]
    return Work(place=setup.place / "rl", sizes=sizes, file=CONFIG, changes=tuple(changes))


def part_of(part: str, setup: Setup, report: dict[str, Any]) -> None:
    """Do one part. The report gets the seconds of its stages, peak memory, and what was measured so far."""
    os.environ["SMOLLM2"], os.environ["GSM8K"] = str(setup.model), str(setup.data)
    work = work_of(setup)
    store = work.place / "store"
    before = stages_of(store)
    setup.forget_peak()
    try:
        do(work, [part])
        report["measured"] = {name: found for name, found in measured(work.place).items() if found is not None}
    finally:  # what was finished in time is reported, too
        report["stages"] = [stage for place, stage in stages_of(store).items() if place not in before]
        report["peak_bytes"] = setup.peak_bytes()


def steps_of(weights: Path, report: dict[str, Any]) -> list[Step]:
    """Return the steps in their order. The limits add up to `SECONDS`."""
    first = Step(name=PREPARE, limit=40, run=lambda setup, found: prepare(setup, weights, found))
    parts = [
        Step(name=name, limit=limit, run=lambda setup, found, name=name: part_of(name, setup, found))
        for name, limit in LIMITS.items()
    ]
    return [first, *parts]


if __name__ == "__main__":
    sys.exit(main(steps_of, SECONDS, str(__doc__)))
