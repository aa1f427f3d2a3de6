"""C source as far as a mutator needs it: what is code, where functions and their statements are."""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

# Comments, strings and characters, and whole preprocessor lines with what they continue on.
_NOT_CODE = re.compile(
    r"""/\*.*?\*/ | //[^\n]* | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'
      | ^[ \t]*\#(?:[^\n\\]|\\\n|\\.)*""",
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)
_TOKEN = re.compile(
    r"""(?P<number>\.?\d(?:[eEpP][+-]|[\w.])*) | (?P<name>[A-Za-z_]\w*)
      | (?P<sign><<=|>>=|\.\.\.|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|[^\s\w])""",
    re.VERBOSE,
)
_LABEL = re.compile(r"(?:case\b[^;{}]*|default|[A-Za-z_]\w*)\s*:(?!:)")
_HEADED = ("if", "for", "while", "switch")
# Two names in a row, perhaps with stars between them, declare something: `size_t n`, `real *restrict x`,
# `F(lanes) sum`.
_DECLARATION = re.compile(
    r"(?:(?:static|const|struct|enum|union|unsigned|signed|volatile|register)\b"
    r"|[A-Za-z_]\w*(?:\(\w+\))?(?:\s*\*+\s*|\s+)(?:(?:const|restrict)\s+)*[A-Za-z_]\w*\s*(?:[=;,\[]|$))"
)


@dataclass(frozen=True)
class Token:
    """A word of code: its kind (number, name, sign), text and place."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


@dataclass(frozen=True)
class Statement:
    """A simple statement of a function, from its first character to its semicolon."""

    start: int
    end: int
    code: str
    guarded: bool
    """Whether it stands behind a condition, an `else` or a loop's head without braces."""

    @property
    def declares(self) -> bool:
        return _DECLARATION.match(self.code) is not None


class Source:
    """One file. `code` is its text with everything that is no code blanked out, at the same places."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.code = _NOT_CODE.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), text)

    @cached_property
    def tokens(self) -> list[Token]:
        """The words inside functions, without what stands on the lines of `case` and `default`."""
        words = []
        for start, end in self.bodies:
            for found in _TOKEN.finditer(self.code, start, end):
                words.append(Token(str(found.lastgroup), found.group(), found.start()))
        labels = {self.line(word.start) for word in words if word.text in ("case", "default")}
        return [word for word in words if self.line(word.start) not in labels]

    @cached_property
    def bodies(self) -> list[tuple[int, int]]:
        """From the brace that opens a function to the one that closes it."""
        found, depth, begin, before = [], 0, 0, ""
        for place, character in enumerate(self.code):
            if character == "{":
                if depth == 0:
                    begin = place if before == ")" else -1
                depth += 1
            elif character == "}":
                depth -= 1
                if depth == 0 and begin >= 0:
                    found.append((begin, place + 1))
            if not character.isspace():
                before = character
        return found

    @cached_property
    def statements(self) -> list[Statement]:
        """The simple statements of all functions: what ends with a semicolon, heads of loops apart."""
        return [statement for start, end in self.bodies for statement in self._statements(start + 1, end - 1)]

    def _statements(self, at: int, end: int) -> Iterator[Statement]:
        guarded = False
        while at < end:
            if self.code[at].isspace() or self.code[at] in "{};":
                guarded = guarded and self.code[at].isspace()
                at += 1
                continue
            label = _LABEL.match(self.code, at)
            if label and "?" not in label.group():
                at, guarded = label.end(), False
                continue
            word = re.compile(r"\w+").match(self.code, at)
            if word and word.group() in ("else", "do"):
                at, guarded = word.end(), True
                continue
            if word and word.group() in _HEADED:
                at, guarded = closing(self.code, self.code.index("(", at)) + 1, True
                continue
            stop = self._semicolon(at, end)
            yield Statement(at, stop + 1, self.code[at : stop + 1], guarded)
            at, guarded = stop + 1, False

    def _semicolon(self, at: int, end: int) -> int:
        """The end of a statement, past what stands in brackets and braces (initialisers, literals)."""
        while at < end and self.code[at] != ";":
            at = closing(self.code, at) + 1 if self.code[at] in "([{" else at + 1
        return at

    def line(self, place: int) -> int:
        """The number of the line of a place, from 1."""
        return bisect(self._ends, place - 1) + 1

    @cached_property
    def _ends(self) -> list[int]:
        return [found.start() for found in re.finditer("\n", self.text)]

    @cached_property
    def code_lines(self) -> int:
        """Lines of functions that have code: the size of a file."""
        return sum(
            bool(line.strip(" {}")) for a, b in self.bodies for line in self.code[a:b].split("\n")
        )


def closing(code: str, at: int) -> int:
    """The place of the bracket that closes the one at a place."""
    depth = 0
    for place in range(at, len(code)):
        depth += (code[place] in "([{") - (code[place] in ")]}")
        if depth == 0:
            return place
    raise ValueError(f"a bracket without end at {at}")
