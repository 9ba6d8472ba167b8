"""The code names that a text mentions in backticks, and whether burnish still has them. Nothing is imported for it."""

from __future__ import annotations

import ast
import builtins
import importlib.util
import re
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from pydantic import BaseModel

from burnish.config.kinds import OneOf

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "burnish"
OTHER_CODE = (ROOT / "scripts", ROOT / "benchmarks", ROOT / "docs" / "tutorials")
FILES = {"csv", "gz", "html", "json", "jsonl", "jinja", "md", "parquet", "safetensors", "sqlite", "toml", "txt", "yaml"}
"""Endings of names that are files and not attributes."""
SQL_FUNCTIONS = {"date", "random", "randomblob"}
"""SQLite's own functions, which docs/text-to-sql.md names."""
SPAN = re.compile(r"`([^`\n]+)`")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
NAME = r"[A-Za-z_]\w*"
DOTTED = re.compile(rf"({NAME}(?:\.{NAME})+)(\(.*\))?")
CALL = re.compile(rf"({NAME})\([^()]*\)")
SNAKE = re.compile(r"_*[A-Za-z][a-z0-9]*(?:_[A-Za-z0-9]+)+")
HUMPS = re.compile(r"(?:[A-Z][a-z0-9]+){2,}")
SCRIPT = re.compile(r"[\w./-]+\.py")


@dataclass(slots=True)
class Code:
    """What burnish defines."""

    modules: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    """{dotted module: its top-level names, those that it imports among them}."""
    members: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    """{class: its methods, fields and those of its bases}."""
    defined: set[str] = field(default_factory=set[str])
    """Names of all functions, methods and classes."""
    words: set[str] = field(default_factory=set[str])
    """Every identifier, and every text in the code that looks like one: settings, columns, metrics."""
    texts: set[str] = field(default_factory=set[str])
    """Every text in the code without white space, such as the name of a group of entry points."""
    beginnings: set[str] = field(default_factory=set[str])
    """Beginnings of names that are put together: `answers_` of `answers_timeout`."""

    @property
    def stems(self) -> dict[str, set[str]]:
        """{last part of a module's name: names in all modules that are called so}."""
        found: dict[str, set[str]] = {}
        for module, names in self.modules.items():
            found.setdefault(module.rpartition(".")[2], set()).update(names)
        return found


def read_code() -> Code:
    """Read all modules of burnish, and the words of scripts and benchmarks."""
    code, bases = Code(), dict[str, set[str]]()
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        dotted = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        code.modules.setdefault(dotted, set()).update(_top(tree.body))
        parent, _, own = dotted.rpartition(".")
        code.modules.setdefault(parent, set()).add(own)
        for node in ast.walk(tree):
            _note(node, code, bases)
    for path in (path for folder in OTHER_CODE for path in folder.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            _note_words(node, code)
    for name in code.members:
        code.members[name] |= {member for base in _all_bases(name, bases) for member in code.members.get(base, ())}
    return code


def _top(body: Iterable[ast.stmt]) -> Iterator[str]:
    for node in body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.Import() | ast.ImportFrom():
                yield from (alias.asname or alias.name for alias in node.names)
            case ast.Assign():
                yield from (target.id for target in node.targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.If():
                yield from _top(node.body)
            case _:
                pass


def _note(node: ast.AST, code: Code, bases: dict[str, set[str]]) -> None:
    _note_words(node, code)
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            code.defined.add(node.name)
        case ast.ClassDef():
            code.defined.add(node.name)
            code.members.setdefault(node.name, set()).update(_top(node.body))
            bases.setdefault(node.name, set()).update(base.id for base in node.bases if isinstance(base, ast.Name))
        case _:
            pass


def _note_words(node: ast.AST, code: Code) -> None:
    match node:
        case ast.FunctionDef(name=word) | ast.AsyncFunctionDef(name=word) | ast.ClassDef(name=word):
            code.words.add(word)
        case ast.Name(id=word) | ast.arg(arg=word) | ast.Attribute(attr=word) | ast.keyword(arg=str(word)):
            code.words.add(word)
        case ast.alias():
            code.words.update(re.findall(NAME, node.name))
        case ast.Constant(value=str(text)) if not re.search(r"\s|`", text):  # no docstring
            code.words.update(re.findall(NAME, text))
            code.texts.add(text)
        case ast.JoinedStr():
            first = node.values[0] if node.values else None
            if isinstance(first, ast.Constant) and re.fullmatch(rf"{NAME}_", str(first.value)):
                code.beginnings.add(str(first.value))
        case _:
            pass


def _all_bases(name: str, bases: Mapping[str, set[str]]) -> set[str]:
    found, ahead = set[str](), list(bases.get(name, ()))
    while ahead:
        base = ahead.pop()
        if base not in found:
            found.add(base)
            ahead.extend(bases.get(base, ()))
    return found


def texts() -> Iterator[tuple[str, str, AbstractSet[str]]]:
    """Yield (where, text, local names) of all pages and docstrings. Code blocks of pages are left out.

    The changelog is left out: it names what is gone.
    """
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
    pages += [path for room in ("concepts", "tutorials") for path in sorted((ROOT / "docs" / room).glob("*.md"))]
    for path in pages:
        yield path.relative_to(ROOT).as_posix(), FENCE.sub("", path.read_text(encoding="utf-8")), frozenset()
    for path in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        yield from _docstrings(path.relative_to(ROOT).as_posix(), tree, frozenset())


def _docstrings(where: str, node: ast.AST, known: frozenset[str]) -> Iterator[tuple[str, str, AbstractSet[str]]]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            known |= {one.arg for one in ast.walk(node.args) if isinstance(one, ast.arg)}
        case ast.ClassDef():
            known |= frozenset(_top(node.body))
        case _:
            pass
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        yield f"{where}:{node.lineno}", node.value.value, known
    for child in ast.iter_child_nodes(node):
        yield from _docstrings(where, child, known)


def gone(text: str, code: Code, local: AbstractSet[str], settings: AbstractSet[str]) -> list[str]:
    """Return the code names of a text that are not there. `local` are names that hold in this text alone.

    A code name is, in backticks: a word that ends in `.py`; names with dots between them; a call; a name with an
    underscore; a name of several parts that each begin with a capital. A part in capitals (`tasks/NAME.py`) stands for
    any name.
    """
    found: list[str] = []
    for span in SPAN.findall(text):
        found += [word for word in SCRIPT.findall(span) if not _is_script(word)]
        if dotted := DOTTED.fullmatch(span):
            if not _is_dotted(dotted[1], code, local, settings):
                found.append(span)
        elif call := CALL.fullmatch(span):
            if call[1] not in code.defined | local | SQL_FUNCTIONS and not hasattr(builtins, call[1]):
                found.append(span)
        elif (SNAKE.fullmatch(span) or HUMPS.fullmatch(span)) and not _is_word(span, code, local):
            found.append(span)
    return found


def _is_script(word: str) -> bool:
    if any(part.isupper() for part in re.findall(NAME, word.removesuffix(".py"))):
        return True
    if "/" in word:
        return any((base / word).is_file() for base in (ROOT, ROOT / "src", SOURCE))
    return any(SOURCE.rglob(word)) or any((folder / word).is_file() for folder in OTHER_CODE)


def _is_dotted(name: str, code: Code, local: AbstractSet[str], settings: AbstractSet[str]) -> bool:
    first, *rest = name.split(".")
    if name.rpartition(".")[2] in FILES | {"py"} or first in local or name in settings | code.texts:
        return True
    if first == "burnish":
        return _in_module("burnish", rest, code)
    if f"burnish.{first}" in code.modules:
        return _in_module(f"burnish.{first}", rest, code)
    if first in code.stems:
        return _among(code.stems[first], rest, code)
    if first in code.members:
        return rest[0] in code.members[first]
    return importlib.util.find_spec(first) is not None  # another library's name


def _in_module(module: str, rest: list[str], code: Code) -> bool:
    while rest and f"{module}.{rest[0]}" in code.modules:
        module, rest = f"{module}.{rest[0]}", rest[1:]
    return _among(code.modules[module], rest, code)


def _among(names: AbstractSet[str], rest: list[str], code: Code) -> bool:
    if not rest:
        return True
    return rest[0] in names and (len(rest) == 1 or rest[1] in code.members.get(rest[0], ()))


def _is_word(name: str, code: Code, local: AbstractSet[str]) -> bool:
    if name in code.words | local or name.startswith(tuple(code.beginnings)):
        return True
    return not name.isupper() and any(part.isupper() for part in name.strip("_").split("_"))  # a part for any name


def setting_paths(model: type[BaseModel], seen: tuple[type, ...] = ()) -> Iterator[str]:
    """Yield the path of every setting that a config can have, as `--set` takes it."""
    for name, info in model.model_fields.items():
        yield name
        for inner in _models([info.annotation, *info.metadata]):
            if inner not in seen:
                yield from (f"{name}.{path}" for path in setting_paths(inner, (*seen, inner)))


def _models(annotations: Iterable[object]) -> Iterator[type[BaseModel]]:
    """Yield the settings classes that may stand in a field."""
    for annotation in annotations:
        if isinstance(annotation, OneOf):
            yield from annotation.classes()  # pyright: ignore[reportUnknownVariableType]
        elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield annotation
        yield from _models(get_args(annotation))
