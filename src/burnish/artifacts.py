"""What each kind of artifact holds, and how it is read: one file name and one row type a kind."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson

from burnish.store import read_rows
from burnish.types import Artifact, Comparison, Demonstration, Example, Preference, Reason, Refinement

DEMONSTRATIONS = "demonstrations.jsonl"
COMPARISONS = "comparisons.jsonl"
SCREENED = "screened.jsonl"
PREFERENCES = "preferences.jsonl"
LEDGER = "ledger.jsonl"
GRADES = "grades.jsonl"
HALVES = "halves.json"
TRAINING = "training.json"


class Split(StrEnum):
    """The two splits of a task."""

    TRAIN = "train"
    TEST = "test"


class Side(StrEnum):
    """The two halves of a split."""

    FIRST = "first"
    SECOND = "second"


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """What became of a proposal before any comparison: a reason, or None where it is to be compared."""

    example_id: str
    reason: Reason | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GradeRow:
    """Whether an example's answer is right."""

    example_id: str
    correct: bool
    extracted: str | None


@dataclass(frozen=True, slots=True)
class Rows:
    """Which examples: a split of the data, narrowed down by halves. Never the examples themselves."""

    data: Artifact
    split: Split
    sides: tuple[tuple[Artifact, Side], ...] = ()

    def half(self, halves: Artifact, side: Side) -> Rows:
        """Narrow down to one half."""
        return Rows(self.data, self.split, (*self.sides, (halves, side)))

    @property
    def inputs(self) -> dict[str, Artifact]:
        """The artifacts that say which rows: inputs of a stage."""
        return {"data": self.data, **{f"halves_{i}": halves for i, (halves, _) in enumerate(self.sides)}}

    @property
    def config(self) -> dict[str, Any]:
        """The rest of what says which rows: part of a stage's semantic config."""
        return {"split": str(self.split), "sides": [str(side) for _, side in self.sides]}

    def examples(self) -> dict[str, Example]:
        """Read the examples, sorted by id."""
        every = read_rows(Path(self.data.path) / f"{self.split}.jsonl", Example)
        wanted = self._ids()
        chosen = [example for example in every if wanted is None or example.id in wanted]
        return {example.id: example for example in sorted(chosen, key=lambda example: example.id)}

    def prompts_only(self) -> dict[str, Example]:
        """Read the examples without their references: what everybody but grading and the oracle may see."""
        return {id_: Example(id=id_, group=e.group, prompt=e.prompt) for id_, e in self.examples().items()}

    def _ids(self) -> set[str] | None:
        """Halves are cut of halves, so the last one names the rows."""
        if not self.sides:
            return None
        halves, side = self.sides[-1]
        return set(read_json(halves, HALVES)[side])


def read_json(artifact: Artifact, name: str) -> Any:
    """Read a JSON file of an artifact."""
    return orjson.loads((Path(artifact.path) / name).read_bytes())


def read_demonstrations(artifact: Artifact) -> dict[str, Demonstration]:
    """Read demonstrations by example, sorted by id. A batch redone after a kill repeats rows: the last one counts."""
    rows = {row.example_id: row for row in read_rows(Path(artifact.path) / DEMONSTRATIONS, Demonstration)}
    return dict(sorted(rows.items()))


def read_comparisons(artifact: Artifact) -> list[Comparison]:
    """Read the comparisons that are to be judged, in the order of their examples' ids."""
    return read_rows(Path(artifact.path) / COMPARISONS, Comparison)


def read_screened(artifact: Artifact) -> list[Screened]:
    """Read what became of every proposal before comparing, in the order of their examples' ids."""
    return read_rows(Path(artifact.path) / SCREENED, Screened)


def read_preferences(path: Path) -> dict[str, Preference]:
    """Read preferences by comparison id; the last one counts."""
    return {row.comparison_id: row for row in read_rows(path / PREFERENCES, Preference)}


def read_ledger(artifact: Artifact) -> list[Refinement]:
    """Read one round's ledger."""
    return read_rows(Path(artifact.path) / LEDGER, Refinement)


def read_grades(artifact: Artifact) -> dict[str, GradeRow]:
    """Read grades by example id."""
    return {row.example_id: row for row in read_rows(Path(artifact.path) / GRADES, GradeRow)}
