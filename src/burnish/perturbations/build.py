"""Makes sources of worse answers from their settings. No other module does this."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from burnish.config import (
    PERTURBATIONS,
    AdversarialSource,
    ContrastSource,
    LlmSource,
    OwnSource,
    PerturbationSettings,
    WeakerSource,
)
from burnish.errors import ConfigError
from burnish.perturbations import adversarial, contrast, llm, own, weaker
from burnish.perturbations.resources import SourceResources
from burnish.steps.perturbing import PerturbationPlan

P = TypeVar("P", bound=PerturbationSettings)
SourceBuilder: TypeAlias = Callable[[P, SourceResources], PerturbationPlan]
"""A function that makes the plan of a source from its settings. It may run stages."""
_builders: dict[type[PerturbationSettings], SourceBuilder[Any]] = {}


def register_perturbation(settings: type[P], builder: SourceBuilder[P]) -> None:
    """Register a kind of source, so that `--source` can name it: its settings class and the function that builds it.

    The class inherits from `burnish.config.PerturbationSettings` and has a field such as `kind: Literal["mine"]`.
    Raises ConfigError if it does not, or if another class has the same kind.
    """
    PERTURBATIONS.add(settings)
    _builders[settings] = builder


def build(settings: PerturbationSettings, resources: SourceResources) -> PerturbationPlan:
    """Return the plan of a source.

    Raises ConfigError if there is no function that builds its kind, or if it needs a checker and there is none.
    """
    builder = next((_builders[base] for base in type(settings).__mro__ if base in _builders), None)
    if builder is None:
        raise ConfigError(
            f"{resources.field}: kind {settings.kind!r} has no builder; call burnish.register_perturbation"
        )
    if settings.needs_checker and resources.checker is None:
        raise ConfigError(
            f"{resources.field}: kind {settings.kind}: only a checker can tell which answers are wrong; name one with "
            "--checker, such as number"
        )
    return builder(settings, resources)


# They are registered in the same way as kinds of other packages, so that there is only one way.
register_perturbation(AdversarialSource, adversarial.build)
register_perturbation(ContrastSource, contrast.build)
register_perturbation(LlmSource, llm.build)
register_perturbation(OwnSource, own.build)
register_perturbation(WeakerSource, weaker.build)
