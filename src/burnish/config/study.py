"""The settings of a study in which people write demonstrations or compare answers: `study.yaml`.

The defaults are those of the paper's study (section 6, D.1 and D.2).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field, field_validator, model_validator

from burnish.config.base import Count, PositiveFloat, Seed, Settings


class StudyKind(StrEnum):
    """What people do in a study."""

    DEMONSTRATIONS = "demonstrations"
    COMPARISONS = "comparisons"


class Platform(StrEnum):
    """Where the people come from. This decides which names in a link hold the id of a person.

    `prolific`: PROLIFIC_PID, STUDY_ID and SESSION_ID. `connect` (CloudResearch Connect): participantId, assignmentId
    and projectId. `link`: `participant`, for people whom you send a link yourself.
    """

    PROLIFIC = "prolific"
    CONNECT = "connect"
    LINK = "link"


class CompletionCode(Settings):
    """What a person gives back to the platform at the end."""

    code: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """The code. If it is not given, one is drawn when the study is made."""
    address: Annotated[str, Field(max_length=2000)] | None = None
    """The address of the platform's page for this code. It is shown as a link."""

    @field_validator("address")
    @classmethod
    def _is_web(cls, address: str | None) -> str | None:
        # Another scheme, such as `javascript:`, would run in the browser of the person who follows the link.
        if address is not None and not address.startswith(("https://", "http://")):
            raise ValueError(f"{address!r} is no address of a page; write https://...")
        return address


class Codes(Settings):
    """The codes of the three ends of a sitting. They differ, because the platforms pay them differently."""

    complete: CompletionCode = CompletionCode()
    """All questions were answered."""
    screened_out: CompletionCode = CompletionCode()
    """The screening questions were not passed."""
    partial: CompletionCode = CompletionCode()
    """The time ran out, or the person stopped early."""

    @model_validator(mode="after")
    def _differ(self) -> Codes:
        given = [one.code for one in (self.complete, self.screened_out, self.partial) if one.code is not None]
        if len(set(given)) < len(given):
            raise ValueError(f"{given} are not three different codes; give each end its own")
        return self


class StudyBase(Settings):
    """What both kinds of study have. All settings are frozen when the first person arrives."""

    name: ClassVar[str] = "study"

    title: Annotated[str, Field(min_length=1, max_length=200)] = "Study"
    """The title of the pages."""
    language: Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")] = "en"
    """The language of the texts, as HTML names it. Screen readers need it."""
    platform: Platform = Platform.LINK
    """Where the people come from."""
    wanted: Count = 1
    """How many people answer each item. The paper has 1, so it could not measure agreement."""
    base_pay: Annotated[str, Field(max_length=100)] = "$0.75"
    """The pay of people who do not finish or do not pass the checks, as the pages say it."""
    full_pay: Annotated[str, Field(max_length=100)] = "full compensation"
    """The pay of people who finish, as the pages say it. The paper does not state it."""
    codes: Codes = Codes()
    """The codes and addresses of the three ends."""
    void_rejected: bool = True
    """Whether the answers of a rejected person stop counting, so that other people are asked."""
    seed: Seed = 0
    """The seed of which items a person gets, and in which order."""


class DemonstrationStudy(StudyBase):
    """A study in which people write answers (D.1)."""

    kind: Literal[StudyKind.DEMONSTRATIONS] = StudyKind.DEMONSTRATIONS
    per_sitting: Count = 15
    """How many prompts a person answers, without the checks."""
    least_seconds: PositiveFloat = 60
    """An answer in less time is flagged as early. It is kept."""
    most_seconds: PositiveFloat = 120
    """An answer in more time is flagged as late. It is kept."""
    minutes: PositiveFloat = 60
    """The time for the whole sitting. Then its open items go back to the other people. The paper states none."""

    @model_validator(mode="after")
    def _in_order(self) -> DemonstrationStudy:
        _check_seconds(self.least_seconds, self.most_seconds)
        return self


class ComparisonStudy(StudyBase):
    """A study in which people compare two answers (D.2)."""

    kind: Literal[StudyKind.COMPARISONS] = StudyKind.COMPARISONS
    per_sitting: Count = 50
    """How many pairs a person compares, without the screening pairs and the gold pairs."""
    least_seconds: PositiveFloat = 30
    """An answer in less time is flagged as early. It is kept."""
    most_seconds: PositiveFloat = 60
    """An answer in more time is flagged as late. It is kept."""
    minutes: PositiveFloat = 50
    """The time for the whole sitting. Then its open items go back to the other people."""
    points: Annotated[int, Field(ge=3, le=21, strict=True)] = 7
    """The number of points of the scale. It is odd, because the middle means that the answers are alike. The paper
    does not state it."""
    gold: Annotated[int, Field(ge=0, le=1000, strict=True)] = 0
    """How many pairs with a known answer stand at random places among the pairs of a sitting. They look like all other
    pairs, and show who pays attention. They are the pairs with `role: gold` in questions.yaml. The paper has none."""
    screening_tries: Annotated[int, Field(ge=1, le=10, strict=True)] = 1
    """How often a person may try to pass the screening pairs. The paper has 1. Prolific's rules ask for 2."""

    @field_validator("points")
    @classmethod
    def _is_odd(cls, points: int) -> int:
        if points % 2 == 0:
            raise ValueError(f"{points} points have no middle; write an odd number, such as 7")
        return points

    @model_validator(mode="after")
    def _in_order(self) -> ComparisonStudy:
        _check_seconds(self.least_seconds, self.most_seconds)
        return self

    @property
    def most_value(self) -> int:
        """The value of the point at the right end: 3 for 7 points. The left end has its negative."""
        return self.points // 2


StudySettings: TypeAlias = Annotated[DemonstrationStudy | ComparisonStudy, Field(discriminator="kind")]


def _check_seconds(least: float, most: float) -> None:
    """Raise ValueError if no time is neither early nor late."""
    if least >= most:
        raise ValueError(f"least_seconds {least:g} is not below most_seconds {most:g}; make it smaller")
