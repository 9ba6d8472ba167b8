"""A practitioner's annotators: made from what a user has, where nothing is simulated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, assert_never

from pydantic import JsonValue

from burnish.annotators.classifier import ClassifierAnnotator
from burnish.annotators.likelihood import LikelihoodAnnotator
from burnish.annotators.llm.judge import ServerJudge
from burnish.annotators.oracle import OracleAnnotator
from burnish.annotators.people import PeopleAnnotator
from burnish.annotators.program import ProgramAnnotator
from burnish.annotators.reward import RewardAnnotator
from burnish.annotators.together import Together
from burnish.config import (
    ColumnConfig,
    CommandConfig,
    GivenAnnotator,
    GivenClassifierConfig,
    GivenLikelihoodConfig,
    JudgeConfig,
    MajorityConfig,
    ModelConfig,
    OneAnnotator,
    OwnConfig,
    PeopleConfig,
    RewardModelConfig,
)
from burnish.errors import ConfigError
from burnish.people.mailbox import Mailbox, Purpose
from burnish.protocols import Annotator, Backend, Grader
from burnish.services.calls import Budget, Calls
from burnish.services.program import files_of
from burnish.steps.judging import AnnotatorPlan
from burnish.store.identity import of_files
from burnish.types import Artifact, Example

Over: TypeAlias = Callable[[Mapping[str, Example]], Annotator]
"""Makes an annotator that knows these examples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What annotators are made with: models, the task that knows right answers, people, and what calls may cost."""

    backend: Callable[[], Backend]
    base: Callable[[ModelConfig, str], Artifact]
    task: Grader
    task_kind: str
    mailbox: Mailbox
    seed: int
    calls: Callable[[], Calls]
    run: str
    budget: Budget
    say: Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One annotator: what identifies it, and how it is made over some examples."""

    kind: str
    config: Mapping[str, JsonValue]
    inputs: Mapping[str, Artifact]
    over: Over
    members: tuple[Given, ...] = ()

    @property
    def plan(self) -> AnnotatorPlan:
        """The annotator as rounds of refinement ask it; the oracle reads references, the others prompts."""
        return AnnotatorPlan(
            kind=self.kind,
            config=self.config,
            inputs=self.inputs,
            make=lambda rows: self.over(rows.examples() if self.kind == "oracle" else rows.prompts_only()),
            members=tuple(member.plan for member in self.members),
        )


def given(config: GivenAnnotator, means: Means, purpose: Purpose = Purpose.COMPARE, field: str = "annotator") -> Given:
    """Return the configured annotator. People come last among voters, so that the others have judged when they wait."""
    if isinstance(config, OwnConfig):
        raise ConfigError(f"{field}: kind 'own' found; pass the function or object {config.name!r} to burnish.refine")
    if isinstance(config, MajorityConfig):
        voters = sorted(config.of, key=lambda one: isinstance(one, PeopleConfig))
        members = tuple(_one(one, means, purpose, f"{field}.of") for one in voters)
        return Given(
            kind="majority",
            config={"kind": "majority"},
            inputs={f"{place}_{name}": one for place, m in enumerate(members) for name, one in m.inputs.items()},
            over=lambda examples: Together([member.over(examples) for member in members]),
            members=members,
        )
    return _one(config, means, purpose, field)


def _one(config: OneAnnotator, means: Means, purpose: Purpose, field: str) -> Given:
    described: Mapping[str, JsonValue] = {"kind": config.kind}
    inputs: Mapping[str, Artifact] = {}
    over: Over
    match config:
        case JudgeConfig():
            described = config.semantic()
            over = _judge(config, means)
        case GivenClassifierConfig() | RewardModelConfig() | GivenLikelihoodConfig():
            model = means.base(config.model, f"{field}.model")
            inputs = {"judge": model}
            over, described = _scorer(config, model, means), {**described, **_settings(config)}
        case CommandConfig():
            described, inputs = program(config.command)
            over = _program(config, field)
        case PeopleConfig():
            described = {"kind": "people", "purpose": str(purpose), "seed": means.seed}
            over = _people(means, purpose)
        case ColumnConfig():
            described = {"kind": "oracle", "column": config.column, "task": means.task_kind}
            over = _column(means)
        case _:
            assert_never(config)
    return Given(kind=config.kind, config=described, inputs=inputs, over=over)


def _judge(config: JudgeConfig, means: Means) -> Over:
    return lambda examples: ServerJudge(config, examples, means.calls(), means.run, means.budget, means.say)


def _program(config: CommandConfig, field: str) -> Over:
    return lambda examples: ProgramAnnotator(config.command, examples, f"{field}.command")


def _people(means: Means, purpose: Purpose) -> Over:
    return lambda examples: PeopleAnnotator(means.mailbox, purpose, examples, means.seed)


def _column(means: Means) -> Over:
    return lambda examples: OracleAnnotator(means.task, examples)


def _settings(config: GivenClassifierConfig | RewardModelConfig | GivenLikelihoodConfig) -> dict[str, JsonValue]:
    return {"per_token": config.per_token} if isinstance(config, GivenLikelihoodConfig) else {}


def _scorer(
    config: GivenClassifierConfig | RewardModelConfig | GivenLikelihoodConfig, model: Artifact, means: Means
) -> Over:
    match config:
        case GivenClassifierConfig():
            return lambda examples: ClassifierAnnotator(means.backend(), model, examples)
        case RewardModelConfig():
            return lambda examples: RewardAnnotator(means.backend(), model, examples)
        case GivenLikelihoodConfig(per_token=per_token):
            return lambda examples: LikelihoodAnnotator(means.backend(), model, examples, per_token)
        case _:
            assert_never(config)


def program(command: Sequence[str]) -> tuple[dict[str, JsonValue], dict[str, Artifact]]:
    """Return what identifies a program: its words, and the content of the files among them."""
    files = files_of(command)
    words: list[JsonValue] = [word for word in command if not any(str(path) == word for path in files)]
    return {"kind": "command", "command": words}, {"program": of_files(files)} if files else {}
