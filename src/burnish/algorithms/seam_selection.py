"""Which prompts reinforcement learning should use, by their SEAM scores.

Scores of different sources of worse answers have different levels. Therefore prompts are compared by rank, and only
with prompts of their own source.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from burnish.errors import ConfigError, DataError
from burnish.types import short_hash


class SelectionOrder(StrEnum):
    """Which prompts are kept: those with the lowest scores, those with the highest, or as many at random.

    The last two are controls for experiments.
    """

    LOWEST = "lowest"
    HIGHEST = "highest"
    RANDOM = "random"


class Fate(StrEnum):
    """What becomes of a prompt. A prompt without a score is kept."""

    KEPT = "kept"
    DROPPED = "dropped"
    UNDEFINED = "undefined"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A prompt to select from. `score` is None if it has no worse answer.

    `stratum` says with which prompts it is compared, for example its source and how difficult it is.
    """

    id: str
    score: float | None
    stratum: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What became of a prompt.

    `rank` counts from 1, for the prompt that is kept first, among the `of` prompts of its stratum with a score. Both
    are None without a score.
    """

    id: str
    fate: Fate
    score: float | None
    stratum: tuple[str, ...]
    rank: int | None
    of: int | None

    @property
    def kept(self) -> bool:
        """Whether the prompt is kept."""
        return self.fate is not Fate.DROPPED


def select_prompts(
    prompts: Iterable[Ranked], keep: float, order: SelectionOrder = SelectionOrder.LOWEST, seed: int = 0
) -> list[Decision]:
    """Decide for each prompt whether it is kept, and return the decisions in the order of the prompts.

    Of the prompts with a score, the share `keep` is kept: the number is rounded to the nearest one, and at least one
    prompt is kept. Every stratum keeps this share of its own, up to one prompt. Prompts without a score are kept in
    addition. A seeded hash orders prompts with equal scores, because ids may follow the order of the data.

    Raises ConfigError if `keep` is not above 0 and at most 1, and DataError if an id occurs twice or a score is NaN.
    """
    if not 0 < keep <= 1:
        raise ConfigError(f"keep: {keep} found; give a share above 0 and at most 1, such as 0.6")
    rows = list(prompts)
    _check(rows)
    strata: dict[tuple[str, ...], list[Ranked]] = defaultdict(list)
    for row in rows:
        if row.score is not None:
            strata[row.stratum].append(row)
    ordered = {name: sorted(strata[name], key=lambda row: _place(row, order, seed)) for name in sorted(strata)}
    kept = _quotas({name: len(members) for name, members in ordered.items()}, keep)
    rank = {row.id: number for members in ordered.values() for number, row in enumerate(members, 1)}
    return [_decision(row, rank.get(row.id), len(strata[row.stratum]), kept.get(row.stratum, 0)) for row in rows]


def _check(rows: Sequence[Ranked]) -> None:
    seen: set[str] = set()
    for row in rows:
        if row.id in seen:
            raise DataError(f"row {row.id!r}: its id occurs twice; make ids unique")
        seen.add(row.id)
        if row.score is not None and math.isnan(row.score):
            raise DataError(f"row {row.id!r}: score: {row.score} found; give a number, or null without one")


def _place(row: Ranked, order: SelectionOrder, seed: int) -> tuple[float, str, str]:
    """Return the key by which the prompts of a stratum are sorted. The first ones are kept."""
    assert row.score is not None, row
    sign = {SelectionOrder.LOWEST: 1.0, SelectionOrder.HIGHEST: -1.0, SelectionOrder.RANDOM: 0.0}[order]
    # 0 times infinity would be NaN, and the random order must not look at the score at all.
    value = sign * row.score if sign else 0.0
    return value, short_hash("seam select", str(seed), row.id), row.id


def _quotas(sizes: Mapping[tuple[str, ...], int], keep: float) -> dict[tuple[str, ...], int]:
    """Divide the number of kept prompts over the strata, by the largest remainder."""
    total = sum(sizes.values())
    wanted = max(1, math.floor(keep * total + 0.5)) if total else 0
    # The share of all prompts that is really kept, so that the parts add up to a whole number.
    parts = {name: wanted * size / total for name, size in sizes.items()}
    quotas = {name: min(math.floor(part + 1e-9), sizes[name]) for name, part in parts.items()}
    # Ties go to the stratum that comes first by name.
    by_remainder = sorted(sizes, key=lambda name: (quotas[name] - parts[name], name))
    for name in by_remainder[: wanted - sum(quotas.values())]:
        quotas[name] += 1
    return quotas


def _decision(row: Ranked, rank: int | None, of: int, kept: int) -> Decision:
    fate = Fate.UNDEFINED if rank is None else Fate.KEPT if rank <= kept else Fate.DROPPED
    return Decision(
        id=row.id,
        fate=fate,
        score=row.score,
        stratum=row.stratum,
        rank=rank,
        of=None if rank is None else of,
    )


def difficulty_bins(difficulty: Mapping[str, float], bins: int) -> dict[str, int]:
    """Return {id: bin}, from 0 (the easiest) to `bins` - 1. All bins have the same number of prompts, up to one.

    Prompts of equal difficulty are in the same bin, so that a bin can be larger where many are equal. Raises
    ConfigError if `bins` is below 1, and DataError if a difficulty is not finite.
    """
    if bins < 1:
        raise ConfigError(f"strata: {bins} found; give at least 1")
    for id_, value in difficulty.items():
        if not math.isfinite(value):
            raise DataError(f"row {id_!r}: difficulty: {value} found; give a finite number")
    ordered = sorted(difficulty.values())
    # Prompts of equal difficulty lie at the middle of their places. Twice the middle is a whole number.
    middle = {value: bisect_left(ordered, value) + bisect_right(ordered, value) - 1 for value in set(ordered)}
    return {id_: middle[value] * bins // (2 * len(ordered)) for id_, value in difficulty.items()}
