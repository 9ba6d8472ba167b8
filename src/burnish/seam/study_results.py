"""The results of an experiment on SEAM: as JSON, and joined over seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from burnish.results import Metric, Natural, Record
from burnish.stats import mean_interval

RESULTS_FILE = "results.json"
"""The file with the results of an experiment."""


class SourceResult(Record):
    """SEAM by one source of worse answers."""

    mean: float | None
    """The mean SEAM over prompts; null if no prompt has a worse answer."""
    undefined: Natural
    """How many prompts have no worse answer, and so no score."""
    correlation: dict[str, Metric]
    """Rank correlation of each variant with the mismatch, over prompts with both."""


class StudyCell(Record):
    """One policy with one reward model, of one seed."""

    seed: int
    rows: Natural
    """How many gold rows the policy was trained on."""
    pairs: Natural
    """How many pairs the reward model was trained on."""
    right: Metric | None
    """Share of right answers among the policy's samples."""
    mismatch: Metric
    """Share of pairs of the policy's own answers that the reward model misjudges."""
    off_policy: Metric
    """Accuracy of the reward model on pairs of the test prompts that are made as those that it learned from."""
    sources: dict[str, SourceResult]
    """{source: what SEAM says}."""


class StudyResults(Record):
    """All cells of an experiment."""

    name: str
    """The name of the experiment."""
    cells: list[StudyCell]
    """The cells, by seed, then by policy, then by reward model."""

    @property
    def rows(self) -> list[int]:
        """The sizes of the policies' training data, the smallest first."""
        return sorted({cell.rows for cell in self.cells})

    @property
    def pairs(self) -> list[int]:
        """The sizes of the reward models' training data, the smallest first."""
        return sorted({cell.pairs for cell in self.cells})

    @property
    def sources(self) -> list[str]:
        """The sources, by name."""
        return sorted({name for cell in self.cells for name in cell.sources})


def over_seeds(cells: Sequence[StudyCell], value: Callable[[StudyCell], float | None]) -> Metric:
    """Return the mean of a value over the cells that have it, with a t interval. Each should be of another seed."""
    found = [one for cell in cells if (one := value(cell)) is not None]
    return Metric.of(mean_interval(found) if found else None)
