"""From registered claims and results folders to verdicts, with control of false findings over the whole list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, assert_never

from burnish.evidence.measured import Absent, InWorld, apart, components_of, in_worlds
from burnish.evidence.registry import ClaimKind, RegisteredClaim
from burnish.stats import Component, Uncertain, benjamini_hochberg, over_worlds, p_alike, p_differs, p_no_gain

RATE = 0.05
"""The largest expected share of false ones among the claims that are decided."""
DIGITS = 6
"""Numbers are written with so many decimals, so that another machine writes the same file."""


class Finding(StrEnum):
    """The verdict on a registered claim."""

    HELD = "held"
    NOT_HELD = "not held"
    NOT_TOLD_APART = "cannot be told apart"
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class PValues:
    """The p-values of a claim.

    `shown` belongs to what the claim says. `differs` is the two-sided one for any difference.
    """

    shown: float
    differs: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """A claim with what was measured: the whole difference, that of each world, the tests and the components of noise.

    It has none of them while it is open, and `why` says why it is.
    """

    claim: RegisteredClaim
    found: Uncertain | None = None
    worlds: tuple[InWorld, ...] = ()
    tests: PValues | None = None
    components: tuple[Component, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A claim with its verdict. `q` are its p-values after the correction for the number of tests."""

    weighed: Weighed
    finding: Finding
    q: PValues | None


def decide(claims: Sequence[RegisteredClaim], root: Path) -> list[Decided]:
    """Return the verdict on every claim, from the results folders below `root`.

    All tests of all claims that are not open are corrected together (Benjamini and Hochberg). For `gain` and `loss`
    there is one test, two-sided. For `no_gain` and `alike` there are two: whether the margin is excluded, and whether
    there is a difference. A claim whose tests do not reject stays undecided: neither held nor not held. Raises
    DataError if a results file is wrong.
    """
    weighed = [weigh(claim, root) for claim in claims]
    tests = [(place, name) for place, one in enumerate(weighed) if one.tests for name in _names(one.claim.kind)]
    p_values = [getattr(weighed[place].tests, name) for place, name in tests]
    corrected = dict(zip(tests, benjamini_hochberg(p_values), strict=True))
    return [_decided(one, corrected, place) for place, one in enumerate(weighed)]


def _names(kind: ClaimKind) -> tuple[str, ...]:
    # For a gain or a loss both names mean the same test, which counts once.
    return ("shown", "differs") if kind.has_margin else ("shown",)


def weigh(claim: RegisteredClaim, root: Path) -> Weighed:
    """Return what the results say about one claim, before any correction."""
    try:
        worlds = in_worlds(claim, root)
    except Absent as absent:
        return Weighed(claim=claim, why=str(absent))
    found = over_worlds([world.found for world in worlds], independent=apart(worlds))
    differs = p_differs(found)
    match claim.kind:
        case ClaimKind.GAIN | ClaimKind.LOSS:
            shown = differs
        case ClaimKind.NO_GAIN:
            assert claim.margin is not None, claim
            shown = p_no_gain(found, claim.margin)
        case ClaimKind.ALIKE:
            assert claim.margin is not None, claim
            shown = p_alike(found, claim.margin)
        case _:
            assert_never(claim.kind)
    return Weighed(
        claim=claim,
        found=found,
        worlds=tuple(worlds),
        tests=PValues(shown=shown, differs=differs),
        components=components_of(worlds),
    )


def _decided(weighed: Weighed, corrected: Mapping[tuple[int, str], float], place: int) -> Decided:
    if weighed.found is None:
        return Decided(weighed=weighed, finding=Finding.OPEN, q=None)
    shown = corrected[place, "shown"]
    q = PValues(shown=shown, differs=corrected.get((place, "differs"), shown))
    return Decided(weighed=weighed, finding=verdict(weighed.claim.kind, weighed.found.value, q), q=q)


def verdict(kind: ClaimKind, difference: float, q: PValues) -> Finding:
    """Return what corrected p-values say about a claim. Nothing is held by default."""
    shown, differs = q.shown <= RATE, q.differs <= RATE
    match kind:
        case ClaimKind.GAIN:
            held, contrary = shown and difference > 0, differs and difference < 0
        case ClaimKind.LOSS:
            held, contrary = shown and difference < 0, differs and difference > 0
        # A difference may be shown and still be smaller than the margin. The claim is then held.
        case ClaimKind.NO_GAIN:
            held, contrary = shown, differs and difference > 0
        case ClaimKind.ALIKE:
            held, contrary = shown, differs
        case _:
            assert_never(kind)
    return Finding.HELD if held else Finding.NOT_HELD if contrary else Finding.NOT_TOLD_APART


def as_record(decided: Decided) -> dict[str, Any]:
    """Return a verdict as it is written to claims.json."""
    weighed, claim = decided.weighed, decided.weighed.claim
    record: dict[str, Any] = {
        "id": claim.id,
        "statement": claim.statement,
        "kind": str(claim.kind),
        "margin": claim.margin,
        "registered": claim.registered.isoformat(),
        "seen": claim.seen,
        "verdict": str(decided.finding),
    }
    if weighed.found is None or weighed.tests is None or decided.q is None:
        return record | {"why": weighed.why}
    return record | {
        "difference": _rounded(weighed.found.value),
        "ci95": [_rounded(bound) for bound in weighed.found.bounds()],
        "p": {"shown": _rounded(weighed.tests.shown), "differs": _rounded(weighed.tests.differs)},
        "q": {"shown": _rounded(decided.q.shown), "differs": _rounded(decided.q.differs)},
        "worlds": [_world(world) for world in weighed.worlds],
        "noise": [
            {
                "source": part.name,
                "variance": _rounded(part.variance, 9),
                "of_mean": _rounded(part.of_mean, 9),
                "df": part.df,
            }
            for part in weighed.components
        ],
    }


def _world(world: InWorld) -> dict[str, Any]:
    a, b = world.results
    return {
        "results": a if a == b else [a, b],
        "difference": _rounded(world.found.value),
        "ci95": [_rounded(bound) for bound in world.found.bounds()],
        "seeds": world.seeds,
        "orders": world.orders,
        "prompts": world.prompts or None,
        "basis": world.basis,
    }


def _rounded(value: float | None, digits: int = DIGITS) -> float | None:
    # + 0.0 turns -0.0 into 0.0.
    return None if value is None else round(value, digits) + 0.0
