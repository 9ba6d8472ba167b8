"""One of several processes that share a training: `python -m burnish.backends.launched FOLDER`, started by torchrun.

See launching.py for what is in the folder.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from burnish.backends.launching import DONE, JOB, JOBS, RESULT, ROW, ROWS, SharedTraining
from burnish.errors import BurnishError
from burnish.services.parent import die_with
from burnish.store.files import write_atomic

if TYPE_CHECKING:
    from burnish.backends.tracking import Tracking


class Teller:
    """Tells the process that started the training what happens: progress, and lines for people."""

    def __init__(self, label: str) -> None:
        self.label = label
        # What libraries print on stdout goes to stderr from now on.
        self._handle = os.dup(1)
        os.dup2(2, 1)

    def start(self, label: str, total: int, done: int = 0) -> None:
        """Tell that a piece of work begins."""
        self._tell({"start": [label, total, done]})

    def advance(self, amount: int) -> None:
        """Tell that more units are done."""
        self._tell({"advance": amount})

    def say(self, message: str) -> None:
        """Tell a line for people."""
        self._tell({"say": message})

    def _tell(self, what: dict[str, Any]) -> None:
        os.write(self._handle, orjson.dumps(what, option=orjson.OPT_APPEND_NEWLINE))


def train(folder: Path) -> None:
    """Do the part of this process in a training. Raises what the training raises."""
    job = JOBS.validate_json((folder / JOB).read_bytes())
    teller = Teller(job.label)
    with (folder / ROWS).open("rb") as lines:
        rows = [ROW[job.way].validate_json(line) for line in lines]
    # Imported here: a process that has lost its parent by now should not spend seconds on importing torch.
    import torch  # noqa: PLC0415

    from burnish.backends.device import is_first  # noqa: PLC0415
    from burnish.backends.hf import HfBackend  # noqa: PLC0415

    backend = HfBackend(job.execution, teller, job.sources, _tracking(job, teller))
    method: Any = getattr(backend, job.way)
    done = method(job.model, rows, settings=job.settings, seed=job.seed, into=Path(job.into), **job.more)
    if is_first():
        write_atomic(folder / RESULT, DONE[job.way].dump_json(done))
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _tracking(job: SharedTraining, teller: Teller) -> Tracking | None:
    from burnish.backends.tracking import tracking_of  # noqa: PLC0415 few trainings need it

    return tracking_of(job.execution, job.project, teller)


def main() -> None:
    """Train. The argument is the folder of the job. An error is left there."""
    die_with(os.getppid())
    folder, rank = Path(sys.argv[1]), int(os.environ["RANK"])
    try:
        train(folder)
    except Exception as error:
        left = {
            "error": type(error).__name__,
            "meant": isinstance(error, BurnishError),
            "words": str(error) if isinstance(error, BurnishError) else f"{type(error).__name__}: {error}",
            "at": time.time(),
            "traceback": traceback.format_exc(),
        }
        write_atomic(folder / f"error-{rank}.json", orjson.dumps(left))
        # Not by an ordinary end: that would wait for the other processes.
        os._exit(1)


if __name__ == "__main__":
    main()
