"""What a judge of instructions is made of: Alpaca, expert revisions, safe responses, and the prompts to keep out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from instruction_pairs import Revision, Row, group_of

from burnish.config import DataConfig
from burnish.config.reading import read_config
from burnish.forms import UsableRow, open_table
from burnish.selftest.labelled import LabelledPair, read_pairs_file
from burnish.store.files import read_objects
from burnish.tasks import make_task

LONGEST = 600
"""Characters of prompt and answer of a row that is taken, so that two cores are enough."""
PARTS = ("Instruction", "Input", "Response")


def rows_of(path: Path, excluded: frozenset[str]) -> list[Row]:
    """Return the rows of a table of prompts and answers, as burnish reads it, that are short and not excluded."""
    rows = [
        Row(prompt=one.prompt[-1].content.strip(), answer=one.completion.strip())
        for one in open_table(DataConfig(source=str(path))).read()
        if isinstance(one, UsableRow) and len(one.prompt[-1].content) + len(one.completion) <= LONGEST
    ]
    return [row for row in rows if row.group not in excluded]


def saferpaca(data: Path) -> list[tuple[str, Row]]:
    """Return SaferPaca's test rows with their category, the request without the words around it."""
    return [
        (line["category"], Row(prompt=bare(line["question"]), answer=line["answer"].strip()))
        for _, line in read_objects(data / "safety" / "saferpaca_test.jsonl.gz")
    ]


def bare(prompt: str) -> str:
    """Return a request without Alpaca's words around it."""
    return prompt.rpartition("Instruction:\n")[2].strip()


def general_rows(data: Path, excluded: frozenset[str]) -> list[Row]:
    """Return Alpaca's rows."""
    return rows_of(data / "alpaca" / "alpaca_subset.jsonl.gz", excluded)


def unsafe_rows(data: Path, excluded: frozenset[str]) -> list[Row]:
    """Return unsafe requests with safe responses."""
    return rows_of(data / "safety" / "safety_only_training.jsonl.gz", excluded)


def revisions(data: Path, excluded: frozenset[str]) -> list[Revision]:
    """Return the responses that experts rewrote and whose request they left as it was."""
    found: dict[str, Revision] = {}
    for _, line in read_objects(data / "alpaca" / "coachlm_expert_revision.jsonl.gz"):
        raw, revised = ([line[f"{side} {part}"].strip() for part in PARTS] for side in ("Raw", "Revised"))
        prompt = "\n\n".join(part for part in raw[:2] if part)
        if raw[:2] == revised[:2] and raw[2] != revised[2] and group_of(prompt) not in excluded:
            found[group_of(prompt)] = Revision(prompt=prompt, raw=raw[2], revised=revised[2])
    return list(found.values())


def kept_out(data: Path, experiments: Iterable[Path]) -> frozenset[str]:
    """Return the groups of prompts that training must not see."""
    texts = [row.prompt for _, row in saferpaca(data)]
    texts += [bare(pair.example.prompt[-1].content) for pair in llmbar(data)]
    for path in experiments:
        found = make_task(read_config(path).task).load()
        texts += [bare(example.prompt[-1].content) for example in (*found.train, *found.test)]
    return frozenset(map(group_of, texts))


def llmbar(data: Path) -> list[LabelledPair]:
    """Return LLMBar's pairs."""
    return read_pairs_file(data / "llmbar" / "llmbar.jsonl.gz")
