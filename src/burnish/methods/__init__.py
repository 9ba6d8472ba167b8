"""Methods: one file each, readable as its paper's algorithm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from burnish.config import (
    METHODS,
    ClearMethod,
    DpoMethod,
    IlrMethod,
    MajorityMethod,
    MethodSettings,
    NaiveMethod,
    SftMethod,
    VerifiedMethod,
)
from burnish.errors import ConfigError
from burnish.methods.clear import clear
from burnish.methods.dpo import dpo
from burnish.methods.ilr import ilr
from burnish.methods.majority import majority
from burnish.methods.naive import naive
from burnish.methods.sft import sft
from burnish.methods.verified import verified
from burnish.steps.setting import Round, Setting

__all__ = ["Round", "Setting", "register_method", "run_method"]

M = TypeVar("M", bound=MethodSettings)
Run: TypeAlias = Callable[[Setting, M], list[Round]]
"""Runs or plans a method: from what it is given and its settings to its rounds, the first being round 0."""
_runs: dict[type[MethodSettings], Run[Any]] = {}


def register_method(settings: type[M], run: Run[M]) -> None:
    """Let configs name a kind of method: a settings class and the function that runs it.

    The class inherits from `burnish.config.MethodSettings`. The function calls steps and looks into no artifact, so
    that a dry run makes the same calls. Raises ConfigError where the kind is taken by another class.
    """
    METHODS.add(settings)
    _runs[settings] = run


def run_method(method: MethodSettings, setting: Setting) -> list[Round]:
    """Run or plan a method; returns its rounds, the first being round 0. Raises ConfigError for an unknown one."""
    if type(method) not in _runs:
        raise ConfigError(f"methods: kind {method.kind!r} is not registered; call burnish.register_method")
    return _runs[type(method)](setting, method)


register_method(SftMethod, sft)
register_method(NaiveMethod, naive)
register_method(IlrMethod, ilr)
register_method(DpoMethod, dpo)
register_method(ClearMethod, clear)
register_method(MajorityMethod, majority)
register_method(VerifiedMethod, verified)
