"""Everything that needs a GPU, measured in one run of at most six minutes. See README.md beside this file.

    python benchmarks/gpu/gpu_check.py --device cuda --weights parts --data gsm8k --out gpu.json
    python benchmarks/gpu/gpu_check.py --device cpu --share 0.05 --seconds 3000 --weights FILE.gguf --data gsm8k

Each step has its own time limit. The JSON is written again after each step, so a run that is cut off keeps what it
measured. A step that fails or runs out of time does not stop the others. The exit code is 1 if a step did not end well
or did not agree with the CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import gpu_agreement
import gpu_rounds
import gpu_speed
import torch
from gpu_setup import Setup, prepare

from burnish.backends.machine import versions

SECONDS = 360
PREPARE = "prepare"


class TooLongError(BaseException):
    """A step took longer than it may. It is no Exception, so that nothing on the way takes it for something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: its name, the seconds that it may take on an H100, and what fills its report as it goes."""

    name: str
    limit: int
    run: Callable[[Setup, dict[str, Any]], None]


def steps_of(weights: Path, report: dict[str, Any]) -> list[Step]:
    """Return the steps in their order. The limits add up to `SECONDS`.

    `report` is the report of all steps, in which training finds the number of parameters.
    """

    def train(setup: Setup, found: dict[str, Any]) -> None:
        gpu_speed.training(setup, report["steps"][PREPARE]["parameters"], found)

    return [
        Step(name=PREPARE, limit=40, run=lambda setup, found: prepare(setup, weights, found)),
        Step(name="agreement", limit=45, run=gpu_agreement.agreement),
        Step(name="samples", limit=40, run=gpu_agreement.samples),
        Step(name="training", limit=45, run=train),
        Step(name="generation", limit=30, run=gpu_speed.generation),
        Step(name="ILR round", limit=95, run=gpu_rounds.round_of("ilr")),
        Step(name="DPO round", limit=65, run=gpu_rounds.round_of("dpo")),
    ]


@contextmanager
def limited(seconds: float) -> Generator[None, None, None]:
    """Raise TooLongError after a number of seconds."""

    def late(*_: object) -> None:
        raise TooLongError

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def tried(step: Step, setup: Setup, found: dict[str, Any], limit: float) -> None:
    """Run a step within its limit. `found` gets what it reports, its state and its seconds."""
    started = time.monotonic()
    found |= {"state": "cut off", "limit_seconds": round(limit, 1)}
    try:
        with limited(limit):
            step.run(setup, found)
        found["state"] = "done"
    except TooLongError:
        pass  # the state says it
    except Exception as error:  # whatever it is, the other steps go on
        found["state"] = f"failed: {type(error).__name__}: {str(error)[:500]}"
    found["seconds"] = round(time.monotonic() - started, 1)


StepsOf: TypeAlias = Callable[[Path, dict[str, Any]], list[Step]]
"""Makes the steps from the weights and the report of all steps."""


def check(options: argparse.Namespace, place: Path, steps: StepsOf, seconds: int) -> dict[str, Any]:
    """Run all steps, and write the report after each of them. `seconds` is what they take on an H100 at most."""
    report = facts(options) | {"steps": {}}
    setup = Setup(
        device=torch.device(options.device),
        share=options.share,
        new_tokens=options.new_tokens,
        data=options.data,
        place=place,
    )
    started = time.monotonic()
    # The limits are those of an H100. A run with more time gives each step more.
    patience = max(1.0, options.seconds / seconds)
    for step in steps(options.weights, report):
        left = options.seconds - (time.monotonic() - started)
        found: dict[str, Any] = {}
        report["steps"][step.name] = found
        if left <= 0:
            found["state"] = "no time left"
        else:
            tried(step, setup, found, min(step.limit * patience, left))
        print(f"{step.name}: {found['state']}, {found.get('seconds', 0)} s", file=sys.stderr, flush=True)
        report["seconds"] = round(time.monotonic() - started, 1)
        write(report, options.out)
    return report


def write(report: dict[str, Any], out: Path | None) -> None:
    """Write the report, whole or not at all."""
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        beside = out.with_name(f"{out.name}.unfinished")
        beside.write_text(f"{json.dumps(report, indent=2)}\n", encoding="utf-8")
        beside.replace(out)


def facts(options: argparse.Namespace) -> dict[str, Any]:
    """Return where and with what the check ran."""
    cuda = options.device == "cuda"
    trial = {} if cuda else {"trial": "on a CPU: it shows that the script works, and says nothing about a GPU"}
    return {
        **trial,
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "share": options.share,
        "new_tokens": options.new_tokens,
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions(),
    }


def agrees(report: Any) -> bool:
    """Say whether nothing in a report says that it does not agree."""
    if isinstance(report, dict):
        return report.get("agrees", True) and all(map(agrees, report.values()))
    return True


def main(steps: StepsOf = steps_of, seconds: int = SECONDS, described: str | None = __doc__) -> int:
    """Check, print JSON. `seconds` is the most that the whole run may take if the command line does not say it."""
    parser = argparse.ArgumentParser(description=described, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--weights", type=Path, required=True, help="a GGUF file, its parts, or a model's folder")
    parser.add_argument("--data", type=Path, required=True, help="GSM8K: a folder with train and test .jsonl (or .gz)")
    parser.add_argument("--share", type=float, default=1.0, help="the share of all rows and prompts")
    parser.add_argument("--new-tokens", type=int, default=160, help="the most tokens of an answer in the rounds")
    parser.add_argument("--seconds", type=int, default=seconds, help="the most seconds of the whole run")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch finds no CUDA device here; try --device cpu with a small --share")
    if not 0 < options.share <= 1:
        parser.error(f"--share {options.share}: give more than 0 and at most 1")
    for name in ("weights", "data"):
        if not getattr(options, name).exists():
            parser.error(f"--{name} {getattr(options, name)}: does not exist")
    with tempfile.TemporaryDirectory() as place:
        report = check(options, Path(place) / "work", steps, seconds)
    print(json.dumps(report, indent=2))
    return 0 if agrees(report) and all(step["state"] == "done" for step in report["steps"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
