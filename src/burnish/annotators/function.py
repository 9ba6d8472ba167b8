"""A Python function as an annotator: it looks at a request and two answers."""

from __future__ import annotations

import functools
import inspect
import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from burnish.algorithms.comparisons import both_orders, combined, request_text
from burnish.errors import AnnotatorError
from burnish.services.program import gathered
from burnish.types import Comparison, Example, Order, Preference, short_hash


class FunctionAnnotator:
    """Calls `judge(request, first, second)`, which returns P(the second is better) in [0, 1], or None to abstain.

    Every pair is shown in both orders. Its identity is `source_of` the function.
    """

    order_free = False

    def __init__(self, function: Callable[[str, str, str], float | None], examples: Mapping[str, Example]) -> None:
        self.function, self.examples = function, examples
        self.fingerprint = short_hash("function", source_of(function))

    def judge(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Sequence[Preference]]:
        """Yield preferences as they come. Raises AnnotatorError where the function returns anything else."""
        yield from gathered(self._judged(comparisons, done))

    def _judged(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Preference]:
        for one in comparisons:
            if one.id not in done:
                rows = both_orders(one, self.examples[one.example_id].prompt)
                said = [self._asked(request_text(row.prompt), row.first, row.second) for row in rows]
                yield combined(one.id, tuple(Order), said, name_of(self.function))

    def _asked(self, request: str, first: str, second: str) -> float | None:
        value = self.function(request, first, second)
        if value is None or (isinstance(value, numbers.Real) and 0 <= value <= 1):  # numpy's numbers too
            return None if value is None else float(value)
        raise AnnotatorError(f"annotator: {value!r} returned by the function; return a number from 0 to 1, or None")


def name_of(function: Callable[..., object]) -> str:
    """Return a callable's name; an object has its class's."""
    return str(getattr(function, "__name__", type(function).__name__))


def source_of(function: Callable[..., object]) -> str:
    """Return a function's source, or its name where there is none (the interactive prompt).

    An object that can be called has its class's, a partial also its arguments. What a function closes over is not seen.
    """
    if isinstance(function, functools.partial):
        return f"{source_of(function.func)} {function.args!r} {function.keywords!r}"
    known: Any = function if hasattr(function, "__qualname__") else type(function)
    try:
        return inspect.getsource(known)
    except (OSError, TypeError):
        return f"{known.__module__}.{known.__qualname__}"
