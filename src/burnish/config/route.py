"""The settings of an annotator that asks somebody first, and somebody else where the first one is not sure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar, Literal

from burnish.config.annotators import (
    ANNOTATORS,
    AnnotatorSettings,
    OneAnnotator,
    PeopleConfig,
    WantedModel,
    WantedProgram,
)
from burnish.config.base import Count, Probability
from burnish.config.method_settings import Gate
from burnish.config.models import ModelConfig


@ANNOTATORS.add
class RouteConfig(AnnotatorSettings):
    """A judge is asked first. People are asked only where the judge is not sure: its two orders disagree, it abstains,
    or its confidence is low. They are also asked about a random share of the other pairs (the control), which shows how
    often the judge is wrong where it is sure."""

    votes: ClassVar[bool] = False
    kind: Literal["route"]
    first: OneAnnotator
    """The annotator that is asked about every pair, for example a judge on a server."""
    then: OneAnnotator = PeopleConfig(kind="people")
    """The annotator that is asked where `first` is not sure. What it says counts. An experiment may take an oracle in
    place of people."""
    sure: Gate = 0.75
    """`first` is sure if P(the answer that it prefers is better) is at least this and its orders do not disagree."""
    control: Probability = 0.1
    """The share of the pairs on which `first` is sure that `then` is asked about, too. They are drawn at random."""
    budget: Count | None = None
    """The most pairs that `then` is asked about in a round, with those of the control. If more would be asked, both
    parts are reduced by the same factor and drawn at random, and `first` decides the others. If not given, there is no
    limit."""

    def placed_members(self, field: str) -> dict[str, AnnotatorSettings]:
        """Return the two annotators."""
        return {f"{field}.first": self.first, f"{field}.then": self.then}

    def needs_ground_truth(self, simulated: bool) -> bool:
        """Say whether one of the two is made from ground truth."""
        return any(one.needs_ground_truth(simulated) for one in (self.first, self.then))

    def models(self, field: str, simulated: bool) -> Iterator[WantedModel]:
        """Yield the models of the two annotators."""
        for place, one in self.placed_members(field).items():
            yield from one.models(place, simulated)

    def programs(self, field: str) -> Iterator[WantedProgram]:
        """Yield the programs of the two annotators."""
        for place, one in self.placed_members(field).items():
            yield from one.programs(place)

    def problem(self, simulated: bool) -> str | None:
        """Say what is wrong with these settings."""
        if self.first.asks_people:
            return (
                "first: people found; they are asked after the first annotator. Name a judge here, and people in then"
            )
        for name, one in (("first", self.first), ("then", self.then)):
            if inner := one.problem(simulated):
                return f"{name}.{inner}"
        return None

    def with_models(self, find: Callable[[ModelConfig], ModelConfig]) -> AnnotatorSettings:
        """Return the settings with the models of the two annotators replaced."""
        return self.model_copy(update={"first": self.first.with_models(find), "then": self.then.with_models(find)})

    def words(self, model_name: Callable[[ModelConfig], str] | None = None) -> str:
        """Say who judges."""
        return f"a route: first {self.first.words(model_name)}; where it is not sure, {self.then.words(model_name)}"
