"""One name for one thing: no class and no type alias of the package has the name of another one."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src" / "burnish"


def names_in(source: str) -> Iterator[str]:
    """Yield the names of all classes, and of the type aliases that stand outside functions and classes."""
    tree = ast.parse(source)
    yield from (node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    for node in tree.body:
        match node:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=ast.Name(id="TypeAlias")):
                yield name
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Subscript()) if name.lstrip("_")[:1].isupper():
                # `Split = Literal[...]` is an alias, too. A constant is written in capitals alone.
                if not name.isupper():
                    yield name
            case _:
                pass


def twice(sources: dict[str, str]) -> dict[str, list[str]]:
    """Return {name: modules} of the names that stand for two things."""
    places: defaultdict[str, list[str]] = defaultdict(list)
    for module, source in sources.items():
        for name in names_in(source):
            places[name].append(module)
    return {name: modules for name, modules in places.items() if len(modules) > 1}


# Not marked slow: every change can break it.
def test_no_class_name_is_defined_twice() -> None:
    sources = {str(path.relative_to(PACKAGE)): path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}
    assert len(sources) > 100
    assert twice(sources) == {}


def test_a_name_that_stands_for_two_things_is_found() -> None:
    one = "from typing import Literal, TypeAlias\nclass Pair:\n    class Side: ...\nSplit = Literal['a']\nMOST = 3\n"
    two = "Pair: TypeAlias = tuple[int, int]\nMOST = 4\nT = list[int]\ndef f():\n    class Side: ...\n"
    assert twice({"one.py": one, "two.py": two}) == {"Pair": ["one.py", "two.py"], "Side": ["one.py", "two.py"]}
    assert twice({"one.py": one, "two.py": "Split: TypeAlias = str\n"}) == {"Split": ["one.py", "two.py"]}
