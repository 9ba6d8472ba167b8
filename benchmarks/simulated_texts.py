"""What is read and compared in a simulated study: prompts of Alpaca, stand-ins of proposals, and planted qualities."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.algorithms.comparisons import tie_rank, verdict_of
from burnish.algorithms.ranking import Candidate
from burnish.algorithms.refinement import Acceptance, select
from burnish.store.files import read_objects
from burnish.types import Order, Preference, Reason, short_hash

SUBSET = "alpagasus_random_9k"
"""The rows of the shared Alpaca file that are a random sample of Alpaca."""
BEHIND = -0.2
"""The mean quality of a proposal minus that of a person's answer. Both have a standard deviation of 1. Ours."""
GATE = 0.83
"""P(the proposal is better) that is at least moderate: 2 of 3 points give 5 / 6 = 0.833."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A prompt with Alpaca's answer, which text-davinci-003 wrote."""

    id: str
    prompt: str
    completion: str


def alpaca_rows(path: Path, count: int, seed: int) -> list[Row]:
    """Draw prompts from the random sample in the shared Alpaca file. Each prompt comes once."""
    found: dict[str, str] = {}
    for _, line in read_objects(path):
        if SUBSET in line["subsets"] and line["output"].strip():
            prompt = "\n\n".join(part.strip() for part in (line["instruction"], line["input"]) if part.strip())
            found.setdefault(prompt, line["output"].strip())
    chosen = random.Random(f"prompts {seed}").sample(sorted(found), count)
    return [Row(id=f"alpaca-{short_hash(prompt)}", prompt=prompt, completion=found[prompt]) for prompt in chosen]


def quality(seed: int, *key: str) -> float:
    """Return the planted quality of an answer: a normal draw that depends on the key alone."""
    return random.Random(short_hash("quality", str(seed), *key)).gauss(0, 1)


def cut(row: Row, kind: str, seed: int) -> str:
    """Return a stand-in of a model's answer: the beginning of Alpaca's, with its kind in front, so that no two are
    equal."""
    count = random.Random(short_hash("cut", str(seed), kind, row.id)).randint(15, 60)
    return f"({kind}) " + " ".join(row.completion.split()[:count])


@dataclass(frozen=True, kw_only=True)
class Side:
    """An answer with who wrote it and its planted quality."""

    text: str
    source: str
    quality: float


def proposals(rows: Iterable[Row], number: int, seed: int) -> dict[str, Side]:
    """Return {prompt: the proposal of a round}. No model was trained: the texts are cut, the qualities are drawn."""
    kind = f"proposal {number}"
    return {
        row.prompt: Side(
            text=cut(row, kind, seed), source=f"proposal round {number}", quality=BEHIND + quality(seed, kind, row.id)
        )
        for row in rows
    }


def samples(rows: Iterable[Row], number: int, seed: int) -> dict[str, tuple[Side, Side]]:
    """Return {prompt: two samples of a policy} for the comparisons of DPO."""
    found: dict[str, tuple[Side, Side]] = {}
    for row in rows:
        kinds = [f"sample {number}{letter}" for letter in "ab"]
        one, other = (
            Side(text=cut(row, kind, seed), source="sample", quality=quality(seed, kind, row.id)) for kind in kinds
        )
        found[row.prompt] = one, other
    return found


def written(rows: Iterable[Row], answers: Mapping[str, str], seed: int) -> dict[str, Side]:
    """Return {prompt: what a person wrote} with its planted quality."""
    return {
        row.prompt: Side(text=answers[row.prompt], source="human", quality=quality(seed, "person", row.id))
        for row in rows
    }


def write_pairs(path: Path, rows: Iterable[Row], pairs: Mapping[str, tuple[Side, Side]]) -> None:
    """Write the pairs of a study of comparisons. A file on a bad line is not left."""
    lines: list[dict[str, Any]] = []
    for row in rows:
        a, b = pairs[row.prompt]
        sources = {"first_source": a.source, "second_source": b.source}
        lines.append({"id": row.id, "prompt": row.prompt, "first": a.text, "second": b.text, **sources})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def updated(
    rows: Iterable[Row],
    labels: Mapping[str, Side],
    proposed: Mapping[str, Side],
    leans: Mapping[str, float],
    alpha: float,
) -> dict[str, Side]:
    """Return the labels of the next round: at most a share `alpha` are replaced, the most confident choices first.

    `leans` is {id: mean choice from -1 to 1, 1 for the proposal}. Only at least moderate choices count (D.3).
    """
    candidates: list[Candidate] = []
    by_id = {row.id: row for row in rows}
    for id_, lean in sorted(leans.items()):
        p_b = 0.5 + lean / 2
        verdict = verdict_of(p_b)
        one = Preference(comparison_id=id_, shown=(Order.AB,), verdict=verdict, p_b=p_b, judge="people", raw=(p_b,))
        rank = tie_rank(one, id_)
        candidates.append(Candidate(example_id=id_, screened=None, verdict=verdict, p_b=p_b, rank=rank))
    reasons = select(candidates, alpha, len(by_id), rule=Acceptance(gate=GATE))
    accepted = {
        by_id[candidate.example_id].prompt
        for candidate, reason in zip(candidates, reasons, strict=True)
        if reason is Reason.ACCEPTED
    }
    return {prompt: proposed[prompt] if prompt in accepted else label for prompt, label in labels.items()}
