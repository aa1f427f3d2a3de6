"""The faults: each operator finds the places of a file where it can make one.

An edit is (start, end, replacement): one place of the text, changed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .source import Source, Token, closing

Edit = tuple[int, int, str]

_RELATIONS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}
_ARITHMETIC = {"+": "-", "-": "+", "*": "/", "/": "*", "%": "*"}
_ARITHMETIC |= {"+=": "-=", "-=": "+=", "*=": "/=", "/=": "*="}
_LOGIC = {"&&": "||", "||": "&&"}
_SWAPS = {"min": "max", "fmin": "fmax", "fminf": "fmaxf", "grc_min": "grc_max"}
_SWAPS |= {right: left for left, right in _SWAPS.items()}
_NO_OPERAND = {"return", "case", "else", "sizeof"}
_NUMBER = re.compile(r"(0[xX][0-9a-fA-F]+|\d+)([uUlL]*)|(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?([fFlL]?)")
_ERROR = re.compile(
    r"return\s+(?:grc_fail\b.*|grc_invalid\b.*|status|-1|NULL|false|GRC_NONE|GRADCORE_(?!OK\b)[A-Z_]+)\s*;",
    re.DOTALL,
)
_CAST = r"(?:const\s+)?(?:struct\s+|enum\s+|unsigned\s+)?(?:\w+_t|int|char|float|double|void|long|U?REAL)"
_CALL = re.compile(r"(?:[A-Za-z_]\w*(?:->|\.|\[[^;]*?\])?)+\s*\(")


@dataclass(frozen=True)
class Mutant:
    """One fault in one file.

    Attributes
    ----------
    file : str
        Its path inside the project.
    line : int
    operator : str
    edit : tuple
        What is done to the text.
    before, after : str
        The line without and with the fault.
    """

    file: str
    line: int
    operator: str
    edit: Edit
    before: str
    after: str

    @property
    def key(self) -> str:
        """What names it in the results: file, line, operator, and a hash of the line before and after."""
        return f"{self.file}:{self.line}:{self.operator}:{_hash(self.before, self.after)}"

    def rank(self, seed: int) -> str:
        """By which it is chosen: random, but the same wherever in its file the line stands."""
        return _hash(str(seed), self.file, self.operator, self.before.strip(), self.after.strip())

    def apply(self, text: str) -> str:
        start, end, replacement = self.edit
        return text[:start] + replacement + text[end:]


def mutants(file: str, text: str) -> list[Mutant]:
    """Every fault that the operators know in a file, each once."""
    source, found = Source(text), {}
    for operator, find in OPERATORS.items():
        for start, end, replacement in find(source):
            number = source.line(start)
            begin = text.rfind("\n", 0, start) + 1
            stop = text.find("\n", end)
            stop = len(text) if stop < 0 else stop
            mutant = Mutant(
                file,
                number,
                operator,
                (start, end, replacement),
                text[begin:stop],
                text[begin:start] + replacement + text[end:stop],
            )
            found.setdefault(mutant.key, mutant)
    return list(found.values())


def _relation(source: Source) -> Iterator[Edit]:
    return _signs(source, _RELATIONS)


def _logic(source: Source) -> Iterator[Edit]:
    return _signs(source, _LOGIC)


def _signs(source: Source, table: dict[str, str]) -> Iterator[Edit]:
    for word in source.tokens:
        if word.text in table:
            yield word.start, word.end, table[word.text]


def _arithmetic(source: Source) -> Iterator[Edit]:
    """Signs between two operands; a star that declares a pointer or follows one is none."""
    pointers = _declared(source)
    words = source.tokens
    for before, word, after in zip(words, words[1:], words[2:], strict=False):
        if word.text not in _ARITHMETIC or word.start in pointers:
            continue
        left = before.kind != "sign" and before.text not in _NO_OPERAND or before.text in (")", "]")
        if not word.text.endswith("=") and (not left or after.text in (")", ",", "*", ";", "const")):
            continue
        if before.text == ")" and word.text in "*-+" and _is_cast(source, before):
            continue
        yield word.start, word.end, _ARITHMETIC[word.text]


def _declared(source: Source) -> set[int]:
    """Places of declarations left of their values."""
    places: set[int] = set()
    for statement in source.statements:
        if statement.declares:
            depth, value = 0, False
            for place in range(statement.start, statement.end):
                character = source.code[place]
                depth += (character in "([{") - (character in ")]}")
                if depth == 0 and character in "=,":
                    value = character == "="
                if not value:
                    places.add(place)
    return places


def _is_cast(source: Source, bracket: Token) -> bool:
    """Whether a closing bracket ends a cast, (size_t) or (const float *), and not an operand."""
    depth, place = 0, bracket.start
    while place >= 0:
        depth += (source.code[place] == ")") - (source.code[place] == "(")
        if depth == 0:
            break
        place -= 1
    inside = source.code[place + 1 : bracket.start].strip()
    return re.fullmatch(_CAST, inside) is not None or inside.endswith("*")


def _constant(source: Source) -> Iterator[Edit]:
    """0 to 1, n to n + 1; the length of an array that is declared stays."""
    declared = _declared(source)
    for word in source.tokens:
        if word.kind != "number" or word.start in declared:
            continue
        found = _NUMBER.fullmatch(word.text)
        if not found:
            continue
        whole, suffix, real, power, kind = found.groups()
        if whole:
            base = 8 if re.fullmatch(r"0\d+", whole) else 0
            more = int(whole, base) + 1
            shown = hex(more) if whole[:2] in ("0x", "0X") else str(more)
            yield word.start, word.end, shown + suffix
        elif power:
            yield word.start, word.end, f"{real}e{int(power[1:]) + 1}{kind}"
        else:
            yield word.start, word.end, f"{float(real) + 1!r}{kind}"


def _drop_call(source: Source) -> Iterator[Edit]:
    for statement in source.statements:
        called = _CALL.match(statement.code)
        if called and not statement.code.startswith(("return", "sizeof", "_Static_assert", "grc_barrier")):
            end = closing(statement.code, called.end() - 1)
            if re.fullmatch(r"\s*(?:\(.*\))?\s*;", statement.code[end + 1 :], re.DOTALL):
                yield statement.start, statement.end, ";"


def _drop_assignment(source: Source) -> Iterator[Edit]:
    for statement in source.statements:
        if statement.declares or statement.code.startswith("return"):
            continue
        if re.match(r"[^=!<>(]*(?:\([^()]*\))?[^=!<>(]*(?:[-+*/%&|^]|<<|>>)?=(?!=)", statement.code):
            yield statement.start, statement.end, ";"


def _drop_barrier(source: Source) -> Iterator[Edit]:
    for statement in source.statements:
        if statement.code.startswith("grc_barrier"):
            yield statement.start, statement.end, ";"


def _drop_error(source: Source) -> Iterator[Edit]:
    for statement in source.statements:
        if statement.guarded and _ERROR.fullmatch(statement.code):
            yield statement.start, statement.end, ";"


def _negate(source: Source) -> Iterator[Edit]:
    for word in source.tokens:
        if word.text == "if":
            start = source.code.index("(", word.end)
            end = closing(source.code, start) + 1
            yield start, end, f"(!{source.text[start:end]})"


def _swap(source: Source) -> Iterator[Edit]:
    words = source.tokens
    for word, after in zip(words, words[1:], strict=False):
        if word.text in _SWAPS and after.text in ("(", ")"):
            yield word.start, word.end, _SWAPS[word.text]


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


OPERATORS: dict[str, Callable[[Source], Iterator[Edit]]] = {
    "relation": _relation,
    "arithmetic": _arithmetic,
    "constant": _constant,
    "drop-call": _drop_call,
    "drop-assignment": _drop_assignment,
    "negate": _negate,
    "logic": _logic,
    "drop-barrier": _drop_barrier,
    "swap-min-max": _swap,
    "drop-error": _drop_error,
}
