"""The table of registered claims and verdicts, in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from burnish.evidence.measured import InWorld
from burnish.evidence.registry import ClaimKind
from burnish.evidence.verdicts import RATE, Decided, Finding, Weighed
from burnish.report.text import plural, signed_points
from burnish.stats import Uncertain

MARKS = {
    Finding.HELD: "held",
    Finding.NOT_HELD: "**not held**",
    Finding.NOT_TOLD_APART: "*cannot be told apart*",
    Finding.OPEN: "open",
}
HEAD = """<!-- Written by scripts/write_claims.py from docs/claims.yaml and docs/results; a test compares them. -->
# Registered claims

Each claim stands in [claims.yaml](claims.yaml) with its contrast, its margin and what would count against it. `make
claims` computes the verdicts from the committed results alone and writes them, with all numbers behind them, into
[claims.json](results/claims.json).

A difference is in percentage points of the metric unless the claim says otherwise, with its 95 % interval. Where the
grades of single prompts are committed, the interval covers seeds, row orders and prompts: a t interval over seeds with
what prompts add, or Newcombe's interval for one seed. With fewer than four worlds, a difference must show in each of
them, and the interval reaches over all of them. No verdict is a default:

- *held*: the data show what the claim says. For a gain or a loss, the difference is on its side of zero. For "no gain"
  and "alike", one-sided tests exclude a difference of the margin or more.
- *not held*: the data show the contrary.
- *cannot be told apart*: neither. The data are too few, or the difference is too small.
- *open*: a result that the claim needs does not exist.

Verdicts are corrected for the number of tests (Benjamini and Hochberg): of the claims that are decided, at most {rate}
are expected to be decided wrongly. `q` is the corrected p-value of what the claim says. The intervals are not
corrected, so a claim can be undecided although its interval excludes zero.
"""
SOURCES = ("world", "base", "seed", "order", "prompt")


def claims_page(decided: Sequence[Decided]) -> str:
    """Return the whole page."""
    findings = [one.finding for one in decided]
    counts = ", ".join(f"{findings.count(finding)} {finding}" for finding in Finding)
    tested = [one for one in decided if one.q is not None]
    tests = sum(2 if one.weighed.claim.kind.has_margin else 1 for one in tested)
    parts = [
        HEAD.format(rate=f"{100 * RATE:.0f} %"),
        f"Of {plural(len(decided), 'claim')}: {counts}. {plural(tests, 'test')} were corrected together.\n",
        *_tested("Claims that were registered before their results", tested, seen=False),
        *_tested("Claims that were written down when their results were known", tested, seen=True),
        *_open([one.weighed for one in decided if one.q is None]),
        *_noise(tested),
    ]
    return "\n".join(parts)


def short_table(decided: Sequence[Decided]) -> str:
    """Return a table of some claims with their verdicts and differences. Open claims are in it."""
    rows = [(one.weighed.claim.statement, MARKS[one.finding], _shown(one)) for one in decided]
    return _table(("claim", "verdict", "difference"), rows)


def _shown(one: Decided) -> str:
    found, claim = one.weighed.found, one.weighed.claim
    return _interval(found, _written(claim.a.metric)) if found is not None else ""


def _tested(title: str, tested: Sequence[Decided], *, seen: bool) -> list[str]:
    rows = [_row(one) for one in tested if one.weighed.claim.seen is seen]
    if not rows:
        return []
    return [f"## {title}\n", _table(("claim", "verdict", "difference", "q", "what it rests on"), rows)]


def _open(claims: Sequence[Weighed]) -> list[str]:
    rows = [(one.claim.statement, one.why, one.claim.registered.isoformat()) for one in claims]
    return ["## Open\n", _table(("claim", "why", "registered"), rows)] if rows else []


def _row(one: Decided) -> tuple[str, ...]:
    found, claim = one.weighed.found, one.weighed.claim
    assert found is not None, one
    assert one.q is not None, one
    write = _written(claim.a.metric)
    margin = f"; margin {write(claim.margin).lstrip('+')}" if claim.margin is not None else ""
    return (
        f"{claim.statement} ({_kind(claim.kind)}{margin})",
        MARKS[one.finding],
        _interval(found, write),
        f"{one.q.shown:.3f}" if one.q.shown >= 0.001 else "< 0.001",
        _basis(one),
    )


def _written(metric: str) -> Callable[[float], str]:
    return signed_points if not metric.startswith("kl") else "{:+.2f}".format


def _kind(kind: ClaimKind) -> str:
    return str(kind).replace("_", " ")


def _basis(one: Decided) -> str:
    """Say what the verdict rests on: each world's own difference, and once what they have in common."""
    write, worlds = _written(one.weighed.claim.a.metric), one.weighed.worlds
    each = [f"{world.results[0]} {_interval(world.found, write)}" for world in worlds]
    bases = dict.fromkeys(_counted(world) for world in worlds)
    names = each if len(worlds) > 1 else [world.results[0] for world in worlds]
    return "; ".join([*names, *bases])


def _counted(world: InWorld) -> str:
    """Say how much there is in a world, and what its interval covers."""
    orders = f" x {plural(world.orders, 'order')}" if world.orders > 1 else ""
    prompts = f" x {world.prompts:,} prompts" if world.prompts else ""
    return f"{plural(world.seeds, 'seed')}{orders}{prompts}, {world.basis}"


def _interval(found: Uncertain, write: Callable[[float], str]) -> str:
    low, high = found.bounds()
    return f"{write(found.value)} ({write(low)} to {write(high)})"


def _noise(tested: Sequence[Decided]) -> list[str]:
    """Return the table of components of noise, if some claims have any."""
    rows = [
        (one.weighed.claim.statement, *(_deviation(one, source) for source in SOURCES))
        for one in tested
        if one.weighed.components
    ]
    if not rows:
        return []
    said = (
        "## Where the noise comes from\n\nThe standard deviation of a difference between single units of each kind,\n"
        "in percentage points: the square root of the variance component, 0 where the estimate is not above zero, and\n"
        "empty where there was one unit. Where worlds and base models change together, `world` stands for both.\n"
    )
    return [said, _table(("claim", *SOURCES), rows)]


def _deviation(one: Decided, source: str) -> str:
    (variance,) = (part.variance for part in one.weighed.components if part.name == source)
    return "" if variance is None else f"{100 * max(variance, 0.0) ** 0.5:.1f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
