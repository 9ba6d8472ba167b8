"""Public functions say which errors they raise."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "burnish"


def public_functions(body: list[ast.stmt]) -> Iterator[ast.FunctionDef]:
    """Yield the functions and methods that other modules may call. Functions inside functions are not among them."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node.body)
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node


def raised(function: ast.FunctionDef) -> set[str]:
    """Return the names of the errors that a function raises itself, without those that say that burnish is wrong."""
    calls = (node.exc for node in ast.walk(function) if isinstance(node, ast.Raise))
    names = {call.func.id for call in calls if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)}
    return names - {"AssertionError", "NotImplementedError"}


# Not marked slow: every change can break it.
def test_public_functions_say_what_they_raise() -> None:
    silent = [
        f"{path.relative_to(SOURCE)}:{function.lineno} {function.name}: {', '.join(sorted(raised(function)))}"
        for path in sorted(SOURCE.rglob("*.py"))
        for function in public_functions(ast.parse(path.read_text()).body)
        if raised(function) and "aise" not in (ast.get_docstring(function) or "")
    ]
    assert silent == []
