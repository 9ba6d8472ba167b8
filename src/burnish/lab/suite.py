"""Several experiments, or the settings of a sweep, as one run: shared stages once, a report of each and one of all."""

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
from burnish.store.files import default_store, pretty, write_atomic
from burnish.store.stages import Store

TRAININGS = ("train", "train_classifier", "train_preferences")
"""The stages that train a model."""
SUITE_FILE = "suite.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """How many models a suite needs: all together, and the sum over its configs if each were run alone."""

    trained: int
    alone: int

    @property
    def share(self) -> str:
        """The first of the second, in percent."""
        return f"{100 * self.trained / self.alone:.0f} %"


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedSuite:
    """What a suite left."""

    models: Models
    out: Path


def run_suite(
    configs: Sequence[Config], out: Path | None = None, store: Path | None = None, done: Callable[[Path], None] = print
) -> FinishedSuite:
    """Run the settings of several experiments; writes each into OUT/NAME/VARIANT, a report of each name and one of all.

    `out` is `runs` if not given; `done` is called with each results folder when it is there.
    """
    root = out or Path("runs")
    places = [root / config.name / slug(config.variant) for config in configs]
    for place in places:
        if places.count(place) > 1:
            raise ConfigError(f"name: two experiments would write into {str(place)!r}; give one another `name`")
    for finished, config in zip(run_all(configs, places, store), configs, strict=True):
        done(finished.out)
        family = [place for place, other in zip(places, configs, strict=True) if other.name == config.name]
        if config.variant and finished.out == family[-1]:
            write_joined(family, root / config.name)
    models = models_of(configs, Store(store or default_store()))
    write_joined(places, root)
    write_atomic(root / SUITE_FILE, pretty({"models_trained": models.trained, "models_alone": models.alone}))
    return FinishedSuite(models=models, out=root)


def slug(variant: str) -> str:
    """Return a variant's label as a folder's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", variant).strip("-.")


def models_of(configs: Sequence[Config], store: Store) -> Models:
    """Count the trainings of experiments: distinct ones, and the sum of each name's distinct ones."""
    by_name: dict[str, set[str]] = {}
    for config in configs:
        records = planned(config, resolve(config, offline_ok=True), store)
        trained = {record.fingerprint for record in records if record.stage.name in TRAININGS}
        by_name.setdefault(config.name, set()).update(trained)
    return Models(trained=len(set[str]().union(*by_name.values())), alone=sum(map(len, by_name.values())))
