"""SQL out of what a model wrote: thinking, fences, tags, prefixes and explanations come off, the query stays as it is.

What stands before the end of thinking (`</think>`) is no answer, and neither is a token that ends the text (`</s>`).
Of the rest this is taken, in this order:

1. what stands in `<sql> ... </sql>` or in a JSON object as `{"sql": ...}`, the last one that holds a query;
2. the last fence that holds a query (` ```sql ` or any other; one without an end runs to the end of the text);
3. the whole text, where it begins with a query, or what follows `SQL:` or stands in inline code;
4. a query inside prose: at the start of a line in any case, within a line in capitals. The first one that parses.

A query begins with SELECT, WITH ... AS ( or VALUES (. Other statements are taken where nothing else is there, so that
the sandbox can refuse them by name. Outside fences an explanation after the query is cut off where sqlglot parses
what stands before it, and never before a word that goes on with a query (WHERE, AND, ...): cutting must not mend what
is wrong. Where another query follows at once, as in a list, the text holds two statements. What sqlglot cannot parse
is handed on whole, since SQLite alone knows what it runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from burnish.algorithms.thinking import without_thinking
from burnish.errors import BackendError
from burnish.sql.outcome import Kind
from burnish.sql.wrapping import without_end_tokens, wrapped

VERSION = 2
"""Of how queries are read and run; it is part of what stages are known by."""
MOST_CHARACTERS = 100_000
"""A longer answer is refused before anybody looks into it."""
MOST_PARSED = 10_000
"""Characters of a text that is parsed; a longer one is taken as it is. sqlglot parses this many in about 50 ms."""
MOST_WEIGHT = 10_000
"""The most that parsing may cost: each token counts 2 to the power of the brackets around it.

sqlglot reads the arguments of some 80 names (`CHAR(`, `TIME(`, ...) twice, so nested calls of them double its time with
each level; it reads a weight of this in about 0.15 s. Of 4,000 gold queries of public data none weighs more than 2,600.
"""
# Twenty texts of the greatest weight take about 3 s to parse.
MOST_TRIES = 20
MOST_CUTS = 200
# A fence with a language and a line break, or with `sql` right before the query, or with nothing; it ends at the next
# fence, or with the text where the model stopped early.
_FENCE = re.compile(r"```[ \t]*(?:[\w+#.-]*[ \t]*\r?\n|sql(?:ite3?)?\b)?(.*?)(?:```|\Z)", re.DOTALL | re.IGNORECASE)
_LABEL = re.compile(r"```[ \t]*\w*")
# SQLite's names: `bare`, `"quoted"`, with backticks, in brackets. The bounds keep a quote without an end from being
# searched to the end of the text at every word WITH.
_NAME = r"""(?:\w{1,200}|"[^"\n]{1,200}"|`[^`\n]{1,200}`|\[[^]\n]{1,200}\])"""
_WITH = rf"WITH\s+(?:RECURSIVE\s+)?{_NAME}\s*(?:\([^()]*\)\s*)?AS\s*(?:(?:NOT\s+)?MATERIALIZED\s*)?\("
# The colon keeps out a heading like "Select: a, b". WITH alone begins many sentences, so the whole beginning up to the
# bracket is wanted.
_QUERY = rf"(?:SELECT\b(?!\s*:)|VALUES\s*\(|{_WITH})"
_SKIP = r"(?>\s|\ufeff|--[^\n]*\n|/\*.*?\*/)*+"  # possessive: hostile text may not make it try again
_BEGINS = re.compile(rf"{_SKIP}{_QUERY}", re.IGNORECASE | re.DOTALL)
# Each needs its next word, because prose begins with them, too: "Update the table, then analyze it. Begin."
_OTHER = re.compile(
    _SKIP + r"(?:(?:INSERT|REPLACE)\s+(?:INTO|OR)\b|UPDATE\s+\S+\s+SET\b|DELETE\s+FROM\b|(?:CREATE|DROP|ALTER)\s+"
    r"(?:TEMP|TEMPORARY|TABLE|VIEW|INDEX|TRIGGER|UNIQUE|VIRTUAL)\b|ATTACH\s+(?:DATABASE\s+)?\S+\s+AS\b|DETACH\s|"
    r"PRAGMA\s+\w+|VACUUM\b|REINDEX\b|ANALYZE\s*(?:;|\w+\s*;?\s*\Z|\Z)|EXPLAIN\s+(?:QUERY\s+PLAN\s+)?(?:SELECT|WITH)\b|"
    r"BEGIN\s*(?:;|TRANSACTION|IMMEDIATE|EXCLUSIVE|\Z)|COMMIT\b|ROLLBACK\b|SAVEPOINT\s+\w+|RELEASE\s+\w+)",
    re.IGNORECASE | re.DOTALL,
)
# What may stand before a query at the start of a line: first `> `, `* `, `- `, or the `1. ` or `2) ` of a list; then
# `**Final SQL query:** ` or `the answer is `; then a backtick.
_LINE = re.compile(
    rf"^[^\S\n]*(?:[>*-][^\S\n]+|\d{{1,3}}[.)][^\S\n]+)?(?:[*_`\s]{{0,8}}(?:the[^\S\n]+)?(?:final[^\S\n]+)?"
    rf"(?:sqlite|sql|query|answer)(?:[^\S\n]+(?:query|answer|statement))?[*_`]{{0,4}}[^\S\n]{{0,4}}(?::|is)[*_`]{{0,4}}"
    rf"\s{{0,8}})?(`?)({_QUERY})",
    re.IGNORECASE | re.MULTILINE,
)
_INLINE = re.compile(rf"(`?)\b({_QUERY})")  # capitals: prose has "select", too
_SECOND = re.compile(
    # Another query right after one: as the next item of a list, below a rule or below a comment.
    rf"(?:\s|--[^\n]*\n|/\*.*?\*/|[-=*_#>]|\d{{1,3}}[.)]\s)*+{_QUERY}",
    re.IGNORECASE | re.DOTALL,
)
_WORDS = (
    "WHERE AND OR NOT ON USING FROM GROUP ORDER HAVING LIMIT OFFSET UNION INTERSECT EXCEPT JOIN LEFT RIGHT FULL INNER "
    "OUTER CROSS NATURAL CASE WHEN THEN ELSE END BETWEEN IN LIKE GLOB IS AS BY ASC DESC SELECT WINDOW OVER COLLATE "
    "VALUES"
).replace(" ", "|")
_GOES_ON = re.compile(
    # Not a heading, a rule or an item of a list in Markdown; "In this query" begins a sentence, IN and in do not.
    rf"(?!\d{{1,3}}[.)]\s|[-*]\s+[A-Za-z]|[-=*#]{{2}}|#\s)(?:(?:{_WORDS}|{_WORDS.lower()})\b|[-+*/%|&<>=!.,()'\"\[`?@$:~0-9])"
)
_INSTALL = "text_to_sql: the package `sqlglot` is not installed; run pip install 'burnish[sql]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """One statement as it was written, or which kind of failure the text is (`sql` is then empty)."""

    sql: str = ""
    kind: Kind | None = None
    message: str = ""


@lru_cache(maxsize=4096)
def extract(text: str) -> Extracted:
    """Return the one statement of an answer, or say why there is none: empty, no SQL, two statements, too long.

    Raises BackendError where sqlglot is not installed.
    """
    answer = without_thinking(text)
    if answer is None:
        return Extracted(kind=Kind.NOT_SQL, message="the thinking has no end, and no answer follows it")
    if len(answer) > MOST_CHARACTERS:
        return Extracted(kind=Kind.REFUSED, message=f"an answer of {len(answer):,} characters")
    answer = without_end_tokens(answer)
    # A query may hold such a thing as a text of its own: `SELECT '{"sql": "SELECT 2"}'` is the answer, and not what is
    # in it.
    inner = None if _BEGINS.match(answer) else next(filter(_holds_a_query, wrapped(answer)), None)
    return _extracted(answer if inner is None else inner)


def holds_a_statement(text: str) -> bool:
    """Say whether a text holds something to run, as the first version found it, wrapped or not.

    Training leaves out texts without a statement. What is the answer in a text does not matter there, so models that
    were trained before are not trained again when finding it has a new version.
    """
    return len(text) <= MOST_CHARACTERS and _extracted(text, lists=False).kind is None


def _holds_a_query(text: str) -> bool:
    return any((_LINE.search(text), _INLINE.search(text), _OTHER.match(text)))


def _extracted(text: str, lists: bool = True) -> Extracted:
    """Look into fences first, then at the text outside them; `lists`: a list of queries is more than one."""
    if not _LABEL.sub("", text).strip("; \t\r\n"):
        return Extracted(kind=Kind.EMPTY, message="a blank answer")
    bodies = [match[1] for match in _FENCE.finditer(text)]
    outside = _FENCE.sub("\n", text) if bodies else text
    # From the last fence: models that correct themselves write the better query below the first one.
    for body in reversed(bodies):
        if _BEGINS.match(body):
            return _only(body)
    # In `DROP TABLE t; SELECT 1` the SELECT must not be picked out: the text holds two statements.
    found = None if _OTHER.match(outside) else _first_that_parses(outside, lists)
    if found is not None:
        return found
    for part in (*reversed(bodies), outside):
        if _OTHER.match(part):
            return _only(part)
    return Extracted(kind=Kind.NOT_SQL, message="no statement in it")


def _only(text: str) -> Extracted:
    """Take the first statement; what follows it is a second one, or chatter."""
    ends = [end for end in _semicolons(text) if text[:end].strip("; \t\r\n")]
    first, rest = (text[: ends[0]], text[ends[0] + 1 :].lstrip("; \t\r\n")) if ends else (text, "")
    if _BEGINS.match(rest) or _OTHER.match(rest):
        return _two(rest)
    return Extracted(sql=first.strip("; \t\r\n\ufeff"))


def _two(rest: str) -> Extracted:
    return Extracted(kind=Kind.TWO_STATEMENTS, message=f"a second one begins with {rest[:20]!r}")


def _semicolons(text: str) -> list[int]:
    """Return where statements end, as sqlglot's tokens say: not in a text, a name or a comment."""
    tokens = _tokens(text)
    if tokens is not None:
        return [token.start for token in tokens if token.token_type.name == "SEMICOLON"]
    # A quote without an end: in the explanation after the first whole statement, or else in the statement itself.
    places = [match.start() for match in re.finditer(";", text)][:MOST_TRIES]
    return [place for place in places if _tokens(text[:place]) is not None][:1]


def _first_that_parses(text: str, lists: bool) -> Extracted | None:
    """Return the first query in a text, up to where it ends; the first beginning of one where nothing parses."""
    if _BEGINS.match(text):
        starts = [0]
    else:
        lines = [match.start(2) for match in _LINE.finditer(text)]
        starts = sorted({*lines, *(match.start(2) for match in _INLINE.finditer(text))})[:MOST_TRIES]
    # Counted over all beginnings together, so that many beginnings with many cuts each stay bounded.
    tries = iter(range(MOST_TRIES))
    tails = [_out_of_code(text, start) for start in starts]
    for tail in tails:
        for piece in _shorter(tail):
            if next(tries, None) is None:
                return _only(tails[0])
            if _parses(piece):
                rest = tail[len(piece) :]
                return _two(rest.strip()) if lists and _SECOND.match(rest) else _only(piece)
    # Nothing parses. SQLite may still run it, or its error tells what is wrong.
    return _only(tails[0]) if tails else None


def _out_of_code(text: str, start: int) -> str:
    """Return the text from a query on; where a single backtick opens before it, up to the last one of its paragraph."""
    tail = text[start:]
    if start and text[start - 1] == "`":
        # The last backtick and not the next one: names in a query may stand in backticks, too.
        paragraph = re.split(r"\n\s*\n", tail, maxsplit=1)[0]
        return paragraph.rpartition("`")[0] or tail
    return tail


def _shorter(text: str) -> Iterator[str]:
    """Yield the text, then cut before what may be an explanation: at blank lines, then at lines, the last first."""
    text = text.rstrip()
    yield text
    for pattern in (r"\n\s*\n\s*", r"\n\s*"):
        for cut in reversed(list(re.finditer(pattern, text))[-MOST_CUTS:]):
            # A line that goes on with WHERE or a comma belongs to the query, even where only its loss would make the
            # rest parse.
            if not _GOES_ON.match(text, cut.end()):
                yield text[: cut.start()]


def _parses(text: str) -> bool:
    """Say whether sqlglot can read the text up to its first semicolon as SQLite's SQL.

    A text that is too long or would cost too much is not read: it is taken as it is.
    """
    if len(text) > MOST_PARSED:
        return True
    tokens = _tokens(text)
    if tokens is None:
        return False
    if _weight(tokens) > MOST_WEIGHT:
        return True
    end = next((token.start for token in tokens if token.token_type.name == "SEMICOLON"), len(text))
    sqlglot = _sqlglot()
    try:
        return bool(sqlglot.parse_one(text[:end], dialect="sqlite"))
    # sqlglot calls itself at each level of nesting: 500 CASE within one another exhaust Python's stack.
    except (sqlglot.errors.SqlglotError, RecursionError):
        return False


def _weight(tokens: list[Any]) -> int:
    """Return what parsing may cost; it stops counting where that is too much."""
    depth = weight = 0
    for token in tokens:
        match token.token_type.name:
            case "L_PAREN":
                depth += 1
            case "R_PAREN":
                depth = max(0, depth - 1)
            case _:
                pass
        weight += 1 << depth
        if weight > MOST_WEIGHT:
            break
    return weight


def _tokens(text: str) -> list[Any] | None:
    sqlglot = _sqlglot()
    try:
        return sqlglot.tokenize(text, dialect="sqlite")
    except sqlglot.errors.SqlglotError:
        return None


def _sqlglot() -> Any:
    try:
        import sqlglot  # noqa: PLC0415 (an extra)
    except ImportError:
        raise BackendError(_INSTALL) from None
    return sqlglot
