"""Makes math-verify's LaTeX grammar read in two stages: ANTLR's fast prediction, and where that fails its full one.

ANTLR promises that the fast one (SLL) ends in the tree that the full one (LL) gives, or in a syntax error. So all is
read as math-verify reads it by itself, only sooner: full prediction searches the grammar anew at each token.
"""

from __future__ import annotations

from typing import Any


def read_in_two_stages() -> None:
    """From now on, in this process."""
    from antlr4.atn.PredictionMode import PredictionMode
    from latex2sympy2_extended.latex2sympy2 import _Latex2Sympy

    create_parser = _Latex2Sympy.create_parser

    def create_fast_parser(self: Any, text: str) -> Any:
        parser = create_parser(self, text)
        read = parser.math

        def read_fast_or_fully() -> Any:
            try:
                return read()
            except Exception:
                # Anew from the text: what an error left of the tokens says nothing.
                return create_parser(self, text).math()

        parser._interp.predictionMode = PredictionMode.SLL
        parser.math = read_fast_or_fully
        return parser

    _Latex2Sympy.create_parser = create_fast_parser
