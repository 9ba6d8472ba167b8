"""Methods: one file for each method, which reads like the algorithm in its paper."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from burnish.config import (
    METHODS,
    AnnotatorReward,
    CheckerReward,
    ClearMethod,
    ComparisonsReward,
    DpoMethod,
    DropMethod,
    IlrMethod,
    MajorityMethod,
    MethodSettings,
    ModelReward,
    NaiveMethod,
    RestEmMethod,
    RlMethod,
    RobustFtMethod,
    SftMethod,
    TournamentMethod,
    VerifiedMethod,
)
from burnish.errors import ConfigError
from burnish.methods.clear import clear
from burnish.methods.dpo import dpo
from burnish.methods.drop import drop
from burnish.methods.ilr import ilr
from burnish.methods.majority import majority
from burnish.methods.naive import naive
from burnish.methods.rest_em import rest_em
from burnish.methods.rl import rl
from burnish.methods.robustft import robustft
from burnish.methods.sft import sft
from burnish.methods.tournament import tournament
from burnish.methods.verified import verified
from burnish.steps.reward_learning import learned
from burnish.steps.reward_sources import against_first, checker, given_model, register_reward
from burnish.steps.setting import Round, Setting

__all__ = ["Round", "Setting", "register_method", "register_reward", "run_method"]

M = TypeVar("M", bound=MethodSettings)
RunMethod: TypeAlias = Callable[[Setting, M], list[Round]]
"""A function that runs or plans a method. It takes the setting and the method's settings and returns the rounds."""
# Keyed by class and not by the name of the kind, so that no code compares names of kinds.
_runs: dict[type[MethodSettings], RunMethod[Any]] = {}


def register_method(settings: type[M], run: RunMethod[M]) -> None:
    """Register a kind of method, so that configs can name it.

    `settings` is the settings class; it inherits from `burnish.config.MethodSettings`. `run` is the function that runs
    the method. It must only call steps and never read an artifact, because a dry run makes the same calls before any
    artifact exists. Raises ConfigError if another class has the same kind.
    """
    METHODS.add(settings)
    _runs[settings] = run


def run_method(method: MethodSettings, setting: Setting) -> list[Round]:
    """Run or plan a method and return its rounds; the first one is round 0.

    Raises ConfigError if the method's class is not registered. Errors of the stages that it runs pass through.
    """
    if type(method) not in _runs:
        raise ConfigError(f"methods: kind {method.kind!r} is not registered; call burnish.register_method")
    return _runs[type(method)](setting, method)


register_method(SftMethod, sft)
register_method(NaiveMethod, naive)
register_method(IlrMethod, ilr)
register_method(DpoMethod, dpo)
register_method(RlMethod, rl)
register_method(ClearMethod, clear)
register_method(MajorityMethod, majority)
register_method(VerifiedMethod, verified)
register_method(TournamentMethod, tournament)
register_method(RobustFtMethod, robustft)
register_method(RestEmMethod, rest_em)
register_method(DropMethod, drop)
register_reward(CheckerReward, checker)
register_reward(ModelReward, given_model)
register_reward(AnnotatorReward, against_first)
register_reward(ComparisonsReward, learned)
