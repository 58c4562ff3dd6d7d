"""What is wanted of one molecule, and the names its record may bear."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, combinations
from typing import get_args

from hamlearn.config import Guess, QMSettings
from hamlearn.qm.record import record_key
from hamlearn.types import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Request:
    """A calculation that is wanted.

    Attributes:
        numbers: atomic numbers [atom].
        positions: [atom, 3], Bohr.
        settings: method, functional, basis, ...; charge and multiplicity of this molecule.
        guess_focks: further guesses whose Fock matrix to keep.
    """

    numbers: IntArray
    positions: FloatArray
    settings: QMSettings
    guess_focks: tuple[str, ...]

    @cached_property
    def key(self) -> str:
        """The name of its record, by geometry and settings: guess Fock matrices are added to a record as needed."""
        return record_key(self.numbers, self.positions, self.settings)

    @cached_property
    def old_key(self) -> str:
        """The name that older versions gave, by the guesses as well."""
        return record_key(self.numbers, self.positions, self.settings, self.guess_focks)

    def old_keys(self) -> Iterator[str]:
        """Yield the names of older versions, whatever guesses had been asked for."""
        others = [name for name in get_args(Guess) if name != self.settings.guess]
        for guesses in chain.from_iterable(combinations(others, n) for n in range(1, len(others) + 1)):
            yield record_key(self.numbers, self.positions, self.settings, guesses)
