"""Two ways of writing one thing that math-verify takes for different: solutions as relations or as sets of numbers,
a vector as a matrix or as a tuple.

Works on sympy's expressions, in a math-verify process alone.
"""

from __future__ import annotations

from typing import Any

SETS = ("Interval", "Union")


def same(wanted: Any, given: Any, wanted_text: str, given_text: str) -> bool | None:
    """Whether two expressions of different kinds, each with its text, are the same; None where that cannot be told."""
    for matrix, other in ((wanted, given), (given, wanted)):
        if getattr(matrix, "is_Matrix", False) and not getattr(other, "is_Matrix", False):
            return _same_vector(matrix, other)
    if not (_are_relations(wanted) or _are_relations(given)):
        return None
    one, other = solutions(wanted, wanted_text), solutions(given, given_text)
    return None if one is None or other is None else bool(one == other)


def _same_vector(matrix: Any, other: Any) -> bool | None:
    """A row or column against "(1,2)", which is read as an interval where it has two parts."""
    if 1 not in matrix.shape:
        return None
    kind = type(other).__name__
    if kind == "Interval" and other.left_open and other.right_open:
        parts = [other.start, other.end]
    elif kind == "Tuple":
        parts = list(other)
    else:
        return None
    return len(parts) == len(matrix) and all((a - b).equals(0) for a, b in zip(matrix, parts, strict=True))


def _are_relations(expression: Any) -> bool:
    """Several relations that a text joins by words."""
    return type(expression).__name__ == "FiniteSet" and all(
        getattr(part, "is_Relational", False) for part in expression
    )


def solutions(expression: Any, text: str) -> Any:
    """The real numbers that one unknown may be; None where the expression does not say it plainly."""
    from sympy import Intersection, Union

    if type(expression).__name__ in SETS:
        return expression
    if _are_relations(expression):
        if len(expression.free_symbols) != 1 or (" or " in text) == (" and " in text):
            return None
        return (Union if " or " in text else Intersection)(*(part.as_set() for part in expression))
    is_relation = getattr(expression, "is_Relational", False) or type(expression).__name__ in ("And", "Or")
    return expression.as_set() if is_relation and len(expression.free_symbols) == 1 else None
