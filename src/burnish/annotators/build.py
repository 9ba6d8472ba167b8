"""Makes annotators from their settings. No other module does this."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar

from burnish.annotators import classifier, likelihood, misled, mixed, oracle, people, program, reward, route, together
from burnish.annotators.llm import judge
from burnish.annotators.resources import Resources
from burnish.config import (
    ANNOTATORS,
    AnnotatorSettings,
    ClassifierConfig,
    CommandConfig,
    JudgeConfig,
    LikelihoodConfig,
    MajorityConfig,
    MisledOracleConfig,
    MixedConfig,
    OracleConfig,
    OwnConfig,
    PeopleConfig,
    RewardModelConfig,
    RouteConfig,
)
from burnish.errors import ConfigError
from burnish.steps.judging import AnnotatorPlan

C = TypeVar("C", bound=AnnotatorSettings)
Builder: TypeAlias = Callable[[C, Resources], AnnotatorPlan]
"""A function that makes the plan of an annotator from its settings. It may run stages, but it asks nobody yet."""
_builders: dict[type[AnnotatorSettings], Builder[Any]] = {}


def register_annotator(settings: type[C], builder: Builder[C]) -> None:
    """Register a kind of annotator, so that configs can name it: its settings class and the function that builds it.

    The class inherits from `burnish.config.AnnotatorSettings` and has a field such as `kind: Literal["coin"]`. Raises
    ConfigError if it does not, or if another class has the same kind.
    """
    ANNOTATORS.add(settings)
    _builders[settings] = builder


def build(settings: AnnotatorSettings, resources: Resources) -> AnnotatorPlan:
    """Return the plan of an annotator. Raises ConfigError if there is no function that builds its kind."""
    # A subclass, such as ReferenceJudgeConfig, is built like its base class.
    builder = next((_builders[base] for base in type(settings).__mro__ if base in _builders), None)
    if builder is None:
        raise ConfigError(f"{resources.field}: kind {settings.kind!r} has no builder; call burnish.register_annotator")
    return replace(builder(settings, resources), outside=asks_outside(settings))


def asks_outside(settings: AnnotatorSettings) -> bool:
    """Say whether an annotator, or one of those that vote, asks a server, people or a user's program."""
    return any(member.is_server or member.asks_people for member in settings.members) or any(settings.programs(""))


def _mixed(config: MixedConfig, resources: Resources) -> AnnotatorPlan:
    """Return a plan in which ground truth judges some rows, and another annotator judges the rest."""
    field = f"{resources.field}.other"
    other = build(config.other, replace(resources, field=field))
    return mixed.mixed(oracle.plan(resources), other, config.oracle_share, resources.steps.seed)


def _majority(config: MajorityConfig, resources: Resources) -> AnnotatorPlan:
    """Return a plan in which several annotators vote. People come last, so that the others have judged when the run
    waits for people."""
    # `sorted` keeps the order of equal keys. The number of each voter is taken before sorting, so that errors name the
    # field as it is in the config.
    voters = sorted(enumerate(config.of), key=lambda voter: voter[1].asks_people)
    fields = {place: f"{resources.field}.of.{place}" for place, _ in voters}
    return together.majority([build(member, replace(resources, field=fields[place])) for place, member in voters])


def _route(config: RouteConfig, resources: Resources) -> AnnotatorPlan:
    """Return a plan in which a second annotator is asked where the first one is not sure."""
    fields = {name: f"{resources.field}.{name}" for name in ("first", "then")}
    first = build(config.first, replace(resources, field=fields["first"]))
    then = build(config.then, replace(resources, field=fields["then"]))
    return route.plan(config, first, then)


def _own(config: OwnConfig, resources: Resources) -> AnnotatorPlan:
    raise ConfigError(
        f"{resources.field}: kind 'own' found; pass the function or object {config.name!r} to burnish.refine"
    )


# They are registered in the same way as kinds of other packages, so that there is only one way.
register_annotator(ClassifierConfig, classifier.build)
register_annotator(RewardModelConfig, reward.build)
register_annotator(LikelihoodConfig, likelihood.build)
register_annotator(CommandConfig, program.build)
register_annotator(PeopleConfig, people.build)
register_annotator(OracleConfig, oracle.build)
register_annotator(MisledOracleConfig, misled.build)
register_annotator(MixedConfig, _mixed)
register_annotator(MajorityConfig, _majority)
register_annotator(RouteConfig, _route)
register_annotator(JudgeConfig, judge.build)
register_annotator(OwnConfig, _own)
