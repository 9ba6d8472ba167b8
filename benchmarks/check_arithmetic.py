"""Pass an answer whose arithmetic is right: `4+9 = 13 #### 13`. Reads and writes JSON lines (docs/tutorials/103)."""

import ast
import json
import operator
import sys
from collections.abc import Callable
from fractions import Fraction

SIGNS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def value(node: ast.expr) -> Fraction:
    """Compute an expression of numbers and the four signs."""
    match node:
        case ast.BinOp(left=left, op=op, right=right) if type(op) in SIGNS:
            return SIGNS[type(op)](value(left), value(right))
        case ast.Constant(value=number) if isinstance(number, int | float):
            return Fraction(str(number))
        case _:
            raise ValueError("no arithmetic")


def passed(answer: str) -> bool:
    """Say whether the equation and the final number agree."""
    equation, _, final = answer.partition("####")
    left, _, right = equation.partition("=")
    try:
        return value(ast.parse(left.strip(), mode="eval").body) == Fraction(right.strip()) == Fraction(final.strip())
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError):
        return False


for line in sys.stdin:
    row = json.loads(line)
    print(json.dumps({"id": row["id"], "passed": passed(row["answer"])}), flush=True)
