"""A study that is served at once on generated problems, for a look."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from burnish.config.study import StudyKind
from burnish.people.study.folder import new_study
from burnish.people.web.serving import ServedPages, Where, serve

_ITEMS = 12
_SETTINGS = "per_sitting: 4\ntitle: Demo\nwanted: 3\n"


def demo_rows(count: int, seed: int) -> list[dict[str, str]]:
    """Return sums in words, each with a right and a wrong answer in a random order."""
    generator = np.random.default_rng(seed)
    rows: list[dict[str, str]] = []
    for number in range(count):
        have, more = (int(value) for value in generator.integers(2, 60, 2))
        right = f"{have} + {more} = {have + more}. The answer is {have + more}."
        wrong = f"{have} + {more} = {have + more + 1}. The answer is {have + more + 1}."
        first, second = (right, wrong) if generator.integers(2) else (wrong, right)
        prompt = f"Mia has {have} stamps. She gets {more} more. How many stamps does she have now?"
        rows.append({"id": f"demo-{number}", "prompt": prompt, "first": first, "second": second})
    return rows


def serve_demo(kind: StudyKind, port: int, admin_port: int, ready: Callable[[ServedPages], None]) -> None:
    """Serve a study in a temporary folder until SIGINT or SIGTERM. The link has any word as the person's id."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in demo_rows(_ITEMS, 0)))
        (folder / "settings.yaml").write_text(_SETTINGS)
        study = new_study(folder / "demo", folder / "rows.jsonl", kind, folder / "settings.yaml")
        serve(study, Where(port=port, admin_port=admin_port), ready)
