"""Which side of the split a record stands on: drawn by family, so that the same family never changes sides from one corpus to the next.

Families of records that are near each other, and differ in a number or a negation only, are joined and drawn as one: else a model would be
measured on what it was taught with one word changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def draw(family: str) -> float:
    """A family's place in [0, 1), the same for ever."""
    return int.from_bytes(hashlib.sha256(family.encode()).digest()[:4]) / 2**32


class Sides:
    """The side of every family.

    Args:
        held_out: share of families held out, 0 to 1.
        kin: pairs of families that have to stand together.
    """

    def __init__(self, held_out: float, kin: Iterable[tuple[str, str]] = ()) -> None:
        self._held_out = held_out
        self._leader: dict[str, str] = {}
        for one, other in kin:
            first, second = sorted((self._root(one), self._root(other)))
            self._leader[second] = first

    def of(self, family: str) -> str:
        """`held_out` or `train`."""
        return "held_out" if draw(self._root(family)) < self._held_out else "train"

    def _root(self, family: str) -> str:
        """The first by alphabet of all families that stand together."""
        path = []
        while (leader := self._leader.get(family, family)) != family:
            path.append(family)
            family = leader
        self._leader.update(dict.fromkeys(path, family))
        return family
