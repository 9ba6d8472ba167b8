"""Figure 6 from studies and a run: its parts as far as their data exist, all numbers, and the claims beside them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from burnish.algorithms.choices import ChoiceCounts, LabelChoice, change_of_preferred, choice_counts
from burnish.algorithms.lengths import AnswerLengths, shorter
from burnish.config.study import StudyKind
from burnish.errors import ConfigError
from burnish.people.study import reading
from burnish.people.study.choosing import demonstration_texts, label_choices, lengths_of, reference_texts
from burnish.people.study.clock import is_simulated
from burnish.people.study.folder import StudyFolder
from burnish.report.drawing import Drawing
from burnish.report.gaps import Claim, Held, unmeasured
from burnish.report.series import Point
from burnish.report.study_figures import (
    CHOICES,
    LENGTHS,
    WIN_RATES,
    choices_drawing,
    lengths_drawing,
    win_rate_lines,
    win_rates_drawing,
)
from burnish.report.text import percent, percent_range, plural, signed_points
from burnish.results import read_results
from burnish.stats import Interval
from burnish.store.files import pretty, write_atomic

NUMBERS = "figure-6.json"
LEAST = 0.2
"""The share of proposals that the paper found at least moderately preferred in each round (section 6)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyFigure:
    """The parts of Figure 6. `missing` says for each part that is not there why.

    `simulated` says that the people of some study were simulated. `lengths` has people and then the reference model.
    `rounds` are the choices of each round.
    """

    simulated: bool
    lengths: tuple[AnswerLengths, ...] = ()
    rounds: tuple[tuple[LabelChoice, ...], ...] = ()
    win_rates: tuple[tuple[str, tuple[Point, ...]], ...] = ()
    missing: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def counts(self) -> list[ChoiceCounts]:
        """The choices of each round by strength."""
        return choice_counts(self.rounds)

    def drawings(self) -> list[Drawing]:
        """Draw each part that has data."""
        people = "simulated people" if self.simulated else "people"
        drawn: list[Drawing] = []
        if self.lengths:
            drawn.append(lengths_drawing(f"Lengths of answers by {people}", self.lengths))
        if self.rounds:
            drawn.append(choices_drawing(f"What {people} chose", self.counts))
        if self.win_rates:
            drawn.append(win_rates_drawing("Win rates of ILR and DPO", self.win_rates))
        return drawn

    def claims(self) -> list[Claim]:
        """Return the paper's claims on the choices, with their verdicts here."""
        return [_over_a_fifth(self.counts), _fewer_later(self.rounds)]

    def as_json(self) -> dict[str, Any]:
        """Return all numbers of the figure, with their intervals."""
        return {
            "simulated": self.simulated,
            "lengths": [_length_numbers(one) for one in self.lengths],
            "people_shorter": shorter(*self.lengths) if len(self.lengths) == 2 else None,
            "choices": [_choice_numbers(row) for row in self.counts],
            "win_rates": {label: [asdict(one) for one in points] for label, points in self.win_rates},
            "claims": self.claims(),
            "missing": self.missing,
        }


def study_figure(
    studies: Sequence[Path],
    *,
    reference: Path | None = None,
    reference_name: str = "reference",
    run: Path | None = None,
) -> StudyFigure:
    """Read what Figure 6 shows from studies, from the answers of a reference model, and from the results of a run.

    Studies of demonstrations are pooled, and the first answer to a prompt counts. Studies of comparisons between labels
    and proposals are rounds 1, 2 and so on, in the order in which they are given. Raises DataError if a file cannot be
    read, and ConfigError if a study is named twice.
    """
    twice = [path for place, path in enumerate(studies) if path.resolve() in {one.resolve() for one in studies[:place]}]
    if twice:
        raise ConfigError(f"STUDY: {twice[0]} is named twice; name each study once")
    texts: dict[str, str] = {}
    rounds: list[tuple[LabelChoice, ...]] = []
    simulated, missing = False, dict[str, str]()
    for path in studies:
        with StudyFolder(path=path).opened_to_read() as db:
            simulated |= is_simulated(db)
            if reading.rules_of(db).kind is StudyKind.DEMONSTRATIONS:
                texts = demonstration_texts(db) | texts
            elif choices := label_choices(db):
                rounds.append(tuple(choices))
            else:
                missing[path.name] = "no answered pair has a proposal in it (column second_source: proposal)"
    people = lengths_of("simulated people" if simulated else "people", texts)
    lengths = _lengths(people, reference, reference_name, missing)
    if not rounds:
        missing[CHOICES] = "no study of comparisons with a label and a proposal; name one"
    win_rates = _win_rates(run, missing)
    return StudyFigure(simulated=simulated, lengths=lengths, rounds=tuple(rounds), win_rates=win_rates, missing=missing)


def _lengths(
    people: AnswerLengths, reference: Path | None, name: str, missing: dict[str, str]
) -> tuple[AnswerLengths, ...]:
    if not people.words:
        if reference is not None:
            raise ConfigError("--reference: no study with demonstrations is named; name one, or leave --reference out")
        missing[LENGTHS] = "no answered study of demonstrations; name one"
        return ()
    if reference is None:
        missing["reference"] = "no answers of a reference model; give --reference FILE"
        return (people,)
    return people, lengths_of(name, reference_texts(reference, set(people.words)))


def _win_rates(run: Path | None, missing: dict[str, str]) -> tuple[tuple[str, tuple[Point, ...]], ...]:
    if run is None:
        missing[WIN_RATES] = "not measured: no results of a run; give --run FOLDER"
        return ()
    lines = win_rate_lines(read_results(run))
    if not lines:
        missing[WIN_RATES] = f"{run.name} has no win rates of ILR or DPO; run a config of instructions with a judge"
    return tuple(lines)


def _length_numbers(one: AnswerLengths) -> dict[str, Any]:
    counts = list(one.words.values())
    first, _, third = (
        statistics.quantiles(counts, method="inclusive") if len(counts) > 1 else [*counts, *counts, *counts]
    )
    return {"name": one.name, "n": len(counts), "median": one.median, "quartiles": [first, third]}


def _choice_numbers(row: ChoiceCounts) -> dict[str, Any]:
    counts = {str(strength): count for strength, count in row.counts.items()}
    return {"round": row.round, "writer": row.writer or "all", "counts": counts, "preferred": row.preferred}


def _over_a_fifth(counts: Sequence[ChoiceCounts]) -> Claim:
    """Say whether in each round more than a fifth of the proposals are at least moderately preferred."""
    text = f"In each round, more than {LEAST:.0%} of the proposals are at least moderately preferred.".replace(
        "%", " %"
    )
    rounds = [row for row in counts if row.writer is None]
    if not rounds:
        return unmeasured(text)
    ends = [row.preferred.ci95 or (0.0, 1.0) for row in rounds]
    held, against = all(low > LEAST for low, _ in ends), any(high < LEAST for _, high in ends)
    verdict = Held.HELD if held else Held.NOT_HELD if against else Held.NOT_TOLD_APART
    said = [f"round {row.round}: {percent(row.preferred.value)} ({_range(row.preferred)})" for row in rounds]
    return Claim(text=text, verdict=verdict, detail="; ".join(said) + ".")


def _fewer_later(rounds: Sequence[Sequence[LabelChoice]]) -> Claim:
    """Say whether the proposals of round 2 are at least moderately preferred less often than those of round 1."""
    text = "In round 2, fewer proposals are at least moderately preferred than in round 1."
    change = change_of_preferred(rounds[0], rounds[1]) if len(rounds) > 1 else None
    if change is None or change.ci95 is None:
        return unmeasured(text)
    low, high = change.ci95
    verdict = Held.HELD if high < 0 else Held.NOT_HELD if low > 0 else Held.NOT_TOLD_APART
    bounds = f"{signed_points(low)} to {signed_points(high)}"
    detail = f"{signed_points(change.value)} points ({bounds}), {plural(change.n, 'prompt')} of both rounds."
    return Claim(text=text, verdict=verdict, detail=detail)


def _range(interval: Interval) -> str:
    return "no interval" if interval.ci95 is None else percent_range(interval.ci95)


def write_study_figure(figure: StudyFigure, out: Path) -> list[Path]:
    """Write the drawings and the numbers of a figure into a folder, and return the paths.

    Drawings of an earlier call whose data are gone are deleted. Raises ConfigError if there is nothing to draw.
    """
    drawings = figure.drawings()
    if not drawings:
        raise ConfigError("nothing can be drawn: " + "; ".join(figure.missing.values()))
    paths: list[Path] = []
    for drawing in drawings:
        write_atomic(out / f"{drawing.name}.svg", drawing.svg.encode())
        paths.append(out / f"{drawing.name}.svg")
    for name in (LENGTHS, CHOICES, WIN_RATES):
        if out / f"{name}.svg" not in paths:
            (out / f"{name}.svg").unlink(missing_ok=True)
    write_atomic(out / NUMBERS, pretty(figure.as_json()))
    return [*paths, out / NUMBERS]


def figure_lines(figure: StudyFigure) -> list[str]:
    """Return what the command prints beside the paths: the claims, and what is missing."""
    claims = [f"{claim.text} {claim.verdict}: {claim.detail}" for claim in figure.claims() if figure.rounds]
    return claims + [f"missing: {name}: {why}" for name, why in figure.missing.items()]
