"""Which layer of an old list each layer of a new one is.

Both are taken as flat sequences, those inside a `Residual` before the block itself, so that a layer that
moves into a block, or out of it, stays the same. A longest common subsequence decides, by weight: equal
layers before others of the same class with parameters of the same shapes, and these before layers that share
only some. Layers without parameters come last: there is nothing to keep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import ArgumentError, DTypeError
from ..layers.base import Layer
from ..layers.embedding import Embedding
from ..layers.heads import Heads
from ..layers.residual import Residual
from ..validation.checks import shown
from .compiled import Compiled

_EQUAL, _ALIKE, _SOME, _BARE, _BARE_CLASS = 10**9, 10**6, 10**3, 2, 1
Shapes = dict[str, tuple[str, tuple[int, ...]]]  # role and shape, by the name behind the position


@dataclass(frozen=True)
class _Item:
    position: str
    layer: Layer
    shapes: Shapes


def align(old: Compiled, new: Compiled, positions: Mapping[object, object] | None = None) -> dict[str, str]:
    """The position in `old` of the layers of `new` that were there, by their position in `new`.

    `positions` has what is known: old positions, or None for layers that are new. What is said of a block or
    of heads holds for what is inside: aligned with the inside of that, or new.

    Raises
    ------
    ArgumentError, DTypeError
        If `positions` names a layer that is not there, or a pair that shares no parameter.
    """
    given = _checked(positions, old, new)
    mine, theirs = _items(new), _items(old)
    found: dict[str, str] = {}
    taken = set(given.values())
    for position in sorted(given, key=lambda one: -one.count(".")):  # what is inside first
        before = given[position]
        inside = [item for item in mine if _is_inside(item.position, position)]
        if before is None:
            mine = [item for item in mine if item.position != position and item not in inside]
            continue
        _check_pair(position, before, old, new)
        found[position] = before
        within = [item for item in theirs if _is_inside(item.position, before)]
        left = [item for item in within if item.position not in taken]
        found |= _align(inside, left)
        mine = [item for item in mine if item.position != position and item not in inside]
        theirs = [item for item in theirs if item not in within]
    found |= _align(mine, [item for item in theirs if item.position not in taken])
    return found | _tables(found, new)


def sources(old: Compiled, new: Compiled, found: Mapping[str, str]) -> dict[int, int]:
    """The place in `old` of every parameter of `new` that was there in the same role and shape."""
    result = {}
    for index, info in enumerate(new.infos):
        position, _, own = info["name"].rpartition(".")
        at = old.index.get(f"{found[position]}.{own}") if position in found else None
        if at is not None and _form(old, at) == _form(new, index):
            result[index] = at
    return result


def _form(model: Compiled, index: int) -> tuple[str, tuple[int, ...]]:
    return model.infos[index]["role"], tuple(model.infos[index]["shape"])


# ---- What is given ----


def _checked(
    positions: Mapping[object, object] | None, old: Compiled, new: Compiled
) -> dict[str, str | None]:
    if positions is None:
        return {}
    if not isinstance(positions, Mapping):
        raise DTypeError(f"positions: expected a dict of positions, got {shown(positions)}")
    known = [{item.position: None for item in _items(model)} for model in (new, old)]
    result: dict[str, str | None] = {}
    for key, value in positions.items():
        for what, one, places in (("", key, known[0]), (f"[{key!r}]", value, known[1])):
            if what and one is None:
                continue
            if isinstance(one, bool) or not isinstance(one, str | int):
                expected = "expected positions such as '2' or '2.1'"
                raise DTypeError(f"positions{what}: {expected}, got {shown(one)}")
            if str(one) not in places:
                expected = (
                    f"expected one of the {'old' if what else 'new'} layers {', '.join(sorted(places))}"
                )
                raise ArgumentError(f"positions{what}: {expected}, got {one!r}")
        result[str(key)] = None if value is None else str(value)
    return result


def _check_pair(position: str, before: str, old: Compiled, new: Compiled) -> None:
    mine, theirs = _shapes(new).get(position, {}), _shapes(old).get(before, {})
    if mine and not _shared(mine, theirs):
        a, b = ({name: shape for name, (_, shape) in one.items()} for one in (mine, theirs))
        raise ArgumentError(
            f"positions[{position!r}]: expected an old layer with a parameter like one of {a}, "
            f"got {before!r} with {b or 'none'}"
        )


# ---- Sequences ----


def _items(model: Compiled) -> list[_Item]:
    """All layers, those inside others before them; without the tables of embeddings."""
    result: list[_Item] = []
    shapes = _shapes(model)

    def add(layer: Layer, position: str) -> None:
        for own, inner in _inside(layer, position):
            add(inner, own)
        result.append(_Item(position, layer, shapes.get(position, {})))

    for index, layer in enumerate(model.layers):
        add(layer, str(index))
    return result


def _inside(layer: Layer, position: str) -> list[tuple[str, Layer]]:
    if isinstance(layer, Residual):
        return [(f"{position}.{index}", inner) for index, inner in enumerate(layer.layers)]
    if isinstance(layer, Heads):
        return [
            (f"{position}.{name}.{index}", inner)
            for name, layers in layer.branches
            for index, inner in enumerate(layers)
        ]
    return []


def _shapes(model: Compiled) -> dict[str, Shapes]:
    """Of the parameters of each layer, without those inside it; of an embedding with its tables."""
    result: dict[str, Shapes] = {}
    for index, info in enumerate(model.infos):
        owner, _, own = info["name"].rpartition(".")
        if isinstance(model.places[owner], Embedding):
            owner, _, column = owner.rpartition(".")
            own = f"{column}.{own}"
        result.setdefault(owner, {})[own] = _form(model, index)
    return result


def _is_inside(position: str, block: str) -> bool:
    return position.startswith(f"{block}.")


def _shared(a: Shapes, b: Shapes) -> bool:
    return any(b.get(name) == form for name, form in a.items())


def _tables(found: Mapping[str, str], new: Compiled) -> dict[str, str]:
    return {
        f"{position}.{column}": f"{before}.{column}"
        for position, before in found.items()
        if isinstance(layer := new.places[position], Embedding)
        for column in layer.codes()
    }


def _align(new: Sequence[_Item], old: Sequence[_Item]) -> dict[str, str]:
    """Heads of the same name by themselves, and the rest; all in one where only one side has heads."""
    groups = [{_head_of(item) for item in items} - {None} for items in (new, old)]
    if not all(groups):
        return _subsequence(new, old)
    found: dict[str, str] = {}
    for head in [None, *sorted(name for name in groups[0] & groups[1] if name is not None)]:
        found |= _subsequence(*([i for i in items if _head_of(i) == head] for items in (new, old)))
    return found


def _head_of(item: _Item) -> str | None:
    """The head that a layer is in; only those of a network have names in their positions."""
    parts = item.position.split(".")
    return parts[1] if len(parts) > 1 and not parts[1].isdigit() else None


def _subsequence(new: Sequence[_Item], old: Sequence[_Item]) -> dict[str, str]:
    """The heaviest common subsequence; of several, the one with the first layers."""
    (kinds, mine), (others, theirs) = _numbered(new), _numbered(old)
    table = [[_score(a, b) for b in others] for a in kinds]
    scores = [[table[a][b] for b in theirs] for a in mine]
    best = [[0] * (len(old) + 1) for _ in range(len(new) + 1)]
    for i in range(len(new) - 1, -1, -1):
        for j in range(len(old) - 1, -1, -1):
            paired = best[i + 1][j + 1] + scores[i][j] if scores[i][j] else 0
            best[i][j] = max(paired, best[i + 1][j], best[i][j + 1])
    found, i, j = {}, 0, 0
    while i < len(new) and j < len(old):
        if scores[i][j] and best[i][j] == best[i + 1][j + 1] + scores[i][j]:
            found[new[i].position] = old[j].position
            i, j = i + 1, j + 1
        elif best[i][j] == best[i][j + 1]:
            j += 1
        else:
            i += 1
    return found


def _numbered(items: Sequence[_Item]) -> tuple[list[_Item], list[int]]:
    """Those that differ in more than their position, and the number of each among them."""
    kinds: list[_Item] = []
    numbers = []
    for item in items:
        alike = (at for at, kind in enumerate(kinds) if _is_alike(kind, item))
        numbers.append(next(alike, len(kinds)))
        if numbers[-1] == len(kinds):
            kinds.append(item)
    return kinds, numbers


def _is_alike(a: _Item, b: _Item) -> bool:
    return type(a.layer) is type(b.layer) and a.shapes == b.shapes and _bare(a.layer) == _bare(b.layer)


def _score(new: _Item, old: _Item) -> int:
    if type(new.layer) is not type(old.layer):
        return 0
    is_equal = _bare(new.layer) == _bare(old.layer)
    if not new.shapes and not old.shapes:
        return _BARE if is_equal else _BARE_CLASS
    if new.shapes == old.shapes:
        return _EQUAL if is_equal else _ALIKE
    return _SOME if _shared(new.shapes, old.shapes) else 0


def _bare(layer: Layer) -> object:
    """What a layer is apart from the layers inside it, which have places of their own."""
    if isinstance(layer, Residual):
        return layer.projection, layer.gain
    return (layer.uncertainty,) if isinstance(layer, Heads) else layer
