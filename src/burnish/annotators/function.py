"""An annotator that calls a Python function with a request and two answers."""

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
    """Calls a function `judge(request, first, second)`. It returns P(the second answer is better) in [0, 1], or None to
    abstain.

    The function sees every pair in both orders. The identity of the annotator is the function's source (`source_of`).
    """

    order_free = False

    def __init__(self, function: Callable[[str, str, str], float | None], examples: Mapping[str, Example]) -> None:
        self.function, self.examples = function, examples
        self.fingerprint = short_hash("function", source_of(function))

    def judge(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Sequence[Preference]]:
        """Yield preferences as they come. Raises AnnotatorError if the function returns neither a number from 0 to 1
        nor None."""
        yield from gathered(self._judged(comparisons, done))

    def _judged(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Preference]:
        for comparison in comparisons:
            if comparison.id not in done:
                rows = both_orders(comparison, self.examples[comparison.example_id].prompt)
                judged = [self._asked(request_text(row.prompt), row.first, row.second) for row in rows]
                yield combined(comparison.id, tuple(Order), judged, name_of(self.function))

    def _asked(self, request: str, first: str, second: str) -> float | None:
        value = self.function(request, first, second)
        if value is None or (isinstance(value, numbers.Real) and 0 <= value <= 1):  # Real includes numpy's numbers
            return None if value is None else float(value)
        raise AnnotatorError(f"annotator: {value!r} returned by the function; return a number from 0 to 1, or None")


def name_of(function: Callable[..., object]) -> str:
    """Return the name of a function, or the name of the class of a callable object."""
    return str(getattr(function, "__name__", type(function).__name__))


def source_of(function: Callable[..., object]) -> str:
    """Return the source of a function, or its name if there is no source (as at the interactive prompt).

    For a callable object it is the source of its class, and for a partial it includes the arguments. Values that a
    function takes from its surroundings (closures, globals) are not part of it.
    """
    # A partial has no source of its own. Its arguments are included, because they change how it judges.
    if isinstance(function, functools.partial):
        return f"{source_of(function.func)} {function.args!r} {function.keywords!r}"
    # An object with `__call__` has no `__qualname__`, but its class has. inspect.getsource takes functions and classes.
    known: Any = function if hasattr(function, "__qualname__") else type(function)
    try:
        return inspect.getsource(known)
    except (OSError, TypeError):
        return f"{known.__module__}.{known.__qualname__}"
