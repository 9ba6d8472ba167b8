"""Copy a results folder without anybody's texts: what may be published where data have no licence for it, or do harm.

    python scripts/publish_results.py runs/NAME docs/results/NAME

Results, config, timings, figures and the grades of held-out prompts are copied as they are. Of the changes, ids,
verdicts and grades stay, so that `burnish report` still reads the folder.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from burnish.results import (
    CHANGES_FILE,
    CONFIDENCE_FILE,
    CONFIG_FILE,
    GRADES_FILE,
    RESULTS_FILE,
    TIMINGS_FILE,
    read_changes,
)
from burnish.store.files import write_atomic
from burnish.store.json_rows import dump_line

LEFT_OUT: dict[str, str] = dict.fromkeys(("prompt", "before", "after"), "(left out)")
"""The fields of a change that hold what somebody wrote."""


def publish(source: Path, into: Path) -> None:
    """Copy what holds no text."""
    into.mkdir(parents=True, exist_ok=True)
    for name in (RESULTS_FILE, CONFIG_FILE, TIMINGS_FILE):
        shutil.copyfile(source / name, into / name)
    for name in (CONFIDENCE_FILE, GRADES_FILE):  # folders of earlier versions have none
        if (source / name).exists():
            shutil.copyfile(source / name, into / name)
    shutil.copytree(source / "figures", into / "figures", dirs_exist_ok=True)
    kept = (change.model_copy(update=LEFT_OUT) for change in read_changes(source))
    write_atomic(into / CHANGES_FILE, b"".join(dump_line(change.model_dump(mode="json")) for change in kept))


if __name__ == "__main__":
    publish(Path(sys.argv[1]), Path(sys.argv[2]))
