"""A small noisy dataset and its refinement on the fake backend: what tests/experiment.py is for experiments."""

from __future__ import annotations

import json
import sys
import textwrap
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forms_data import WRITERS, Rows, rows_in

from burnish.backends.fake import FakeBackend
from burnish.config import RefineConfig
from burnish.ledger.folder import ANSWERS, EXAMPLES, Folder, read_answers
from burnish.ledger.summary import Summary
from burnish.refinery import FinishedRefinement, RunOptions, refine_data
from burnish.refinery.options import Options, config_of
from burnish.store.files import read_rows
from burnish.store.stages import Store
from burnish.tasks.sums_world import generate
from burnish.types import Demonstration, Example, Reason, Refinement

COUNT, ALPHA, CAP = 60, 0.1, 6
"""Rows, share, and floor(0.1 * 60)."""
PROBLEMS = generate(COUNT, 11)
RIGHT = {problem.question: str(problem.answer) for problem in PROBLEMS}
"""Right answers by question; the questions are all different."""
assert len(RIGHT) == COUNT
WRONG_LABELS = 24
"""Two of five labels are two too high. The fake backend's wrong answers are one too high: they differ from these."""


def noisy(number: int) -> bool:
    """Say whether the label of a row is wrong."""
    return number % 5 < 2


def label(number: int) -> str:
    """Return the label that a row comes with."""
    return f"#### {PROBLEMS[number].answer + 2 * noisy(number)}"


def rows(form: str = "question") -> Rows:
    """Return the dataset in one of the known forms, with an id, a reference and a column that nobody reads."""
    return [
        {"id": f"row-{i:02d}"}
        | _sides(form, problem.question, label(i))
        | {"gold": str(problem.answer), "topic": f"t{i}"}
        for i, problem in enumerate(PROBLEMS)
    ]


def _sides(form: str, question: str, answer: str) -> dict[str, Any]:
    match form:
        case "question":
            return {"question": question, "answer": answer}
        case "text":
            return {"completion": answer, "prompt": question}
        case "alpaca":
            return {"instruction": question, "input": "", "output": answer}
        case _:
            asked = {"role": "user", "content": question, "name": "u"}
            return {"messages": [asked, {"role": "assistant", "content": answer, "name": "n"}]}


def answer_in(row: dict[str, Any]) -> str:
    """Return the answer of a row in any of the forms."""
    if "messages" in row:
        turns = json.loads(row["messages"]) if isinstance(row["messages"], str) else row["messages"]
        return str(turns[-1]["content"])
    return str(next(row[column] for column in ("answer", "completion", "output") if column in row))


def written(folder: Path, data: Rows | None = None, suffix: str = ".jsonl") -> Path:
    """Write rows (else the noisy dataset) as a file of any kind."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"data{suffix}"
    path.write_bytes(WRITERS[suffix](rows() if data is None else data))
    return path


def fake(before_unit: Callable[[str], None] = lambda _: None) -> FakeBackend:
    """Return a backend that knows the right answers."""
    return FakeBackend(RIGHT, before_unit)


def settings(source: Path | str, *changes: str, **options: Any) -> RefineConfig:
    """Return a config of two rounds with an oracle column; `options` as in Options, `changes` as in --set."""
    given: dict[str, Any] = {"annotator": "oracle:gold", "rounds": 2, "alpha": ALPHA, "differs": "number", **options}
    every = ("decode.beams=1", "decode.max_new_tokens=8", "train.lora=null", *changes)
    return config_of(Options(data=str(source), model="builtin:strong", changes=every, **given))


@dataclass(frozen=True, slots=True)
class Refined:
    """A refinement's folder, read."""

    out: Path
    store: Path

    @property
    def summary(self) -> Summary:
        return Folder(self.out).summary

    @property
    def ledger(self) -> list[Refinement]:
        return list(Folder(self.out).ledger())

    @property
    def answers(self) -> dict[str, Demonstration]:
        return dict(read_answers(self.out / ANSWERS))

    @property
    def examples(self) -> list[Example]:
        return read_rows(self.out / EXAMPLES, Example)

    @property
    def rows(self) -> Rows:
        return rows_in(self.out / self.summary.data.file)

    def of_round(self, number: int) -> list[Refinement]:
        return [line for line in self.ledger if line.round == number]

    def reasons(self, number: int) -> Counter[Reason]:
        return Counter(line.reason for line in self.of_round(number))

    def labels(self) -> list[str]:
        """Return the answers that stand by ledger and answers alone, in the order of the dataset."""
        given = {row.example_id: row for row in self.answers.values() if row.source == "given"}
        stands = {id_: row.id for id_, row in given.items()}
        stands |= {line.example_id: line.chosen for line in self.ledger}
        return [self.answers[stands[example.id]].completion for example in self.examples]


def refine(config: RefineConfig, where: Path, backend: FakeBackend | None = None, **run_options: Any) -> Refined:
    """Refine into `where`/out on the fake backend."""
    chosen, there = backend or fake(), Refined(where / "out", where / "store")
    done = refine_data(config, RunOptions(out=there.out, store=there.store, backend=lambda: chosen, **run_options))
    assert isinstance(done, FinishedRefinement)
    assert done.summary == there.summary
    return there


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder; of a store, not what says when something happened."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.json" and "locks" not in path.parts and "runs" not in path.parts
    }


def right(question: str, answer: str) -> bool:
    """Say whether an answer is the right one."""
    return answer == f"#### {RIGHT[question]}"


def right_labels(refined: Refined) -> int:
    """Count right answers in the refined question/answer file."""
    return sum(right(row["question"], row["answer"]) for row in refined.rows)


def trained_on(store: Path) -> dict[str, set[str]]:
    """Return the rows that each model in a store was trained on, by its fingerprint."""
    return {
        done.fingerprint: set(json.loads((done.path / "training.json").read_text())["trained_on"])
        for done in Store(store).every("train")
    }


def script(folder: Path, name: str, body: str) -> list[str]:
    """Write a Python program; returns its command. `body` sees `rows`, an iterator of questions, and `say`."""
    folder.mkdir(parents=True, exist_ok=True)
    head = """\
        import json, sys
        RIGHT = json.loads(%r)
        rows = (json.loads(line) for line in sys.stdin)
        def say(id, **fields):
            print(json.dumps({"id": id, **fields}), flush=True)
        """
    path = folder / name
    path.write_text(textwrap.dedent(head) % json.dumps(RIGHT) + textwrap.dedent(body))
    return [sys.executable, str(path)]
