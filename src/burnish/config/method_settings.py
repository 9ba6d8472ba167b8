"""What the settings of all methods have in common: the base classes, and the facts that other code asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self, TypeAlias

from pydantic import BeforeValidator, Field, GetCoreSchemaHandler, GetPydanticSchema, ValidatorFunctionWrapHandler
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_wrap_validator_function, plain_serializer_function_ser_schema

from burnish.config.annotators import WantedModel
from burnish.config.base import Name, Repeats, Settings, number_or_fraction
from burnish.config.kinds import Kinds
from burnish.config.models import ModelConfig
from burnish.types import Accept


def _auto_or(value: Any, number: ValidatorFunctionWrapHandler) -> Any:
    return value if value == "auto" else number(value)


def _rounds_schema(_: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    # One schema and not a union: an error of a union would name each of its members.
    as_it_is = plain_serializer_function_ser_schema(lambda value: value)
    return no_info_wrap_validator_function(_auto_or, handler(Repeats), serialization=as_it_is)


Rounds: TypeAlias = Annotated[Repeats | Literal["auto"], GetPydanticSchema(_rounds_schema)]
"""A number of rounds, or `auto`: a rule decides how many there are."""
Gate: TypeAlias = Annotated[float, BeforeValidator(number_or_fraction), Field(ge=0.5, le=1)]
"""A probability of at least one half. Below one half, a gate would accept answers that are more likely worse. It may be
written as a fraction, such as 5/6 for people who moderately prefer an answer on a scale of 7 points."""


class MethodRole(StrEnum):
    """The part that a method plays in the argument of a report. It decides its place, its colour and its sentences.

    The members stand in the reading order of reports.
    """

    WEAK = "weak"
    """The weak supervisor. It is no method, but it is measured like one."""
    SFT = "sft"
    ILR = "ilr"
    DPO = "dpo"
    OTHER = "other"
    NAIVE = "naive"
    """Changes labels without any feedback."""
    CEILING = "ceiling"
    """Trains on gold labels, which shows what could be reached."""


class Cap(NamedTuple):
    """A bound on what a round may change. `field` is the setting, and `share` is its value.

    It is a share of so many things `per_row`: 1 if labels are counted, more if pairs of answers are.
    """

    field: str
    share: float
    per_row: int = 1


class MethodSettings(Settings):
    """The base class of all methods. The class of each kind says what other code needs to know about that kind."""

    kind: Any  # (each class narrows it to its one name)
    name: Name
    label: ClassVar[str | None] = None
    """The label that reports show if the method has its default name. With None they show the name itself."""
    role: ClassVar[MethodRole] = MethodRole.OTHER
    """The part that the method plays in a report."""
    asks_annotator: ClassVar[bool] = False
    """Whether the method asks an annotator to compare answers."""
    refines: ClassVar[bool] = False
    """Whether the method changes labels, so that `burnish refine` can use it."""
    experiments: ClassVar[bool] = True
    """Whether an experiment can use the method."""
    cap_field: ClassVar[str | None] = None
    """The field with the largest share of all rows that a round may change. None if the method has no such field."""
    refine_defaults: ClassVar[Mapping[str, int]] = MappingProxyType({})
    """Defaults of `burnish refine` that differ from the paper's."""

    @classmethod
    def role_with(cls, settings: Mapping[str, Any]) -> MethodRole:
        """Return the role of a method with these settings.

        `settings` are those that a results file records. They may be of an older version, so they are not validated.
        """
        # A method that trains on gold demonstrations is a ceiling, whatever its name is.
        return MethodRole.CEILING if settings.get("demonstrations") == "gold" else cls.role

    @property
    def stops_itself(self) -> bool:
        """Whether a rule decides how many rounds there are."""
        return False

    @property
    def last_round(self) -> int:
        """The number of the last round, or 0 for a method without rounds."""
        return int(getattr(self, "rounds", 0))

    @property
    def before(self) -> MethodSettings | None:
        """The refinement that comes before the method, or None."""
        return getattr(self, "after", None)

    @property
    def caps(self) -> tuple[Cap, ...]:
        """The bounds on what a round may change. A method without such a bound has none."""
        return () if self.cap_field is None else (Cap(self.cap_field, float(getattr(self, self.cap_field))),)

    @property
    def parts(self) -> int:
        """Into how many parts a round cuts the rows. 1 if it does not cut them."""
        return 1

    @property
    def proposers_passes(self) -> int:
        """How many times a round trains on each row to make the models that propose answers."""
        return 1

    @property
    def samples_per_row(self) -> int:
        """How many answers are generated for each row in a round."""
        return 1

    @property
    def comparisons_per_row(self) -> int:
        """The most comparisons that an annotator makes for each row in a round."""
        return 1 if self.asks_annotator else 0

    @property
    def comparisons_per_round(self) -> int:
        """The most comparisons that an annotator makes in a round besides those of rows."""
        return 0

    @property
    def program(self) -> tuple[str, ...] | None:
        """The user's program that the method asks instead of an annotator, or None if it asks no program."""
        return None

    @property
    def patience(self) -> float:
        """That program is ended if it gives no new answer for this many seconds."""
        return 600.0

    @property
    def prompts_needed(self) -> int:
        """How many different prompts the rows must have, apart from those that `parts` needs."""
        return 1

    def models(self, field: str) -> Iterator[WantedModel]:
        """Yield the local models that the method needs besides those of the experiment.

        `field` is the config field that holds these settings.
        """
        yield from ()

    def with_models(self, find: Callable[[ModelConfig], ModelConfig]) -> Self:
        """Return the settings with each of these models replaced by what `find` returns for it."""
        return self

    def for_refinement(self) -> Self:
        """Return the settings with the defaults of `burnish refine`, which can differ from those of an experiment."""
        return self


class GatedMethod(MethodSettings):
    """The base class of methods that accept a proposal according to P(the proposal is better)."""

    unwritten: ClassVar[frozenset[str]] = frozenset({"gate"})
    gate: Gate = 0.5
    """A proposal is accepted only if P(the proposal is better) is at least this. 5/6 takes what people prefer at least
    moderately on a scale of 7 points, as in the paper's human study (section 6)."""


class ComparingMethod(GatedMethod):
    """The base class of methods that ask an annotator. The annotator may see a pair in both orders."""

    asks_annotator: ClassVar[bool] = True
    unwritten: ClassVar[frozenset[str]] = frozenset({"accept", "gate", "of"})
    accept: Accept | None = None
    """How the judgements of the two orders of a pair are combined. `mean`: their mean decides (as in the paper).
    `both-orders`: a proposal is accepted only if it is preferred in both orders. If not given, it is `mean` in an
    experiment and `both-orders` in a refinement."""
    of: Literal["all", "compared"] | None = None
    """What the largest share (`alpha`, or `keep` of DPO) is a share of. `all`: all rows, or all pairs of DPO.
    `compared`: the comparisons of the round, so that all methods accept the same share of what was compared. If not
    given, it is as in the paper (`all`). There are two exceptions: with `budget: equal`, `keep` is a share of what was
    compared, and `compat.cap` applies."""

    def for_refinement(self) -> Self:
        """Return the settings with `accept: both-orders`, unless the user set `accept`."""
        return self if self.accept is not None else self.model_copy(update={"accept": Accept.BOTH_ORDERS})


METHODS = Kinds("method", MethodSettings)
