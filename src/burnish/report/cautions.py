"""What a reader must know before believing a result. The terminal and the page say the same sentences."""

from __future__ import annotations

from burnish.report.series import setting
from burnish.results import Results

ONE_SEED = (
    "There is one seed. The intervals cover the choice of prompts, and not the noise of data and training. "
    "More seeds: --set 'seeds=[0, 1, 2]'"
)


def cautions(results: Results) -> list[str]:
    """Return the sentence about a single seed, if there is one seed, and the config's own note, if it has one."""
    note = setting(results, "note")
    one_seed = [ONE_SEED] if len({run.seed for run in results.runs}) == 1 else []
    return [*one_seed, *([str(note)] if note else [])]
