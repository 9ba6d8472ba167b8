"""The verb `seam augment`: pairs for the reward model and prompts for the policy, where the two fit least."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, assert_never

from pydantic import JsonValue

from burnish.algorithms.seam import Variant
from burnish.algorithms.seam_selection import Decision, Fate, Ranked, SelectionOrder, select_prompts
from burnish.errors import ConfigError, DataError
from burnish.report.text import plural
from burnish.seam.selecting import LEDGER_FILE, table_line
from burnish.seam.table import GOLD, PROMPT, SOURCE, TEXT, WORSE, TableRow
from burnish.store.files import pretty, write_atomic
from burnish.store.json_rows import dump_line

PAIRS_FILE, PROMPTS_FILE, SUMMARY_FILE = "pairs.jsonl", "prompts.jsonl", "augmentation.json"
FILES = (PAIRS_FILE, PROMPTS_FILE, SUMMARY_FILE, LEDGER_FILE)
"""The files in the folder of `burnish seam augment`, in the order in which they are written."""


class Taken(StrEnum):
    """What became of a row of the table."""

    TAKEN = "taken"
    """Its pairs and its prompt were written."""
    SCORE = "score"
    """Its score is too low, or with the order `random` it was not drawn."""
    UNDEFINED = "undefined"
    """It has no worse answer, and so no score."""
    NO_PAIR = "no_pair"
    """Its prompt was written, and no pair: the reward model misjudges none of its worse answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentOptions:
    """What `burnish seam augment` can be told.

    `share` is the share of the prompts with a score that is taken: those with the highest score `by`, or in another
    `order` as a control. Up to `most` pairs of a prompt are written. With `all_worse`, answers that the reward model
    judges rightly make pairs, too.
    """

    share: float
    by: Variant = Variant.SEAM
    order: SelectionOrder = SelectionOrder.HIGHEST
    most: int = 4
    all_worse: bool = False
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How many rows of the table became what, by `Taken`, and how many pairs were written."""

    rows: Mapping[str, int]
    pairs: int

    def words(self) -> Iterator[str]:
        """Yield the lines that people read."""
        prompts = self.rows.get(Taken.TAKEN, 0) + self.rows.get(Taken.NO_PAIR, 0)
        yield f"{plural(sum(self.rows.values()), 'prompt')}: {prompts:,} taken, {plural(self.pairs, 'pair')} for them"
        if nothing := self.rows.get(Taken.NO_PAIR):
            yield f"{plural(nothing, 'taken prompt')} without a pair, because no worse answer is misjudged"
        if undefined := self.rows.get(Taken.UNDEFINED):
            yield f"{plural(undefined, 'prompt')} without a worse answer not taken (no score)"


def augment(rows: Sequence[TableRow], options: AugmentOptions, out: Path) -> Augmentation:
    """Write pairs and prompts of the prompts with the highest scores into the folder `out`.

    `pairs.jsonl` has the gold answer as chosen and a worse one as rejected, the most likely worse answers first:
    `burnish reward train` and TRL read it. `prompts.jsonl` has the prompts to train the policy on, with the gold answer
    as `reference`. `ledger.jsonl` says for every row what became of it, and is written last.

    Raises ConfigError for a share outside its range, and DataError if a row has no prompt or an answer without text.
    """
    if not 0 < options.share <= 1:
        raise ConfigError(f"--share: {options.share} found; give a share above 0 and at most 1, such as 0.2")
    ranked = [Ranked(id=str(row.id), score=row.score.values[options.by], stratum=(row.source,)) for row in rows]
    decisions = select_prompts(ranked, options.share, options.order, options.seed)
    pairs: list[dict[str, JsonValue]] = []
    prompts: list[bytes] = []
    ledger: list[dict[str, Any]] = []
    for row, decision in zip(rows, decisions, strict=True):
        own: list[dict[str, JsonValue]] = []
        if decision.fate is Fate.KEPT:
            own = _pairs(row, options)
            prompts.append(table_line(row) + b"\n")
        pairs += own
        taken = _taken(decision, bool(own))
        ledger.append(
            {
                "id": decision.id,
                "taken": decision.fate is Fate.KEPT,
                "reason": str(taken),
                "score": decision.score,
                "rank": decision.rank,
                "of": decision.of,
                "source": row.source,
                "pairs": len(own),
            }
        )
    counts = Counter(str(line["reason"]) for line in ledger)
    summary = Augmentation(rows=dict(sorted(counts.items())), pairs=len(pairs))
    write_atomic(out / PAIRS_FILE, b"".join(map(dump_line, pairs)))
    write_atomic(out / PROMPTS_FILE, b"".join(prompts))
    write_atomic(out / SUMMARY_FILE, pretty({"options": options, "counts": summary}))
    write_atomic(out / LEDGER_FILE, b"".join(map(dump_line, ledger)))
    return summary


def _taken(decision: Decision, paired: bool) -> Taken:
    match decision.fate:
        case Fate.UNDEFINED:
            return Taken.UNDEFINED
        case Fate.DROPPED:
            return Taken.SCORE
        case Fate.KEPT:
            return Taken.TAKEN if paired else Taken.NO_PAIR
        case _:
            assert_never(decision.fate)


def _pairs(row: TableRow, options: AugmentOptions) -> list[dict[str, JsonValue]]:
    """Return the pairs of a row, the worse answers that the policy is most likely to write first."""
    if PROMPT not in row.values:
        raise DataError(f"{row.where}: no column {PROMPT!r}; a pair needs the prompt")
    gold, *others = (_text(row, place, value) for place, value in _answers(row))
    worse = [
        (one, text)
        for one, text in zip(row.worse, others, strict=True)
        if options.all_worse or one.reward >= row.gold.reward
    ]
    # `sorted` keeps the order of the table between equally likely answers.
    worse.sort(key=lambda answer: -answer[0].per_token)
    prompt = row.values[PROMPT]
    return [
        pair(row.id, prompt, gold, text, row.source) | {"margin": one.reward - row.gold.reward}
        for one, text in worse[: options.most]
    ]


def _answers(row: TableRow) -> Iterator[tuple[str, JsonValue]]:
    yield GOLD, row.values[GOLD]
    listed = row.values[WORSE]
    assert isinstance(listed, list), row.where
    yield from ((f"{WORSE}[{n}]", one) for n, one in enumerate(listed))


def _text(row: TableRow, place: str, value: JsonValue) -> str:
    text = value.get(TEXT) if isinstance(value, dict) else None
    if not isinstance(text, str):
        raise DataError(f"{row.where}: {place}.{TEXT}: it is missing; a pair needs the texts of its answers")
    return text


def pair(id_: JsonValue, prompt: JsonValue, chosen: str, rejected: str, source: str | None) -> dict[str, JsonValue]:
    """Return a preference pair in the form that TRL and `burnish reward train` read."""
    # TRL wants answers as lists of messages where prompts are.
    turns = isinstance(prompt, list)
    said = {"chosen": _said(chosen, turns), "rejected": _said(rejected, turns)}
    return {"id": id_, PROMPT: prompt, **said, SOURCE: source}


def _said(text: str, turns: bool) -> JsonValue:
    return [{"role": "assistant", "content": text}] if turns else text
