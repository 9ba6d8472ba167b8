"""A Python function as an annotator: it looks at a request and two answers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from burnish.annotators.program import request_text
from burnish.comparisons import both_orders, combined
from burnish.errors import AnnotatorError
from burnish.types import Comparison, Example, Order, Preference, short_hash


class FunctionAnnotator:
    """Calls `judge(request, first, second)`, which returns P(the second is better) in [0, 1], or None to abstain.

    Every pair is shown in both orders. Its identity is the function's source, or its name where that is not to be had.
    """

    order_free = False

    def __init__(self, function: Callable[[str, str, str], float | None], examples: Mapping[str, Example]) -> None:
        self.function, self.examples = function, examples
        self.fingerprint = short_hash("function", source_of(function))

    def judge(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Sequence[Preference]]:
        """Yield preferences one by one. Raises AnnotatorError where the function returns anything else."""
        for one in comparisons:
            if one.id not in done:
                rows = both_orders(one, self.examples[one.example_id].prompt)
                said = [self._asked(request_text(row.prompt), row.first, row.second) for row in rows]
                yield [combined(one.id, tuple(Order), said, self.function.__name__)]

    def _asked(self, request: str, first: str, second: str) -> float | None:
        value = self.function(request, first, second)
        if value is None or (isinstance(value, int | float) and 0 <= value <= 1):  # pyright: ignore[reportUnnecessaryIsInstance]
            return None if value is None else float(value)
        raise AnnotatorError(f"annotator: {value!r} returned by the function; return a number from 0 to 1, or None")


def source_of(function: Callable[..., object]) -> str:
    """Return a function's source, or its name where there is none (the interactive prompt)."""
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return f"{function.__module__}.{function.__qualname__}"
