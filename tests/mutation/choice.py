"""Which of the many thousand possible mutants a campaign takes: seeded, spread over files and operators."""

from __future__ import annotations

import math
from pathlib import Path

from .operators import OPERATORS, Mutant, mutants
from .source import Source


def core_files(root: Path) -> list[str]:
    """The files of the core that have functions."""
    paths = [path for path in sorted((root / "src_c").rglob("*")) if path.suffix in (".c", ".inc")]
    return [str(path.relative_to(root)) for path in paths if Source(path.read_text()).code_lines]


def quotas(sizes: dict[str, int], count: int) -> dict[str, int]:
    """How many mutants of `count` each file gets: by the root of its lines, and at least one.

    By the lines themselves the small files, each an idea of its own, would hardly be met. Kernels weigh half:
    their algorithms are rebuilt for every instruction set and dtype, and many tests meet each of them.
    """
    weights = {file: math.sqrt(size) / (2 if "/kernels/" in file else 1) for file, size in sizes.items()}
    total = sum(weights.values())
    shares = {file: count * weight / total for file, weight in weights.items()}
    taken = {file: max(1, math.floor(share)) for file, share in shares.items()}
    for file in sorted(shares, key=lambda file: (math.floor(shares[file]) - shares[file], file)):
        if sum(taken.values()) >= count:
            break
        taken[file] += 1
    return taken


def ranked(file: str, text: str, seed: int) -> list[Mutant]:
    """The mutants of a file in the order in which a campaign tries them: operators in turns, each at random.

    The order depends on the seed and on the mutated lines alone, so that a line added elsewhere in the
    file leaves the choice as it was.
    """
    waiting: dict[str, list[Mutant]] = {name: [] for name in OPERATORS}
    for mutant in sorted(mutants(file, text), key=lambda mutant: mutant.rank(seed)):
        waiting[mutant.operator].append(mutant)
    order = []
    while any(waiting.values()):
        turn = [queue.pop(0) for queue in waiting.values() if queue]
        order += sorted(turn, key=lambda mutant: mutant.rank(seed))
    return order
