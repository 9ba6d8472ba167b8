"""A worker of a run on the fake backend, which may die: `python fake_worker.py RULE... PID BRIEF`.

The rule `die:N:WORDS:FILE` kills the worker with SIGKILL before it computes a stage whose label has the WORDS, as long
as the FILE has fewer than N bytes. Each death adds one. `fault:WORDS` raises an error that burnish does not know.
`wait:WORDS:FILE` writes the process id into the FILE and waits for ever.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from experiment import fake

from burnish.lab import workers
from burnish.lab.pool import Assignment


def main() -> None:
    """Work by the rules."""
    *rules, parent, brief = sys.argv[1:]
    sys.argv[1:] = [parent, brief]
    compute = workers.Worker.compute

    def by_rules(self: workers.Worker, assignment: Assignment) -> float:
        label = self.course.stages[assignment.fingerprint].label
        for rule in rules:
            kind, *values = rule.split(":")
            if kind == "fault" and values[0] in label:
                raise ZeroDivisionError("no luck")
            if kind == "wait" and values[0] in label:
                with Path(values[1]).open("a") as file:
                    file.write(f"{os.getpid()}\n")
                time.sleep(3600)
            if kind == "die" and values[1] in label:
                deaths = Path(values[2])
                if not deaths.exists() or deaths.stat().st_size < int(values[0]):
                    with deaths.open("a") as file:
                        file.write(".")
                    os.kill(os.getpid(), signal.SIGKILL)
        return compute(self, assignment)

    workers.Worker.compute = by_rules
    workers.opener_of = lambda *_: fake  # type: ignore[assignment]
    workers.main()


if __name__ == "__main__":
    main()
