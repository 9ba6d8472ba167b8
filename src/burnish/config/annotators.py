"""The settings of annotators: one settings class for each kind, both for refinements and for experiments.

The class of each kind says what other code needs to know about that kind, for instance whether it has a model or a
server, and whether it reads references.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeAlias

from pydantic import Field

from burnish.config.base import (
    PositiveFloat,
    Probability,
    Settings,
    program_words,
)
from burnish.config.kinds import Kinds, OneOf
from burnish.config.models import ModelConfig
from burnish.types import Head


class WantedModel(NamedTuple):
    """A local model that a config names. `field` is the config field, and `head` is the head with which it is stored.

    `as_it_is`: an annotator uses the model without training it. The model may then be a folder that burnish trained.
    """

    field: str
    model: ModelConfig
    head: Head = Head.NONE
    as_it_is: bool = False


class WantedProgram(NamedTuple):
    """A user's program that a config names. `field` is the config field, and `command` is the program with its
    arguments."""

    field: str
    command: tuple[str, ...]


class AnnotatorSettings(Settings):
    """The base class of all annotators. An annotator is a person, program or model that says which of two answers is
    better."""

    kind: Any  # (each class narrows it to its one name)
    short: ClassVar[str | None] = None
    """The field that the short form `KIND:VALUE` fills. "" means that `KIND` alone is enough, and None that there is no
    short form."""
    reads_references: ClassVar[bool] = False
    """Whether the annotator sees right answers."""
    self_tested: ClassVar[bool] = True
    """Whether the annotator is tested with planted pairs. People are not tested, because their time is expensive. An
    oracle is not tested, because it knows only the right answers."""
    experiments: ClassVar[bool] = True
    """Whether an experiment can use the annotator."""
    refines: ClassVar[bool] = True
    """Whether `burnish refine` can use the annotator."""
    votes: ClassVar[bool] = True
    """Whether the annotator may be one of several that vote, or may judge a share of the rows."""
    audits: ClassVar[bool] = False
    """Whether the annotator may audit accepted changes. It must make other mistakes than the annotator that accepted
    them."""
    compares_references: ClassVar[bool] = False
    """Whether the annotator may compare held-out answers with their references (`judge` of an experiment)."""
    is_server: ClassVar[bool] = False
    """Whether a server is asked, which costs calls and money."""
    asks_people: ClassVar[bool] = False
    """Whether the run waits for people."""
    head: ClassVar[Head | None] = None
    """The head of the annotator's model if the model is used without training. None if there is no local model."""

    @classmethod
    def from_short(cls, value: str) -> dict[str, Any]:
        """Return the fields that the VALUE of a short form fills. Raises ValueError if it cannot be read."""
        return {cls.short: value} if cls.short else {}

    @property
    def members(self) -> tuple[AnnotatorSettings, ...]:
        """The single annotators that are asked: this one, or those that vote."""
        return tuple(self.placed_members("").values())

    def placed_members(self, field: str) -> dict[str, AnnotatorSettings]:
        """Return the single annotators by their config fields. `field` is the one that holds these settings."""
        return {field: self}

    @property
    def base_model(self) -> ModelConfig | None:
        """The local model that these settings name, or None if they name none."""
        return None

    def needs_ground_truth(self, simulated: bool) -> bool:
        """Say whether the annotator is made from ground truth. `simulated` means an experiment, which has ground
        truth."""
        return False

    def models(self, field: str, simulated: bool) -> Iterator[WantedModel]:
        """Yield the local models that must be found. `field` is the config field that holds these settings."""
        if self.base_model is not None:
            # A model that is still to be trained is a plain base model: the training adds the head.
            learns = self.needs_ground_truth(simulated)
            head = Head.NONE if learns or self.head is None else self.head
            yield WantedModel(f"{field}.model", self.base_model, head, as_it_is=not learns)

    def programs(self, field: str) -> Iterator[WantedProgram]:
        """Yield the user's programs that are run. `field` is the config field that holds these settings."""
        yield from ()

    def problem(self, simulated: bool) -> str | None:
        """Say what is wrong with these settings in an experiment (`simulated`) or in a refinement. Return None if
        nothing is wrong."""
        if self.needs_ground_truth(simulated) and not simulated:
            return f"kind {self.kind}: it is made from ground truth, which only experiments (`burnish run`) have"
        return None

    def with_models(self, find: Callable[[ModelConfig], ModelConfig]) -> AnnotatorSettings:
        """Return the settings with each local model replaced by what `find` returns for it."""
        return self if self.base_model is None else self.model_copy(update={"model": find(self.base_model)})

    def referee_words(self) -> str:
        """Say who compares answers with references, for reports. A large language model is what the paper uses."""
        model = self.base_model
        source = f" ({model.source})" if model is not None else ""
        return f"a local {self.kind.replace('_', ' ')}{source}: a substitute for a large language model as judge"

    def words(self, model_name: Callable[[ModelConfig], str] | None = None) -> str:
        """Say in a few words who judges, for reports. `model_name` says how a model is called; without it no model is
        named."""
        model = self.base_model
        named = f" (model {model_name(model)})" if model is not None and model_name is not None else ""
        return self._who() + named

    def _who(self) -> str:
        return self.kind.replace("_", " ")


ANNOTATORS = Kinds("annotator", AnnotatorSettings)
# `where` is asked when a config is read and not here, so that a class that a plug-in registers later is known too.
OneAnnotator: TypeAlias = Annotated[AnnotatorSettings, OneOf(ANNOTATORS, where=lambda settings: settings.votes)]
"""An annotator that can be one of several."""


@ANNOTATORS.add
class CommandConfig(AnnotatorSettings):
    """A program that reads pairs as JSON lines on stdin and writes verdicts on stdout. It judges each pair in both
    orders."""

    short: ClassVar[str | None] = "command"
    audits: ClassVar[bool] = True
    compares_references: ClassVar[bool] = True
    unwritten: ClassVar[frozenset[str]] = frozenset({"timeout"})
    kind: Literal["command"]
    command: Annotated[tuple[str, ...], Field(min_length=1)]
    """The program and its arguments. They are not run in a shell. The program reads {id, prompt, first, second} and
    writes {id, verdict}, where the verdict is first, second, tie or abstain, or {id, p_second}, where p_second is a
    number from 0 to 1."""
    timeout: PositiveFloat = 600.0
    """The program is ended if it gives no new answer for this many seconds (does not change results)."""

    @classmethod
    def from_short(cls, value: str) -> dict[str, Any]:
        """Return the command, split into words as a shell does. Raises ValueError if a quote is not closed."""
        # A settings file has the words as a list. A short form is one text, so it has to be split.
        return {"command": program_words(value)}

    def programs(self, field: str) -> Iterator[WantedProgram]:
        """Yield the program."""
        yield WantedProgram(f"{field}.command", self.command)

    def referee_words(self) -> str:
        """Say who compares answers with references."""
        return "a program: a substitute for a language model as judge"

    def _who(self) -> str:
        return "a program"


@ANNOTATORS.add
class PeopleConfig(AnnotatorSettings):
    """People judge in a spreadsheet (`burnish annotate`) or on web pages (`burnish study`). Each pair is shown in one
    order, and people do not see which answer is the proposal."""

    short: ClassVar[str | None] = ""
    self_tested: ClassVar[bool] = False
    audits: ClassVar[bool] = True
    asks_people: ClassVar[bool] = True
    kind: Literal["people"]


@ANNOTATORS.add
class OracleConfig(AnnotatorSettings):
    """The right answers decide, which gives an upper bound. If both answers are right or both are wrong, it is a tie.

    An experiment knows its right answers. A refinement needs a column that holds them.
    """

    short: ClassVar[str | None] = "column"
    reads_references: ClassVar[bool] = True
    self_tested: ClassVar[bool] = False
    audits: ClassVar[bool] = True
    # The oracle of an experiment has no column. It was recorded without this field from the first version on.
    unwritten: ClassVar[frozenset[str]] = frozenset({"column"})
    kind: Literal["oracle"]
    column: str | None = None
    """The column that holds the right answer. It is needed in a refinement and not allowed in an experiment."""

    def problem(self, simulated: bool) -> str | None:
        """Say what is wrong with these settings."""
        # Of two sources of right answers, one would be ignored without a word.
        if simulated and self.column is not None:
            return f"column: {self.column!r} found, but the task of an experiment has its own right answers; remove it"
        if not simulated and self.column is None:
            return "column: none is given; name the column that holds right answers"
        return None

    def _who(self) -> str:
        return "oracle: ground truth compares both answers"


@ANNOTATORS.add
class MixedConfig(AnnotatorSettings):
    """Ground truth judges a share of the rows, and another annotator judges the rest (experiments only)."""

    refines: ClassVar[bool] = False
    votes: ClassVar[bool] = False
    reads_references: ClassVar[bool] = True
    kind: Literal["mixed"]
    oracle_share: Probability = 0.5
    """The share of the examples that the oracle judges. The cap alpha is divided between the two sources by their
    shares."""
    other: OneAnnotator
    """The annotator that judges the rest."""

    def placed_members(self, field: str) -> dict[str, AnnotatorSettings]:
        """Return the annotator of the rest. Ground truth is not listed, because it needs no model and no server."""
        return {f"{field}.other": self.other}

    def needs_ground_truth(self, simulated: bool) -> bool:
        """Return True: ground truth judges its share of the rows."""
        return True

    def models(self, field: str, simulated: bool) -> Iterator[WantedModel]:
        """Yield the other annotator's models."""
        # No model for the oracle's share: ground truth needs none.
        yield from self.other.models(f"{field}.other", simulated)

    def programs(self, field: str) -> Iterator[WantedProgram]:
        """Yield the other annotator's programs."""
        yield from self.other.programs(f"{field}.other")

    def problem(self, simulated: bool) -> str | None:
        """Say what is wrong with these settings."""
        # The problem of an inner annotator names its own field. In front of it comes the place of that annotator.
        inner = self.other.problem(simulated)
        return super().problem(simulated) or (f"other.{inner}" if inner else None)

    def with_models(self, find: Callable[[ModelConfig], ModelConfig]) -> AnnotatorSettings:
        """Return the settings with the other annotator's models replaced."""
        return self.model_copy(update={"other": self.other.with_models(find)})

    def words(self, model_name: Callable[[ModelConfig], str] | None = None) -> str:
        """Say who judges."""
        # The space does not break, so that no line of a report begins with the sign %.
        share = f"{100 * self.oracle_share:.1f}\N{NO-BREAK SPACE}%"
        return f"mixed: ground truth for {share} of the rows; for the rest {self.other.words(model_name)}"


@ANNOTATORS.add
class MajorityConfig(AnnotatorSettings):
    """Several annotators vote. One that abstains has no vote. P(b is better) is the share of the votes for b, and a tie
    counts as half a vote."""

    votes: ClassVar[bool] = False
    kind: Literal["majority"]
    of: Annotated[tuple[OneAnnotator, ...], Field(min_length=2)]
    """The annotators that vote."""

    def placed_members(self, field: str) -> dict[str, AnnotatorSettings]:
        """Return the annotators that vote."""
        return {f"{field}.of.{place}": one for place, one in enumerate(self.of)}

    def models(self, field: str, simulated: bool) -> Iterator[WantedModel]:
        """Yield the voters' models."""
        # Two voters of one kind differ only in their place. So the place is part of the field by which a model is
        # found.
        for place, one in enumerate(self.of):
            yield from one.models(f"{field}.of.{place}", simulated)

    def programs(self, field: str) -> Iterator[WantedProgram]:
        """Yield the voters' programs."""
        for place, one in enumerate(self.of):
            yield from one.programs(f"{field}.of.{place}")

    def problem(self, simulated: bool) -> str | None:
        """Say what is wrong with these settings."""
        problems = ((place, one.problem(simulated)) for place, one in enumerate(self.of))
        return next((f"of.{place}.{problem}" for place, problem in problems if problem), None)

    def with_models(self, find: Callable[[ModelConfig], ModelConfig]) -> AnnotatorSettings:
        """Return the settings with the voters' models replaced."""
        return self.model_copy(update={"of": tuple(one.with_models(find) for one in self.of)})

    def words(self, model_name: Callable[[ModelConfig], str] | None = None) -> str:
        """Say who judges."""
        return "a vote of " + "; ".join(one.words(model_name) for one in self.of)


@ANNOTATORS.add
class OwnConfig(AnnotatorSettings):
    """A function or an object that was passed to `burnish.refine` in Python. A config file cannot name one."""

    experiments: ClassVar[bool] = False
    votes: ClassVar[bool] = False
    kind: Literal["own"]
    name: str
    """The name of the function or class."""


RefineAnnotator: TypeAlias = Annotated[AnnotatorSettings, OneOf(ANNOTATORS, where=lambda settings: settings.refines)]
"""An annotator of a refinement."""
Supervisor: TypeAlias = Annotated[AnnotatorSettings, OneOf(ANNOTATORS, where=lambda settings: settings.experiments)]
"""An annotator of an experiment."""
Auditor: TypeAlias = Annotated[AnnotatorSettings, OneOf(ANNOTATORS, where=lambda settings: settings.audits)]
"""An annotator that judges accepted changes again."""


def check_fits(annotator: AnnotatorSettings, field: str, simulated: bool) -> None:
    """Raise ValueError, which names the field, if the settings do not fit an experiment (`simulated`) or a
    refinement."""
    if problem := annotator.problem(simulated):
        raise ValueError(f"{field}.{problem}")
