"""Plays a process of a shared training, for tests: `python -m played_rank FOLDER`, started by torchrun.

The environment variable PLAYED says what it does: it trains and leaves how many weights it holds, or it sleeps, or the
second one kills itself.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from burnish.backends import launched

TRAIN = launched.train


def left() -> Path:
    """The file that this process leaves."""
    return Path(os.environ["LEFT"]) / os.environ["RANK"]


def train_and_tell(folder: Path) -> None:
    from burnish.backends import train

    together = train.whole_weights

    def told(trainer: Any) -> dict[str, Any]:
        weights = [one.to_local() if hasattr(one, "to_local") else one for one in trainer.model.parameters()]
        left().write_text(str(sum(one.numel() for one in weights)))
        return together(trainer)

    train.whole_weights = told
    TRAIN(folder)


def played(folder: Path) -> None:
    rank = os.environ["RANK"]
    if os.environ["PLAYED"] == "trains":
        train_and_tell(folder)
        return
    if os.environ["PLAYED"] == "second is killed" and rank == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    left().write_text(str(os.getpid()))
    time.sleep(600)


if __name__ == "__main__":
    launched.train = played
    launched.main()
