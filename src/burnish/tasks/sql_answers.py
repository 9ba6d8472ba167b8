"""Queries as answers: taken out of text, executed in the sandbox, compared by their results."""

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
"""The key of an example's metadata that names its database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Where queries are run, and what is known of them; one for all tasks with the same limits and cache."""

    answers: QueryResults
    gold: QueryResults


@lru_cache
def engine(limits: Limits, cache: Path | None) -> Engine:
    """Return the engine of this process."""
    # Both share the worker processes. Only gold queries are written into the folder, since every run needs the same
    # ones.
    sandbox = Sandbox(limits)
    return Engine(answers=QueryResults(sandbox), gold=QueryResults(sandbox, cache))


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One answer beside its gold query. `answer` is what became of it, also where there is no query to run."""

    extracted: str | None
    answer: Result
    gold: Result
    correct: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlAnswers:
    """What tasks with a query as the answer share; `place` turns the name in an example's metadata into a path."""

    place: Callable[[str], Path] = Path
    equality: Equality = Equality.SET
    limits: Limits = field(default_factory=Limits)
    cache: Path | None = None

    @property
    def engine(self) -> Engine:
        """Where queries are run."""
        return engine(self.limits, self.cache)

    def on(self, example: Example) -> OnDatabase:
        """Return the grader that compares queries by their results on the example's database."""
        return OnDatabase(answers=self, example=example)

    def learned(self, completion: str) -> Answer | None:
        """Return an answer that holds a statement to learn; the text stands for it."""
        return Answer(text=completion, kind=AnswerKind.TEXT) if holds_a_statement(completion) else None

    def execute(self, answers: Iterable[tuple[Example, str]], gold: bool) -> None:
        """Run the queries of many answers in all worker processes, and with `gold` the references too.

        The results are kept, so that a grader then only looks them up.
        """
        pairs = [(self.database_of(example), example, extract(text)) for example, text in answers]
        self.engine.answers.fill(Query(database=path, sql=found.sql) for path, _, found in pairs if found.kind is None)
        if gold:
            self.engine.gold.fill(Query(database=path, sql=_reference(example)) for path, example, _ in pairs)

    def judge(self, example: Example, completion: str) -> Judged:
        """Run a completion's query and the gold one, and say what became of both."""
        path, found = self.database_of(example), extract(completion)
        # The gold query is asked for even if the answer holds no query: whether the reference runs decides if the row
        # counts.
        gold = self.engine.gold.get(Query(database=path, sql=_reference(example)))
        if found.kind is not None:
            failed = Result(kind=found.kind, message=found.message)
            return Judged(extracted=None, answer=failed, gold=gold, correct=False)
        result = self.engine.answers.get(Query(database=path, sql=found.sql))
        return Judged(extracted=found.sql, answer=result, gold=gold, correct=same(result, gold, self.equality))

    def said(self, answers: Sequence[tuple[Example, str]]) -> AnswerReport:
        """Return how many answers run (`executed`), and what became of the others."""
        # Answers that were graded before are only looked up.
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
        """Return the path of an example's database. Raises DataError for an example without one."""
        name = example.metadata.get(DATABASE)
        if not isinstance(name, str):
            raise DataError(f"{example.id}: no {DATABASE!r} in its metadata; load the rows as text_to_sql")
        return self.place(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDatabase:
    """Answers to one example: two agree if their results on its database are the same."""

    answers: SqlAnswers
    example: Example

    def extract(self, completion: str) -> Answer | None:
        """Return the one statement of a completion, None where there is none or more than one."""
        found = extract(completion)
        return Answer(text=found.sql, kind=AnswerKind.TEXT) if found.kind is None else None

    def agree(self, a: Answer, b: Answer) -> bool:
        """Say whether two queries have the same result.

        A query that does not run agrees with no query, not even with itself. Raises DataError where the example names
        no database, or the database cannot be read.
        """
        # The database is looked up here and not when the grader is made: training takes queries out of answers and
        # knows no metadata.
        results, database = self.answers.engine.answers, self.answers.database_of(self.example)
        first, second = (results.get(Query(database=database, sql=one.text)) for one in (a, b))
        return same(first, second, self.answers.equality)

    def grade(self, completion: str) -> Grade:
        """Compare a completion's result with the gold query's. Raises DataError where that one does not run."""
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
