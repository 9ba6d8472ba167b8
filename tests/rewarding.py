"""Prompts, a policy and a reward model on the fake backend, for tests of SEAM."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from refinement import PROBLEMS, RIGHT

from burnish.backends.fake import FakeBackend
from burnish.cli import main
from burnish.config import AdversarialSource, DataConfig, ModelConfig, PerturbationSettings
from burnish.protocols import Score
from burnish.seam.options import checker_of
from burnish.seam.scoring import Computed, ScoreOptions, compute

STRONG = ModelConfig(source="builtin:strong")
ADVERSARIAL = AdversarialSource(kind="adversarial")


def prompts(where: Path, count: int = 20, **more: Any) -> Path:
    """Write prompts with gold answers."""
    where.mkdir(exist_ok=True)
    path = where / "prompts.jsonl"
    rows = [{"id": f"p{n:02d}", "question": p.question, "answer": p.solution} for n, p in enumerate(PROBLEMS[:count])]
    path.write_text("".join(json.dumps(row | more) + "\n" for row in rows))
    return path


class Misjudging(FakeBackend):
    """Rewards answers by the last digit of their final number, so that it prefers some wrong ones."""

    def rewards(self, model: Any, rows: Any, done: Any) -> Any:
        for batch in self._batches("rewards", rows, done):
            yield [Score(id=row.id, value=float(row.completion[-1]), tokens=3) for row in batch]


def scored(
    where: Path, source: PerturbationSettings = ADVERSARIAL, backend: FakeBackend | None = None, **more: Any
) -> Computed:
    given: dict[str, Any] = {
        "data": DataConfig(source=str(prompts(where))),
        "policy": STRONG,
        "reward": STRONG,
        "source": source,
        "most": 4,
        "checker": checker_of("sums"),
    }
    chosen = backend or Misjudging(RIGHT)
    return compute(ScoreOptions(**(given | more)), where / "store", lambda: chosen)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["seam", *arguments])
