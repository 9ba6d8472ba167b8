"""The list of claims: what is claimed, between which methods, and what would count against it. docs/claims.yaml."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints, TypeAdapter, model_validator

from burnish.config import Settings
from burnish.config.base import MOST_REPEATS, Name, PositiveFloat
from burnish.config.reading import checked
from burnish.config.yaml_text import read_yaml
from burnish.errors import ConfigError

Sentence = Annotated[str, StringConstraints(min_length=10, max_length=400, strip_whitespace=True)]
# A folder below docs/results, by names alone: it cannot lead out of there.
ResultsFolder = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$")]


class ClaimKind(StrEnum):
    """What a claim says about the difference a - b."""

    GAIN = "gain"
    LOSS = "loss"
    NO_GAIN = "no_gain"
    ALIKE = "alike"

    @property
    def has_margin(self) -> bool:
        """Whether the claim needs a margin: no data can show that a difference is exactly zero."""
        return self in {ClaimKind.NO_GAIN, ClaimKind.ALIKE}


class ClaimSide(Settings):
    """One side of a contrast: a metric of a method after a round."""

    method: str
    """The method's name in the results."""
    round: Annotated[int, Field(ge=0, le=MOST_REPEATS, strict=True)]
    """The number of rounds done."""
    metric: str = "test_accuracy"
    """The metric."""
    results: tuple[ResultsFolder, ...] | None = None
    """The folders of this side, one for each folder of the claim, if they are not the claim's own."""


class RegisteredClaim(Settings):
    """A claim about one difference, with what decides it."""

    id: Name
    """The claim's name."""
    statement: Sentence
    """The claim in plain English."""
    results: Annotated[tuple[ResultsFolder, ...], Field(min_length=1)]
    """The folders below docs/results that decide the claim. Each holds one world with one set of base models."""
    a: ClaimSide
    """The side that the claim is about."""
    b: ClaimSide
    """The side that it is compared with."""
    kind: ClaimKind
    """`gain`: a is above b. `loss`: a is below b. `no_gain`: a is not above b by `margin` or more. `alike`: a and b
    differ by less than `margin`."""
    margin: PositiveFloat | None = None
    """For `no_gain` and `alike`: the smallest difference that would matter, in the unit of the metric."""
    against: Sentence
    """What would count against the claim."""
    registered: datetime.date
    """The day on which the claim was written down."""
    seen: bool = False
    """Whether its results were known on that day. A verdict on such a claim is a description and no prediction that
    came true."""

    @model_validator(mode="after")
    def _fits(self) -> RegisteredClaim:
        if self.kind.has_margin and self.margin is None:
            raise ValueError(
                f"margin: none given, but the kind is {self.kind}; give the smallest difference that would matter"
            )
        if not self.kind.has_margin and self.margin is not None:
            raise ValueError(f"margin: {self.margin} has no effect with kind: {self.kind}; leave it out")
        if self.a.metric != self.b.metric:
            raise ValueError(
                f"b.metric: {self.b.metric!r} found, but a.metric is {self.a.metric!r}; compare one metric"
            )
        if self.a == self.b:
            raise ValueError("b: it is the same as a; compare two different things")
        for name, side in (("a", self.a), ("b", self.b)):
            if side.results is not None and len(side.results) != len(self.results):
                raise ValueError(
                    f"{name}.results: {len(side.results)} folders found, but `results` has {len(self.results)}; give "
                    "one for each"
                )
        if len(set(self.results)) != len(self.results):
            raise ValueError("results: a folder is named twice; name each once")
        return self

    def places(self) -> Iterator[tuple[str, str]]:
        """Yield the folder of a and the folder of b for each world."""
        yield from zip(self.a.results or self.results, self.b.results or self.results, strict=True)


class _Registry(Settings):
    """The whole file."""

    claims: tuple[RegisteredClaim, ...]

    @model_validator(mode="after")
    def _ids_differ(self) -> _Registry:
        ids = [claim.id for claim in self.claims]
        for place, id_ in enumerate(ids):
            if id_ in ids[:place]:
                raise ValueError(f"claims.{place}.id: {id_!r} is the id of two claims; give one of them another id")
        return self


def read_registry(path: Path) -> tuple[RegisteredClaim, ...]:
    """Read the list of claims. Raises ConfigError, which names the file, the field, the value and the fix."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the list of claims cannot be read ({error})") from None
    return checked(TypeAdapter(_Registry), read_yaml(text, str(path)), str(path)).claims
