"""Several experiments, or the variants of a sweep, as one run. Shared stages are computed once, and there is one joint
report."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from burnish.config import Config
from burnish.errors import ConfigError
from burnish.lab.inputs import resolve
from burnish.lab.running import planned, run_all
from burnish.report.joined import write_joined
from burnish.store.files import pretty, write_atomic
from burnish.store.known_hashes import HASHES, KnownHashes
from burnish.store.opening import default_store, open_store
from burnish.store.stages import Store

TRAININGS = ("train", "train_classifier", "train_preferences", "train_policy", "train_rewards")
"""The names of the stages that train a model."""
SUITE_FILE = "suite.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCounts:
    """How many models a suite trains in all, and how many its configs would train if each were run alone."""

    trained: int
    alone: int

    @property
    def share(self) -> str:
        """`trained` as a percentage of `alone`, as text."""
        return f"{100 * self.trained / self.alone:.0f} %"


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedSuite:
    """What a finished suite leaves: the count of models, and the folder of the results."""

    models: ModelCounts
    out: Path


def run_suite(
    configs: Sequence[Config], out: Path | None = None, store: Path | None = None, done: Callable[[Path], None] = print
) -> FinishedSuite:
    """Run the variants of several experiments. Writes each into OUT/NAME/VARIANT, one report per name, and one of all.

    `out` is `runs` if not given. `done` is called with each results folder when it is written. Raises ConfigError if
    two experiments would write into the same folder.
    """
    root = out or Path("runs")
    folders = [root / config.name / slug(config.variant) for config in configs]
    # Checked before anything runs: the second experiment would overwrite the results of the first.
    for folder in folders:
        if folders.count(folder) > 1:
            raise ConfigError(
                f"name: two experiments would write into {str(folder)!r}; give one of them another `name`"
            )
    for finished, config in zip(run_all(configs, folders, store), configs, strict=True):
        done(finished.out)
        family = [folder for folder, other in zip(folders, configs, strict=True) if other.name == config.name]
        # The joint report of a sweep is written as soon as its last variant is done.
        if config.variant and finished.out == family[-1]:
            write_joined(family, root / config.name)
    models = models_of(configs, open_store(store or default_store()))
    write_joined(folders, root)
    write_atomic(root / SUITE_FILE, pretty({"models_trained": models.trained, "models_alone": models.alone}))
    return FinishedSuite(models=models, out=root)


def slug(variant: str) -> str:
    """Return a variant's label in a form that can be a folder's name."""
    # Dots and dashes at the ends go, too: `.name` would be hidden, and `-name` looks like an option.
    return re.sub(r"[^A-Za-z0-9._-]+", "-", variant).strip("-.")


def models_of(configs: Sequence[Config], store: Store) -> ModelCounts:
    """Count the trainings of experiments: all distinct ones, and the sum of the distinct ones of each name."""
    by_name: dict[str, set[str]] = {}
    known = KnownHashes(store.root / HASHES, kept=False)
    for config in configs:
        # A plan is enough for the count. Stages of equal fingerprint are one training, whichever experiment runs it.
        records = planned(config, resolve(config, offline_ok=True, known=known), store)
        trained = {record.fingerprint for record in records if record.stage.name in TRAININGS}
        by_name.setdefault(config.name, set()).update(trained)
    return ModelCounts(trained=len(set[str]().union(*by_name.values())), alone=sum(map(len, by_name.values())))
