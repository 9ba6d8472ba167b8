"""Trains a built-in model in each way. A test runs it in one process, and torchrun in two.

torchrun --standalone --nproc_per_node 2 training_process.py STARTS INTO
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from embedded import PROBLEMS, QUICK, ROWS, backend, base, user

from burnish.backends import train
from burnish.backends.device import is_first
from burnish.config import LoraConfig, Objective
from burnish.types import Artifact, PairRow, PreferenceRow

# 64 rows: the last step of an epoch has 16 rows, so it has two full passes and one that is shorter or empty.
SHORT_LAST_STEP = QUICK.model_copy(update={"batch_size": 24, "epochs": 2})
ONE_PASS_A_STEP = QUICK.model_copy(update={"lora": LoraConfig(r=4, alpha=8)})
HEAD = QUICK.model_copy(update={"batch_size": 24})
PAIRS = [
    (
        PairRow(id=f"{i}:ab", prompt=user(p.question), first="#### 1", second=p.solution, second_better=True),
        PairRow(id=f"{i}:ba", prompt=user(p.question), first=p.solution, second="#### 1", second_better=False),
    )
    for i, p in enumerate(PROBLEMS)
]

# The last step of an epoch has one pair.
OPTIMIZED = QUICK.model_copy(update={"batch_size": 8, "epochs": 2, "learning_rate": 2e-4})
PREFERENCES = [
    PreferenceRow(id=f"{i}#0", prompt=user(p.question), chosen=p.solution, rejected=f"#### {p.answer + 1}")
    for i, p in enumerate(PROBLEMS[:17])
]


class Steps:
    """Counts the steps of the last training."""

    def __init__(self) -> None:
        self.done = 0

    def start(self, label: str, total: int, done: int = 0) -> None:
        self.done = 0

    def advance(self, amount: int) -> None:
        self.done += amount


def full(start: Artifact, into: Path, steps: Steps) -> None:
    backend(steps, micro_batch=8).train(start, ROWS, SHORT_LAST_STEP, 0, into, checkpoints=2)


def adapter(start: Artifact, into: Path, steps: Steps) -> None:
    backend(steps).train(start, ROWS, ONE_PASS_A_STEP, 0, into)


def head(start: Artifact, into: Path, steps: Steps) -> None:
    backend(steps, micro_batch=8).train_classifier(start, PAIRS, HEAD, 0, into)


def preferences(start: Artifact, into: Path, steps: Steps) -> None:
    policy = into / "policy"
    policy.mkdir(exist_ok=True)
    backend().train(start, ROWS, QUICK, 0, policy)
    model = Artifact(path=str(policy), kind="train", fingerprint="policy")
    trained = backend(steps, micro_batch=3).train_preferences(model, PREFERENCES, OPTIMIZED, Objective(), 0, into)
    if is_first():
        (into.parent / "curve.json").write_text(json.dumps([asdict(point) for point in trained.curve]))


def unserved(model: object) -> bool:
    return False


def by_trl(start: Artifact, into: Path, steps: Steps) -> None:
    served, train.serves = train.serves, unserved
    try:
        backend(steps, micro_batch=4).train(start, ROWS, QUICK, 0, into, checkpoints=1)
    finally:
        train.serves = served


WAYS: dict[str, Callable[[Artifact, Path, Steps], None]] = {
    "full": full,
    "adapter": adapter,
    "head": head,
    "preferences": preferences,
    "by_trl": by_trl,
}


def main(starts: Path, into: Path) -> None:
    """Train in each way below `into`. The first process writes down what each training did."""
    for name, way in WAYS.items():
        steps = Steps()
        way(Artifact(path=str(starts), kind="base", fingerprint="base"), into / name, steps)
        files = sorted(path.relative_to(into / name).as_posix() for path in (into / name).rglob("*.safetensors"))
        assert files, f"{name}: a process went on before the files were there"
        if is_first():
            (into / f"{name}.json").write_text(json.dumps({"steps": steps.done, "files": files}))
        else:
            assert steps.done == 0, f"{name}: two processes showed their progress"


def prepared(where: Path) -> tuple[Path, Path]:
    """Return the folder of the base model, and one with an empty folder for each way."""
    starts, into = where / "start", where / "into"
    base(starts)
    for name in WAYS:
        (into / name).mkdir(parents=True)
    return starts, into


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
