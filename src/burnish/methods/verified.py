"""Refinement with a checker: ILR whose annotator is a program that passes or fails one answer."""

from __future__ import annotations

import dataclasses

from burnish.config import IlrMethod, VerifiedMethod
from burnish.methods.ilr import ilr
from burnish.steps.setting import Round, Setting


def verified(setting: Setting, method: VerifiedMethod) -> list[Round]:
    """Replace labels that the checker fails by proposals that it passes, at most alpha of all rows in a round."""
    assert setting.checker is not None, "the method needs a checker"
    with_checker = dataclasses.replace(setting, annotator=setting.checker)
    # Only the annotator differs from ILR, so ILR is run with the checker in the annotator's place.
    by_checker = IlrMethod(kind="ilr", name=method.name, rounds=method.rounds, alpha=method.alpha, gate=method.gate)
    return ilr(with_checker, by_checker)
