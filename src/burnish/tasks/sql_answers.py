"""Graders for answers that are queries. A query is found in a text, run in the sandbox, and compared by its result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from burnish.errors import DataError
from burnish.protocols import AnswerReport
from burnish.sql.compare import Equality
from burnish.sql.extract import extract, holds_a_statement
from burnish.sql.gold import QueryResults, Result, same
from burnish.sql.outcome import Kind, Limits
from burnish.sql.sandbox import Query, Sandbox
from burnish.types import Answer, AnswerKind, Example, Grade

KIND = "text_to_sql"
DATABASE = "database"
"""The key of an example's metadata that has the name of its database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Runs queries and keeps their results: those of answers, and those of gold queries."""

    answers: QueryResults
    gold: QueryResults


@lru_cache
def engine(limits: Limits, cache: Path | None) -> Engine:
    """Return this process's engine. All tasks with the same limits and cache share it."""
    # Both share the worker processes. Only results of gold queries are written into the folder, because every run needs
    # the same ones.
    sandbox = Sandbox(limits)
    return Engine(answers=QueryResults(sandbox), gold=QueryResults(sandbox, cache))


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """An answer compared with its gold query.

    `extracted` is the answer's query, or None if it has none. `answer` is the result of the answer. If there is no
    query to run, it says why. `gold` is the result of the gold query.
    """

    extracted: str | None
    answer: Result
    gold: Result
    correct: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlAnswers:
    """The grader of tasks whose answer is a query.

    `place` turns the name of a database in an example's metadata into a path. `equality` says when two results are the
    same. `cache` is a folder for the results of gold queries.
    """

    place: Callable[[str], Path] = Path
    equality: Equality = Equality.SET
    limits: Limits = field(default_factory=Limits)
    cache: Path | None = None

    @property
    def engine(self) -> Engine:
        """The engine that runs the queries."""
        return engine(self.limits, self.cache)

    def on(self, example: Example) -> OnDatabase:
        """Return the grader that compares queries by their results on the example's database."""
        return OnDatabase(answers=self, example=example)

    def learned(self, completion: str) -> Answer | None:
        """Return the whole text as the answer if it has a statement to learn, else None."""
        return Answer(text=completion, kind=AnswerKind.TEXT) if holds_a_statement(completion) else None

    def execute(self, answers: Iterable[tuple[Example, str]], gold: bool) -> None:
        """Run the queries of many answers in all worker processes, and with `gold` also the references.

        The results are kept, so that a grader later only looks them up. Raises DataError if a database is missing or
        cannot be read, or if a reference is needed and blank.
        """
        pairs = [(self.database_of(example), example, extract(text)) for example, text in answers]
        self.engine.answers.fill(Query(database=path, sql=found.sql) for path, _, found in pairs if found.kind is None)
        if gold:
            self.engine.gold.fill(Query(database=path, sql=_reference(example)) for path, example, _ in pairs)

    def judge(self, example: Example, completion: str) -> Judged:
        """Run a completion's query and the gold query, and compare their results.

        Raises DataError if the database is missing or cannot be read, or if the reference is blank.
        """
        path, found = self.database_of(example), extract(completion)
        # The gold query is needed even if the answer has no query, because a row counts only if its reference runs.
        gold = self.engine.gold.get(Query(database=path, sql=_reference(example)))
        if found.kind is not None:
            failed = Result(kind=found.kind, message=found.message)
            return Judged(extracted=None, answer=failed, gold=gold, correct=False)
        result = self.engine.answers.get(Query(database=path, sql=found.sql))
        return Judged(extracted=found.sql, answer=result, gold=gold, correct=same(result, gold, self.equality))

    def said(self, answers: Sequence[tuple[Example, str]]) -> AnswerReport:
        """Return how many answers run (`executed`), and how many of the others ended in each way."""
        # The results of answers that were graded before are only looked up.
        self.execute(answers, gold=False)
        became = Counter(self._became(example, text) for example, text in answers)
        failed = {f"answers_{kind}": count for kind, count in sorted(became.items()) if kind != Kind.ROWS}
        return AnswerReport(shares={"executed": (became[Kind.ROWS], len(answers))}, counts=failed)

    def _became(self, example: Example, completion: str) -> str:
        found = extract(completion)
        if found.kind is not None:
            return found.kind
        return self.engine.answers.get(Query(database=self.database_of(example), sql=found.sql)).kind

    def database_of(self, example: Example) -> Path:
        """Return the path of an example's database. Raises DataError if the example's metadata name none."""
        name = example.metadata.get(DATABASE)
        if not isinstance(name, str):
            raise DataError(f"{example.id}: no {DATABASE!r} in its metadata; load the rows as text_to_sql")
        return self.place(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDatabase:
    """The grader of answers to one example. Two answers agree if their results on its database are the same."""

    answers: SqlAnswers
    example: Example

    def extract(self, completion: str) -> Answer | None:
        """Return the statement of a completion, or None if there is none or more than one."""
        found = extract(completion)
        return Answer(text=found.sql, kind=AnswerKind.TEXT) if found.kind is None else None

    def agree(self, a: Answer, b: Answer) -> bool:
        """Say whether two queries have the same result.

        A query that does not run agrees with no query, not even with itself. Raises DataError if the example names no
        database, or if the database cannot be read.
        """
        # The database is looked up here and not when the grader is made, because training finds queries in answers
        # without any metadata.
        results, database = self.answers.engine.answers, self.answers.database_of(self.example)
        first, second = (results.get(Query(database=database, sql=one.text)) for one in (a, b))
        return same(first, second, self.answers.equality)

    def grade(self, completion: str) -> Grade:
        """Compare the result of a completion's query with that of the gold query.

        Raises DataError if the gold query does not run, and as `SqlAnswers.judge` does.
        """
        judged = self.answers.judge(self.example, completion)
        if judged.gold.signature is None:
            raise DataError(
                f"{self.example.id}: the gold query does not run ({judged.gold.why}); correct it or remove the row"
            )
        if judged.answer.signature is None:
            return Grade(correct=False, extracted=judged.extracted, why=judged.answer.why)
        why = "the gold query's result" if judged.correct else "another result"
        return Grade(correct=judged.correct, extracted=judged.extracted, why=why)


def _reference(example: Example) -> str:
    if not (example.reference or "").strip():
        raise DataError(f"{example.id}: the reference is blank; write the gold query")
    return example.reference or ""
