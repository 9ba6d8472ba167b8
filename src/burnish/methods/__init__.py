"""Methods: one file each, readable as its paper's algorithm."""

from __future__ import annotations

from typing import assert_never

from burnish.config import (
    ClearMethod,
    DpoMethod,
    IlrMethod,
    MajorityMethod,
    MethodConfig,
    NaiveMethod,
    RefineMethod,
    SftMethod,
    VerifiedMethod,
)
from burnish.methods.clear import clear
from burnish.methods.dpo import dpo
from burnish.methods.ilr import ilr
from burnish.methods.majority import majority
from burnish.methods.naive import naive
from burnish.methods.sft import sft
from burnish.methods.verified import verified
from burnish.steps.setting import Round, Setting

__all__ = ["Round", "Setting", "run_method"]


def run_method(method: MethodConfig | RefineMethod, setting: Setting) -> list[Round]:  # noqa: PLR0911 a case a method
    """Run or plan a method; returns its rounds, the first being round 0."""
    match method:
        case SftMethod():
            return sft(setting, method)
        case NaiveMethod():
            return naive(setting, method)
        case IlrMethod():
            return ilr(setting, method)
        case DpoMethod():
            return dpo(setting, method)
        case ClearMethod():
            return clear(setting, method)
        case MajorityMethod():
            return majority(setting, method)
        case VerifiedMethod():
            return verified(setting, method)
        case _:
            assert_never(method)
