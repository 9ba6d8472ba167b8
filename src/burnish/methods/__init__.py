"""Methods: one file each, readable as its paper's algorithm."""

from __future__ import annotations

from typing import assert_never

from burnish.config import DpoMethod, IlrMethod, MethodConfig, NaiveMethod, SftMethod
from burnish.methods.dpo import dpo
from burnish.methods.ilr import ilr
from burnish.methods.naive import naive
from burnish.methods.setting import Round, Setting
from burnish.methods.sft import sft

__all__ = ["Round", "Setting", "run_method"]


def run_method(method: MethodConfig, setting: Setting) -> list[Round]:
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
        case _:
            assert_never(method)
