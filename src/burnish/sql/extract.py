"""Finds the SQL query in a model's answer, and does not change the query itself.

The text before the end of thinking (`</think>`) is not part of the answer, nor is a token that ends the text (`</s>`).
In the rest, the query is the first of these that is there:

1. the content of `<sql> ... </sql>`, or of a JSON object as `{"sql": ...}`: the last one that has a query;
2. the last code fence with a query (` ```sql ` or any other). A fence without an end goes to the end of the text;
3. the whole text if it begins with a query, or the text after `SQL:`, or inline code;
4. the first query in prose that parses. At the start of a line it may be in small letters, inside a line it must be in
   capitals.

A query begins with SELECT, WITH ... AS ( or VALUES (. If there is no query, another statement is taken, so that the
sandbox can refuse it by name. Outside fences, an explanation after the query is cut off if sqlglot can parse the text
before it. The text is never cut before a word that continues a query (WHERE, AND, ...), because a cut must not repair a
wrong query. If another query follows directly, as in a list, the text has two statements. A text that sqlglot cannot
parse is passed on whole, because only SQLite knows what it can run.
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
"""Version of how queries are found and run. It is part of the identity of stages."""
MOST_CHARACTERS = 100_000
"""A longer answer is refused without a search for a query."""
MOST_PARSED = 10_000
"""The most characters of a text that is parsed, which takes about 50 ms. A longer text is taken as it is."""
MOST_WEIGHT = 10_000
"""The largest weight of a text that is parsed. A token inside n brackets has the weight 2 to the power of n.

sqlglot reads the arguments of some 80 names (`CHAR(`, `TIME(`, ...) twice, so each level of nested calls doubles its
time. It parses a text of this weight in about 0.15 s. Of 4,000 gold queries of public data, none weighs more than
2,600.
"""
# Parsing twenty texts of the largest weight takes about 3 s.
MOST_TRIES = 20
MOST_CUTS = 200
# A fence has a language and a line break, or `sql` right before the query, or neither. It ends at the next fence, or at
# the end of the text if the model stopped early.
_FENCE = re.compile(r"```[ \t]*(?:[\w+#.-]*[ \t]*\r?\n|sql(?:ite3?)?\b)?(.*?)(?:```|\Z)", re.DOTALL | re.IGNORECASE)
_LABEL = re.compile(r"```[ \t]*\w*")
# SQLite's names: `bare`, `"quoted"`, with backticks, or in brackets. Without the limits on their length, a quote
# without an end would be searched to the end of the text at every word WITH.
_NAME = r"""(?:\w{1,200}|"[^"\n]{1,200}"|`[^`\n]{1,200}`|\[[^]\n]{1,200}\])"""
_WITH = rf"WITH\s+(?:RECURSIVE\s+)?{_NAME}\s*(?:\([^()]*\)\s*)?AS\s*(?:(?:NOT\s+)?MATERIALIZED\s*)?\("
# A heading like "Select: a, b" is not a query, because of its colon. WITH alone begins many sentences, so the pattern
# needs the whole beginning up to the bracket.
_QUERY = rf"(?:SELECT\b(?!\s*:)|VALUES\s*\(|{_WITH})"
_SKIP = r"(?>\s|\ufeff|--[^\n]*\n|/\*.*?\*/)*+"  # possessive, so that hostile text cannot make it try again
_BEGINS = re.compile(rf"{_SKIP}{_QUERY}", re.IGNORECASE | re.DOTALL)
# Each word needs the word after it, because sentences begin with them, too: "Update the table, then analyze it. Begin."
_OTHER = re.compile(
    _SKIP + r"(?:(?:INSERT|REPLACE)\s+(?:INTO|OR)\b|UPDATE\s+\S+\s+SET\b|DELETE\s+FROM\b|(?:CREATE|DROP|ALTER)\s+"
    r"(?:TEMP|TEMPORARY|TABLE|VIEW|INDEX|TRIGGER|UNIQUE|VIRTUAL)\b|ATTACH\s+(?:DATABASE\s+)?\S+\s+AS\b|DETACH\s|"
    r"PRAGMA\s+\w+|VACUUM\b|REINDEX\b|ANALYZE\s*(?:;|\w+\s*;?\s*\Z|\Z)|EXPLAIN\s+(?:QUERY\s+PLAN\s+)?(?:SELECT|WITH)\b|"
    r"BEGIN\s*(?:;|TRANSACTION|IMMEDIATE|EXCLUSIVE|\Z)|COMMIT\b|ROLLBACK\b|SAVEPOINT\s+\w+|RELEASE\s+\w+)",
    re.IGNORECASE | re.DOTALL,
)
# A line with a query may begin with other text: first `> `, `* `, `- `, or the `1. ` or `2) ` of a list, then
# `**Final SQL query:** ` or `the answer is `, then a backtick.
_LINE = re.compile(
    rf"^[^\S\n]*(?:[>*-][^\S\n]+|\d{{1,3}}[.)][^\S\n]+)?(?:[*_`\s]{{0,8}}(?:the[^\S\n]+)?(?:final[^\S\n]+)?"
    rf"(?:sqlite|sql|query|answer)(?:[^\S\n]+(?:query|answer|statement))?[*_`]{{0,4}}[^\S\n]{{0,4}}(?::|is)[*_`]{{0,4}}"
    rf"\s{{0,8}})?(`?)({_QUERY})",
    re.IGNORECASE | re.MULTILINE,
)
_INLINE = re.compile(rf"(`?)\b({_QUERY})")  # only capitals, because prose has the word "select", too
_SECOND = re.compile(
    # Another query directly after the first one: the next item of a list, or below a line of dashes or a comment.
    rf"(?:\s|--[^\n]*\n|/\*.*?\*/|[-=*_#>]|\d{{1,3}}[.)]\s)*+{_QUERY}",
    re.IGNORECASE | re.DOTALL,
)
_WORDS = (
    "WHERE AND OR NOT ON USING FROM GROUP ORDER HAVING LIMIT OFFSET UNION INTERSECT EXCEPT JOIN LEFT RIGHT FULL INNER "
    "OUTER CROSS NATURAL CASE WHEN THEN ELSE END BETWEEN IN LIKE GLOB IS AS BY ASC DESC SELECT WINDOW OVER COLLATE "
    "VALUES"
).replace(" ", "|")
_GOES_ON = re.compile(
    # Not a heading, a line of dashes or a list item in Markdown. "In this query" begins a sentence, but IN and in do
    # not.
    rf"(?!\d{{1,3}}[.)]\s|[-*]\s+[A-Za-z]|[-=*#]{{2}}|#\s)(?:(?:{_WORDS}|{_WORDS.lower()})\b|[-+*/%|&<>=!.,()'\"\[`?@$:~0-9])"
)
_INSTALL = "text_to_sql: the package `sqlglot` is not installed; run pip install 'burnish[sql]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """The one statement of a text as it was written, or the kind of failure. With a failure, `sql` is empty."""

    sql: str = ""
    kind: Kind | None = None
    message: str = ""


@lru_cache(maxsize=4096)
def extract(text: str) -> Extracted:
    """Return the one statement of an answer, or why there is none: it is empty, not SQL, two statements or too long.

    Raises BackendError if sqlglot is not installed.
    """
    answer = without_thinking(text)
    if answer is None:
        return Extracted(kind=Kind.NOT_SQL, message="the thinking has no end, and no answer follows it")
    if len(answer) > MOST_CHARACTERS:
        return Extracted(kind=Kind.REFUSED, message=f"an answer of {len(answer):,} characters")
    answer = without_end_tokens(answer)
    # A query may contain a JSON object or a tag in a string. In `SELECT '{"sql": "SELECT 2"}'`, the whole text is the
    # answer and not the content of the string.
    inner = None if _BEGINS.match(answer) else next(filter(_holds_a_query, wrapped(answer)), None)
    return _extracted(answer if inner is None else inner)


def holds_a_statement(text: str) -> bool:
    """Say whether a text has a statement. It searches as the first version did, without a look for tags or objects.

    Training leaves out texts without a statement. It does not matter there which statement is the answer. So a new
    version of the search does not make finished trainings run again. Raises BackendError if sqlglot is not installed.
    """
    return len(text) <= MOST_CHARACTERS and _extracted(text, lists=False).kind is None


def _holds_a_query(text: str) -> bool:
    return any((_LINE.search(text), _INLINE.search(text), _OTHER.match(text)))


def _extracted(text: str, lists: bool = True) -> Extracted:
    """Search in fences first, then in the text outside. With `lists`, a list of queries counts as two statements."""
    if not _LABEL.sub("", text).strip("; \t\r\n"):
        return Extracted(kind=Kind.EMPTY, message="a blank answer")
    bodies = [match[1] for match in _FENCE.finditer(text)]
    outside = _FENCE.sub("\n", text) if bodies else text
    # The last fence comes first, because models that correct themselves write the better query below the first one.
    for body in reversed(bodies):
        if _BEGINS.match(body):
            return _only(body)
    # In `DROP TABLE t; SELECT 1`, the SELECT must not be taken alone, because the text has two statements.
    found = None if _OTHER.match(outside) else _first_that_parses(outside, lists)
    if found is not None:
        return found
    for part in (*reversed(bodies), outside):
        if _OTHER.match(part):
            return _only(part)
    return Extracted(kind=Kind.NOT_SQL, message="no statement in it")


def _only(text: str) -> Extracted:
    """Return the first statement, unless another statement follows it. Any other text after it is dropped."""
    ends = [end for end in _semicolons(text) if text[:end].strip("; \t\r\n")]
    first, rest = (text[: ends[0]], text[ends[0] + 1 :].lstrip("; \t\r\n")) if ends else (text, "")
    if _BEGINS.match(rest) or _OTHER.match(rest):
        return _two(rest)
    return Extracted(sql=first.strip("; \t\r\n\ufeff"))


def _two(rest: str) -> Extracted:
    return Extracted(kind=Kind.TWO_STATEMENTS, message=f"a second one begins with {rest[:20]!r}")


def _semicolons(text: str) -> list[int]:
    """Return the places of semicolons that end statements, so not those inside strings, names and comments."""
    tokens = _tokens(text)
    if tokens is not None:
        return [token.start for token in tokens if token.token_type.name == "SEMICOLON"]
    # There is a quote without an end, either in an explanation after the first statement or in the statement itself.
    places = [match.start() for match in re.finditer(";", text)][:MOST_TRIES]
    return [place for place in places if _tokens(text[:place]) is not None][:1]


def _first_that_parses(text: str, lists: bool) -> Extracted | None:
    """Return the first query in a text that parses. If none parses, return the text from the first beginning of one."""
    if _BEGINS.match(text):
        starts = [0]
    else:
        lines = [match.start(2) for match in _LINE.finditer(text)]
        starts = sorted({*lines, *(match.start(2) for match in _INLINE.finditer(text))})[:MOST_TRIES]
    # The tries of all beginnings are counted together, so that many beginnings with many cuts each do not take long.
    tries = iter(range(MOST_TRIES))
    tails = [_out_of_code(text, start) for start in starts]
    for tail in tails:
        for piece in _shorter(tail):
            if next(tries, None) is None:
                return _only(tails[0])
            if _parses(piece):
                rest = tail[len(piece) :]
                return _two(rest.strip()) if lists and _SECOND.match(rest) else _only(piece)
    # Nothing parses. SQLite may still run it, or its error says what is wrong.
    return _only(tails[0]) if tails else None


def _out_of_code(text: str, start: int) -> str:
    """Return the text from the start of a query. After a backtick, it goes to the last backtick of the paragraph."""
    tail = text[start:]
    if start and text[start - 1] == "`":
        # It is the last backtick and not the next one, because names in a query may be in backticks, too.
        paragraph = re.split(r"\n\s*\n", tail, maxsplit=1)[0]
        return paragraph.rpartition("`")[0] or tail
    return tail


def _shorter(text: str) -> Iterator[str]:
    """Yield the text, then shorter texts that end before what may be an explanation.

    They are cut at blank lines first, then at other line breaks, each time from the last one to the first.
    """
    text = text.rstrip()
    yield text
    for pattern in (r"\n\s*\n\s*", r"\n\s*"):
        for cut in reversed(list(re.finditer(pattern, text))[-MOST_CUTS:]):
            # A line that begins with WHERE or a comma belongs to the query, even if the rest parses only without it.
            if not _GOES_ON.match(text, cut.end()):
                yield text[: cut.start()]


def _parses(text: str) -> bool:
    """Say whether sqlglot can parse the text up to its first semicolon as SQLite's SQL.

    A text that is too long or too heavy is not parsed. It counts as one that parses.
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
    # sqlglot calls itself at each level of nesting, so 500 nested CASE use up Python's stack.
    except (sqlglot.errors.SqlglotError, RecursionError):
        return False


def _weight(tokens: list[Any]) -> int:
    """Return the weight of a text for parsing. The count stops when it is above the limit."""
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
