"""Worse answers that the policy itself writes. They follow the policy, unlike those of all other sources."""

from __future__ import annotations

from burnish.config import OwnSource
from burnish.errors import ConfigError
from burnish.perturbations.resources import SourceResources
from burnish.perturbations.sampling import wrong_samples
from burnish.steps.perturbing import PerturbationPlan


def build(settings: OwnSource, resources: SourceResources) -> PerturbationPlan:
    """Return the plan of the policy's wrong answers. Raises ConfigError if there is no policy."""
    if resources.policy is None:
        raise ConfigError(f"{resources.field}: kind own: it needs a policy; name one with --policy")
    return wrong_samples(settings, resources.policy, resources)
