"""Bad inputs, drawn from a seeded generator: texts, values, files of rows, configs, and replies of judges."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Callable
from random import Random
from typing import Any

TEXTS = (
    *("", " ", "\n", "\t", "\0", "\ufeff", "\u2028", "\u202e", "\x1b[31m", "é", "😀", "ﬀ", "０", "½", "\u0301" * 50),
    *("null", "None", "true", "yes", "NaN", "-Infinity", "1e999", "0x10", "1_000", "1,000", "9" * 400, "-0", "1/0"),
    *("<script>", "{{ x }}", "{% for %}", "%s", "{0}", "${HOME}", "../../etc/passwd", "~nobody/x", "a" * 3000),
    *("#### ", "#### 1 #### 2", "\\boxed{", "\\boxed{\\frac{1}{0}}", "$45{,}500$", "1e400", "#### 9" + "9" * 400),
    *("'; DROP TABLE x; --", "=1+1", "\"'", '"', "a,b\nc", "<think>", "</s>", "----", "&amp;", "\\", "\\u0000"),
)
KEYS = (
    *("id", "prompt", "completion", "question", "answer", "instruction", "input", "output", "messages", "role"),
    *("content", "context", "response", "conversations", "from", "value", "system", "history", "text", "weight"),
    *("", "a" * 300, "é", "prompt ", "Prompt", "\u202e", "burnish", "gold", "reference", "round"),
)
ROLES = ("user", "assistant", "system", "human", "gpt", "developer", "tool", "", None, 5)


NUMBERS = (0, 1, -1, 2**31, 2**63, 2**64, 10**25, -(10**19), 0.1, -0.0, 1e308, 5e-324, 1.10, 1e5, 3.0)
DEEP = "lists within lists "
"""A text that stands for lists within lists, so many."""


def text(random: Random) -> str:
    """Return a text: one of the odd ones, or a mixture."""
    if random.random() < 0.6:
        return random.choice(TEXTS)
    return "".join(random.choice([random.choice(TEXTS)[:20], "word ", str(random.randint(-99, 99))]) for _ in range(4))


def value(random: Random, depth: int = 0) -> Any:
    """Return any value that JSON can hold."""
    kind = random.randrange(10 if depth < 4 else 7)
    match kind:
        case 0 | 1 | 2:
            return text(random)
        case 3 | 4 | 5 | 6:
            return random.choice([*NUMBERS, None, True, False])
        case 7:
            return [value(random, depth + 1) for _ in range(random.randrange(4))]
        case 8:
            return f"{DEEP}{random.choice([5, 60, 400, 900])}"
        case _:
            return {random.choice(KEYS): value(random, depth + 1) for _ in range(random.randrange(4))}


def dumps(what: Any, **options: Any) -> str:
    """Encode as JSON. A text that stands for lists within lists becomes them: Python's encoder takes only some."""
    text = json.dumps(what, **options)
    return re.sub(rf'"{DEEP}([0-9]+)"', lambda match: nested(int(match[1])), text)


def nested(levels: int) -> str:
    """Return the JSON of lists within lists."""
    return "[" * levels + "1" + "]" * levels


def good_row(form: int, number: int) -> dict[str, Any]:
    """Return a sound row of one of the known forms."""
    turns = [{"role": "user", "content": f"q{number}"}, {"role": "assistant", "content": "#### 1"}]
    match form:
        case 0:
            return {"id": f"r{number}", "question": f"q{number}", "answer": "#### 1", "gold": 1}
        case 1:
            return {"prompt": f"q{number}", "completion": "1"}
        case 2:
            return {"instruction": f"q{number}", "input": "", "output": "1"}
        case 3:
            return {"messages": turns}
        case _:
            return {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "1"}]}


def row(random: Random, form: int) -> Any:
    """Return a row of a form, often spoilt in one of its values."""
    good = good_row(form, random.randrange(100))
    match random.randrange(10):
        case 0 | 8 | 9:
            return good
        case 1 | 2:
            good[random.choice(list(good))] = value(random)
        case 3:
            good.pop(random.choice(list(good)))
        case 4:
            good[random.choice(KEYS)] = value(random)
        case 5:
            good["messages"] = [
                {"role": random.choice(ROLES), "content": value(random)} for _ in range(random.randrange(4))
            ]
        case 6:
            return {random.choice(KEYS): value(random) for _ in range(random.randrange(5))}
        case _:
            return value(random)
    return good


def mangled(data: bytes, random: Random) -> bytes:
    """Return bytes with a fault: cut, changed, doubled, or with odd bytes in between."""
    place = random.randrange(len(data) + 1)
    odd = [b"\0", b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b'"', b"\r", b"{", b"]", b"\\ud800", b",", b"\n\n"]
    match random.randrange(5):
        case 0:
            return data[:place]
        case 1:
            return data[:place] + random.choice(odd) + data[place:]
        case 2:
            return data[:place] + random.randbytes(random.randrange(1, 9)) + data[place + 3 :]
        case 3:
            return data + data
        case _:
            return random.choice(
                [b"", random.randbytes(200), b"[" * 3000, data[::-1], data.decode(errors="replace").encode("utf-16")]
            )


def file_of_rows(random: Random) -> tuple[str, bytes]:
    """Return the suffix and the bytes of a file of rows."""
    form = random.randrange(5)
    rows = [row(random, form) for _ in range(random.randrange(5))]
    suffix = random.choice([".jsonl", ".jsonl", ".jsonl", ".json", ".csv", ".csv", ".jsonl.gz", ".csv.gz", ".parquet"])
    data = _WRITERS[suffix.removesuffix(".gz")](rows, random)
    if random.random() < 0.3:
        data = mangled(data, random)
    if suffix.endswith(".gz"):
        data = gzip.compress(data, 1, mtime=0)
        data = mangled(data, random) if random.random() < 0.3 else data
    return suffix, data


def _jsonl(rows: list[Any], random: Random) -> bytes:
    ends = random.choice(["\n", "\r\n", "\n\n"])
    return ends.join(dumps(one, ensure_ascii=random.random() < 0.5) for one in rows).encode(errors="replace")


def _json(rows: list[Any], random: Random) -> bytes:
    whole = random.choice([rows, {"data": rows}, rows[:1], rows])
    return dumps(whole, indent=random.choice([None, 1, 2])).encode()


def _csv(rows: list[Any], random: Random) -> bytes:
    names = random.choice([["question", "answer"], ["prompt", "completion", "id"], random.sample(KEYS, 3)])
    file = io.StringIO()
    writer = csv.writer(file, delimiter=random.choice([",", ";", "\t"]), lineterminator=random.choice(["\n", "\r\n"]))
    writer.writerow(names)
    for _ in rows:
        writer.writerow([text(random) for _ in range(random.choice([len(names), 1, 5]))])
    return file.getvalue().encode(errors="replace")


def _parquet(rows: list[Any], random: Random) -> bytes:
    """Return a Parquet file where pyarrow is there and takes the rows, else bytes that only begin like one."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq

        sink = pa.BufferOutputStream()
        table: Any = pa.Table.from_pylist([one for one in rows if isinstance(one, dict)])
        pq.write_table(table, sink)
        return sink.getvalue().to_pybytes()
    except Exception:  # whatever pyarrow says of such rows: here it only makes files
        return b"PAR1" + random.randbytes(100) + b"PAR1"


_WRITERS: dict[str, Callable[[list[Any], Random], bytes]] = {
    ".jsonl": _jsonl,
    ".json": _json,
    ".csv": _csv,
    ".parquet": _parquet,
}


def prediction(random: Random) -> dict[str, Any]:
    """Return a row for `burnish grade`."""
    given: dict[str, Any] = {"prediction": text(random), "reference": random.choice(["#### 1", "5", 7, text(random)])}
    if random.random() < 0.2:
        given[random.choice(["prediction", "reference", random.choice(KEYS)])] = value(random)
    return given


# --- configs

YAML = (
    *("2020-99-99", "!!int abc", "!!float x", "!!bool z", "!!timestamp t", "!!binary é", "!!set {a}", "!!omap [1]"),
    *("!!python/object:os.system x", "[" * 900, "{a: " * 300, "&a [*a]", "*b", "9" * 5000, "1e999", ".nan", "-.inf"),
    *("yes", "0o9", "1_000", "'", '"\\ud800"', "\t- x", "? [a]", "<<: [1]", "x" * 100_000, "190:20:30", "!t x", "%x"),
    *("&a [x, x, x, x]\nb: &b [*a, *a, *a, *a]\nc: [*b, *b, *b, *b]", "null", "[]", "{}", "~", "|", ">", "- -", "---"),
)
FIELDS = (
    *("name", "task", "task.kind", "task.train", "models.weak", "models.strong", "models.weak.source", "train.epochs"),
    *("train.learning_rate", "train.lora", "train.lora.r", "decode.beams", "decode.temperature", "methods"),
    *("methods.0.kind", "methods.0.alpha", "methods.99.alpha", "seeds", "seeds.0", "measure", "judge", "budget"),
    *("supervision.annotator", "supervision.annotator.model", "execution.workers", "differs", "variants", "a.b.c"),
    *("annotator", "annotator.prompt", "annotator.prompt_file", "annotator.labels", "data.source", "method.rounds"),
    *("model.chat_template", "", ".", "..", "a..b", "é", "x" * 5000),
)
SHORT = (
    "people",
    "oracle:",
    "oracle:x",
    "command:",
    'command:"x',
    "command:a\\",
    "classifier:",
    "judge",
    "likelihood:~",
)


def yaml_text(random: Random, good: str) -> str:
    """Return the text of a config: a good one with a fault, or a fault alone."""
    match random.randrange(4):
        case 0:
            lines = good.splitlines()
            place = random.randrange(len(lines))
            lines[place] = f"{lines[place].partition(':')[0]}: {random.choice(YAML)}"
            return "\n".join(lines)
        case 1:
            return mangled(good.encode(), random).decode(errors="replace")
        case 2:
            return f"{good}\n{random.choice(KEYS)}: {random.choice(YAML)}"
        case _:
            return random.choice(YAML)


def change(random: Random) -> str:
    """Return a change as in --set."""
    right = random.choice([random.choice(YAML), dumps(value(random)), text(random)])
    return f"{random.choice(FIELDS)}{random.choice(['=', '=', '=', '', '=='])}{right}"


def python_value(random: Random) -> Any:
    """Return anything that a caller in Python may pass."""
    odd: list[Any] = [b"x", object(), {1, 2}, range(3), 1j, "\ud800", "a\0b", float("nan"), lambda: 1, ValueError]
    return random.choice(odd) if random.random() < 0.3 else json.loads(dumps(value(random)))
