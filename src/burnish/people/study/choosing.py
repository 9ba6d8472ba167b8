"""What the answers of a study say for Figure 6: choices between labels and proposals, and the lengths of answers."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from pathlib import Path

from burnish.algorithms.choices import LabelChoice, LabelWriter
from burnish.algorithms.lengths import AnswerLengths, words_of
from burnish.config import DataConfig
from burnish.config.study import ComparisonStudy
from burnish.errors import DataError
from burnish.forms import UsableRow, open_table
from burnish.people.mailbox import Purpose
from burnish.people.study.intake import PROPOSAL
from burnish.people.study.reading import rules_of
from burnish.types import Order

_ANSWERED = """FROM answer JOIN assignment ON assignment.id = answer.assignment JOIN item ON item.id = assignment.item
    WHERE role = 'work' AND assignment.state = 'answered'"""


def label_choices(db: sqlite3.Connection) -> list[LabelChoice]:
    """Return the choices of a study of comparisons between a current label and a proposal, one for each pair.

    Pairs of an audit are left out. The list is empty if no pair has a proposal as its second answer.
    """
    rules = rules_of(db)
    assert isinstance(rules, ComparisonStudy), rules
    rows = db.execute(
        f"SELECT item.id, example_id, a_source, b_source, value, shown {_ANSWERED} AND why <> ? ORDER BY item.id",
        (Purpose.AUDIT,),
    )
    leans: defaultdict[tuple[int, str, LabelWriter], list[float]] = defaultdict(list)
    for row in rows:
        if _is_proposal(row["b_source"]):
            writer = LabelWriter.PROPOSAL if _is_proposal(row["a_source"]) else LabelWriter.ORIGINAL
            # A value below 0 is for the answer that was shown first: in the order ab, that is the current label.
            towards = 1 if row["shown"] == Order.AB else -1
            leans[row["id"], row["example_id"], writer].append(towards * row["value"] / rules.most_value)
    return [
        LabelChoice(example_id=example, writer=writer, lean=sum(found) / len(found))
        for (_, example, writer), found in leans.items()
    ]


def _is_proposal(source: str) -> bool:
    """Say whether a source names a proposal: `proposal` alone or with more behind it, such as `proposal round 1`."""
    return source.split(" ", maxsplit=1)[0] == PROPOSAL


def demonstration_texts(db: sqlite3.Connection) -> dict[str, str]:
    """Return {prompt: answer} of the work in a study of demonstrations. The first answer to a prompt counts."""
    rows = db.execute(f"SELECT prompt, text {_ANSWERED} ORDER BY answer.id DESC")
    return {row["prompt"].strip(): row["text"] for row in rows}


def lengths_of(name: str, texts: dict[str, str]) -> AnswerLengths:
    """Return the lengths of {prompt: answer}."""
    return AnswerLengths(name=name, words={prompt: words_of(text) for prompt, text in texts.items()})


def reference_texts(path: Path, prompts: set[str]) -> dict[str, str]:
    """Return {prompt: answer} of a file in people's forms, for these prompts. The first answer to a prompt counts.

    Raises DataError if the file cannot be read or has none of the prompts.
    """
    found: dict[str, str] = {}
    for row in open_table(DataConfig(source=str(path), on_bad_row="skip")).read():
        if isinstance(row, UsableRow) and (prompt := row.prompt[-1].content.strip()) in prompts:
            found.setdefault(prompt, row.completion)
    if not found:
        raise DataError(
            f"--reference: {path} has an answer to none of the {len(prompts):,} prompts of the study; name the file "
            "from which the prompts came"
        )
    return found
