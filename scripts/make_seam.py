"""Run the experiments on SEAM in configs/seam, and write their results into docs/results/seam-embedded.

    python scripts/make_seam.py [--config FILE ...] [--set a.b=c ...] [--work FOLDER] [--results FOLDER]

All work is kept in one store, so that the same command continues after a kill. The folder of each experiment gets
results.json, report.html, the verdicts on the claims of docs/seam-claims.yaml and the CPU seconds of each session. Only
those of a session that is killed with SIGKILL are lost. One page joins all experiments.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from publish_results import publish
from pydantic import TypeAdapter

import burnish
from burnish.config import Config
from burnish.config.reading import changed
from burnish.config.seam_study import AnyStudy, SeamStudy
from burnish.config.yaml_text import read_yaml
from burnish.report.text import plural
from burnish.seam.experiments_page import (
    REPORT_FILE,
    VERDICT_WORDS,
    AnyResults,
    StudyPart,
    measured_words,
    part_of,
    render,
)
from burnish.seam.study_claims import SeamClaim
from burnish.seam.study_results import RESULTS_FILE
from burnish.seam.study_run import run_study, verdicts_on
from burnish.store.files import pretty, write_atomic

ROOT = Path(__file__).parent.parent
CLAIMS_FILE, COST_FILE = "claims.json", "cost.json"


def run(config: Path, changes: list[str], work: Path, results: Path) -> None:
    """Run one experiment, and write what is committed of it."""
    values = read_yaml(config.read_text(encoding="utf-8"), config.name)
    assert isinstance(values, dict), config
    name = str(values["name"])
    with counted(results / name / COST_FILE):
        if "kind" in values:
            study = changed(TypeAdapter[SeamStudy](AnyStudy), dict(values), config.name, changes)
            found = run_study(study, work / "store", work / name, None, registered())
            commit_study(found, work / name, results / name)
        else:
            # An experiment of `burnish run`. Its claims are among those of docs/claims.yaml.
            experiment = changed(TypeAdapter(Config), dict(values), config.name, changes)
            burnish.run(experiment, work / name, work / "store")
            publish(work / name, results / name)
    print(f"wrote {results / name}")


@contextmanager
def counted(log: Path) -> Generator[None, None, None]:
    """Add the CPU seconds of what is done in this block to a log, also if an error ends it."""
    began = cpu_seconds()
    try:
        yield
    finally:
        sessions = json.loads(log.read_bytes()) if log.exists() else []
        log.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(log, pretty([*sessions, {"cpu_seconds": round(cpu_seconds() - began, 1)}]))


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of the processes that it started and that have ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def cost_words(results: Path) -> str:
    """Say how many CPU hours all logged sessions took."""
    logs = [json.loads(file.read_bytes()) for file in sorted(results.glob(f"*/{COST_FILE}"))]
    seconds = [session["cpu_seconds"] for sessions in logs for session in sessions]
    hours = sum(seconds) / 3600
    return f"{hours:.2f} CPU hours in {plural(len(seconds), 'session')} of {plural(len(logs), 'experiment')}"


def commit_study(found: AnyResults, work: Path, folder: Path) -> None:
    """Copy the results and the page of an experiment, and write and print the verdicts on its claims."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in (RESULTS_FILE, REPORT_FILE):
        shutil.copyfile(work / file, folder / file)
    verdicts = verdicts_on(found, registered())
    write_atomic(folder / CLAIMS_FILE, pretty([one.model_dump(mode="json") for one in verdicts]))
    for one in verdicts:
        print(f"{VERDICT_WORDS[one.verdict]}: {one.words} Measured: {measured_words(one)}.")


def read_study(folder: Path) -> AnyResults:
    """Read the results of an experiment."""
    return TypeAdapter[AnyResults](AnyResults).validate_json((folder / RESULTS_FILE).read_bytes())


def write_joined(work: Path, results: Path) -> None:
    """Write one page of all experiments that have results."""
    parts: list[StudyPart] = []
    for file in sorted(results.glob(f"*/{CLAIMS_FILE}")):
        found = read_study(file.parent)
        # The page of an experiment on the mismatch needs its tables, which are not committed.
        if (work / found.name).exists():
            parts.append(part_of(found, work / found.name, verdicts_on(found, registered())))
    if parts:
        page = render("SEAM in the embedded world", parts)
        write_atomic(results / REPORT_FILE, page.encode("utf-8", errors="backslashreplace"))
        print(f"wrote {results / REPORT_FILE}")


def registered() -> list[SeamClaim]:
    """Return the claims of docs/seam-claims.yaml."""
    text = (ROOT / "docs" / "seam-claims.yaml").read_text(encoding="utf-8")
    return TypeAdapter(list[SeamClaim]).validate_python(read_yaml(text, "seam-claims.yaml"))


def _stopped(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def main() -> None:
    """Run the chosen experiments, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, nargs="+", default=sorted((ROOT / "configs" / "seam").glob("*.yaml")))
    parser.add_argument("--set", dest="changes", action="append", default=[], metavar="A.B=C")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "seam")
    parser.add_argument("--results", type=Path, default=ROOT / "docs" / "results" / "seam-embedded")
    arguments = parser.parse_args()
    # Without this, SIGTERM ends the program at once, and its CPU seconds are lost.
    signal.signal(signal.SIGTERM, _stopped)
    for config in arguments.config:
        run(config, arguments.changes, arguments.work, arguments.results)
    write_joined(arguments.work, arguments.results)
    print(cost_words(arguments.results))


if __name__ == "__main__":
    main()
