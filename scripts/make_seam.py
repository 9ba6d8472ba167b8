"""Run the experiments on SEAM in configs/seam, and write their results into docs/results/seam-embedded.

    python scripts/make_seam.py [--config FILE ...] [--set a.b=c ...] [--work FOLDER] [--results FOLDER]

All work is kept in one store, so that the same command continues after a kill. The results folder gets results.json,
report.html, the verdicts on the claims of docs/seam-claims.yaml and the CPU seconds of each session.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path

from pydantic import TypeAdapter

from burnish.config.reading import changed
from burnish.config.seam_study import SeamStudy
from burnish.config.yaml_text import read_yaml
from burnish.seam.study import RESULTS_FILE, run_study
from burnish.seam.study_claims import SeamClaim, judged
from burnish.seam.study_page import REPORT_FILE
from burnish.store.files import pretty, write_atomic

ROOT = Path(__file__).parent.parent
CLAIMS_FILE, COST_FILE = "claims.json", "cost.json"


def run(config: Path, changes: list[str], work: Path, results: Path) -> None:
    """Run one experiment, and write what is committed of it."""
    values = read_yaml(config.read_text(encoding="utf-8"), config.name)
    assert isinstance(values, dict), config
    study = changed(TypeAdapter(SeamStudy), dict(values), config.name, changes)
    began, out = time.process_time(), work / study.name
    found = run_study(study, work / "store", out)
    folder = results / study.name
    folder.mkdir(parents=True, exist_ok=True)
    for name in (RESULTS_FILE, REPORT_FILE):
        shutil.copyfile(out / name, folder / name)
    claims = TypeAdapter(list[SeamClaim]).validate_python(
        read_yaml((ROOT / "docs" / "seam-claims.yaml").read_text(encoding="utf-8"), "seam-claims.yaml")
    )
    verdicts = [judged(claim, found) for claim in claims if not {claim.source, claim.other} - {None, *found.sources}]
    write_atomic(folder / CLAIMS_FILE, pretty([one.model_dump(mode="json") for one in verdicts]))
    cost = folder / COST_FILE
    sessions = json.loads(cost.read_bytes()) if cost.exists() else []
    write_atomic(cost, pretty([*sessions, {"cpu_seconds": round(time.process_time() - began, 1)}]))
    for one in verdicts:
        print(f"{one.verdict}: {one.words} measured {one.measured.value}, interval {one.measured.ci95}")
    print(f"wrote {folder}")


def main() -> None:
    """Run the chosen experiments, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, nargs="+", default=sorted((ROOT / "configs" / "seam").glob("*.yaml")))
    parser.add_argument("--set", dest="changes", action="append", default=[], metavar="A.B=C")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "seam")
    parser.add_argument("--results", type=Path, default=ROOT / "docs" / "results" / "seam-embedded")
    arguments = parser.parse_args()
    for config in arguments.config:
        run(config, arguments.changes, arguments.work, arguments.results)


if __name__ == "__main__":
    main()
