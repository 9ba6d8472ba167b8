"""Worse answers of a weaker model or of an earlier checkpoint."""

from __future__ import annotations

from burnish.config import WeakerSource
from burnish.perturbations.resources import SourceResources
from burnish.perturbations.sampling import wrong_samples
from burnish.steps.perturbing import PerturbationPlan


def build(settings: WeakerSource, resources: SourceResources) -> PerturbationPlan:
    """Return the plan of the weaker model's wrong answers."""
    return wrong_samples(settings, resources.model(f"{resources.field}.model"), resources)
