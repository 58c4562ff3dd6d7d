"""Order of atomic orbitals: PySCF's, read off the Mole, and the canonical one of the blocks.

Canonical order: atoms as given; within an atom shells (n, l) sorted lexicographically; within a shell m = -l..l.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hamlearn.display import Shown
from hamlearn.equality import ByValue
from hamlearn.errors import BasisError
from hamlearn.types import IntArray

Shell = tuple[int, int]

SHELL_LETTERS = "spdfghik"
P_IN_PYSCF = (1, 2, 0)  # PySCF stores p as (x, y, z); m = -1, 0, 1 is (y, z, x)


@dataclass(frozen=True, eq=False, repr=False)
class Orbitals(ByValue, Shown):
    """The shells of every species and their place in PySCF's order.

    Attributes:
        shells: for each atomic number its shells (n, l), sorted.
        ao_index: for each atomic number, the position within the atom in PySCF's order of every canonical orbital.
    """

    shells: Mapping[int, tuple[Shell, ...]]
    ao_index: Mapping[int, tuple[int, ...]]

    def shown(self) -> dict[str, object]:
        """Return the shells of every element."""
        from hamlearn.angular.elements import symbol

        return {symbol(z): " ".join(f"{n}{SHELL_LETTERS[l]}" for n, l in shells) for z, shells in self.shells.items()}

    @classmethod
    def from_mole(cls, mole: Any) -> Orbitals:
        """Read shells and order off a PySCF Mole (one entry per contraction).

        Args:
            mole: a built ``pyscf.gto.Mole`` in which like atoms carry like functions.

        Raises:
            BasisError: for Cartesian functions, or like atoms with unlike bases.
        """
        if mole.cart:
            raise BasisError(
                "the molecule uses Cartesian d and f functions; symmetry blocks need spherical ones: "
                "build it with cart=False"
            )
        shells: dict[int, tuple[Shell, ...]] = {}
        ao_index: dict[int, tuple[int, ...]] = {}
        for atom, number in enumerate(element_numbers(mole)):
            found = _atom_order(mole, atom)
            if number in shells and (shells[number], ao_index[number]) != found:
                raise BasisError(f"atoms of element {number} carry different basis functions; give them one basis")
            shells[number], ao_index[number] = found
        return cls(dict(sorted(shells.items())), dict(sorted(ao_index.items())))

    @classmethod
    def merge(cls, parts: Iterable[Orbitals]) -> Orbitals:
        """Return the orbitals of all species of all parts.

        Raises:
            BasisError: if two parts disagree on an element.
        """
        shells: dict[int, tuple[Shell, ...]] = {}
        index: dict[int, tuple[int, ...]] = {}
        for part in parts:
            for z in part.shells:
                found = part.shells[z], part.ao_index[z]
                if found != (shells.setdefault(z, found[0]), index.setdefault(z, found[1])):
                    raise BasisError(f"element {z} carries different orbitals in different molecules; use one basis")
        return cls(dict(sorted(shells.items())), dict(sorted(index.items())))

    def subset(self, keep: Mapping[int, Sequence[Shell]]) -> Orbitals:
        """Return the orbitals of the shells in ``keep``, in PySCF's order of what is left."""
        shells, ao_index = {}, {}
        for number, wanted in keep.items():
            kept = tuple(shell for shell in self.shells[number] if shell in set(wanted))
            positions = [p for shell in kept for p in self._positions(number, shell)]
            ranks = np.argsort(np.argsort(positions))
            shells[number], ao_index[number] = kept, tuple(int(r) for r in ranks)
        return Orbitals(shells, ao_index)

    def subset_index(self, keep: Mapping[int, Sequence[Shell]], numbers: Iterable[int]) -> IntArray:
        """Return the positions in PySCF's full order of the orbitals in ``keep``, in PySCF's order."""
        out, offset = [], 0
        for number in numbers:
            positions = [p for shell in keep[number] for p in self._positions(number, shell)]
            out += [offset + p for p in sorted(positions)]
            offset += len(self.ao_index[number])
        return np.array(out, dtype=np.int64)

    def _positions(self, number: int, shell: Shell) -> tuple[int, ...]:
        start = 0
        for other in self.shells[number]:
            width = 2 * other[1] + 1
            if other == shell:
                return self.ao_index[number][start : start + width]
            start += width
        raise BasisError(f"element {number} has no shell {shell}; it has {list(self.shells[number])}")

    def n_ao(self, numbers: Iterable[int]) -> int:
        """Return the number of orbitals of a molecule."""
        return sum(len(self.ao_index[int(number)]) for number in numbers)

    def shell_offset(self, number: int, shell: Shell) -> int:
        """Return where a shell starts among its atom's canonical orbitals."""
        before = self.shells[number][: self.shells[number].index(shell)]
        return sum(2 * l + 1 for _, l in before)

    def to_pyscf(self, numbers: Iterable[int]) -> IntArray:
        """Return the position in PySCF's order of every canonical orbital of a molecule.

        ``H[np.ix_(index, index)]`` is the canonical matrix of a matrix ``H`` in PySCF's order.
        """
        out, offset = [], 0
        for number in numbers:
            index = self.ao_index[int(number)]
            out += [offset + i for i in index]
            offset += len(index)
        return np.array(out, dtype=np.int64)

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and strings, for YAML and JSON."""
        return {
            str(z): {"shells": [list(s) for s in self.shells[z]], "ao_index": list(self.ao_index[z])}
            for z in self.shells
        }

    @classmethod
    def from_dict(cls, spec: Mapping[str, Any]) -> Orbitals:
        """Rebuild from :meth:`to_dict`."""
        shells = {int(z): tuple((int(n), int(l)) for n, l in v["shells"]) for z, v in spec.items()}
        return cls(shells, {int(z): tuple(int(i) for i in v["ao_index"]) for z, v in spec.items()})

    def labels(self, numbers: Sequence[int]) -> list[str]:
        """Return a label such as ``'0 O 2p-1'`` (m last) for every orbital, in PySCF's order."""
        from hamlearn.angular.elements import symbol

        canonical = [
            f"{atom} {symbol(z)} {n}{SHELL_LETTERS[l]}{f'{m:+d}' if l else ''}"
            for atom, z in enumerate(int(number) for number in numbers)
            for n, l in self.shells[z]
            for m in range(-l, l + 1)
        ]
        ordered = [""] * len(canonical)
        for label, position in zip(canonical, self.to_pyscf(numbers), strict=True):
            ordered[position] = label
        return ordered


def core_shells(n_electrons: int) -> list[int]:
    """Return how many s, p, d and f shells the electrons that an effective core potential replaces fill."""
    if not n_electrons:
        return []
    from pyscf.gto import ecp

    return [int(n) for n in ecp.core_configuration(n_electrons)]


def element_numbers(mole: Any) -> list[int]:
    """Return the atomic numbers of a Mole, of atoms with effective core potentials too, whose charges are smaller."""
    from hamlearn.angular.elements import atomic_number

    return [atomic_number(mole.atom_pure_symbol(i)) for i in range(mole.natm)]


def _atom_order(mole: Any, atom: int) -> tuple[tuple[Shell, ...], tuple[int, ...]]:
    """Return sorted shells and the within-atom PySCF position of every canonical orbital.

    Shells that an effective core potential replaces are counted, so that 5s is called so with or without it.
    """
    seen = {l: l + n for l, n in enumerate(core_shells(int(mole.atom_nelec_core(atom))))}
    start: dict[Shell, int] = {}
    position = 0
    for shell in range(mole.nbas):
        if mole.bas_atom(shell) != atom:
            continue
        l = int(mole.bas_angular(shell))
        for _ in range(int(mole.bas_nctr(shell))):
            seen[l] = seen.get(l, l) + 1
            start[(seen[l], l)] = position
            position += 2 * l + 1
    shells = tuple(sorted(start))
    index = [start[(n, l)] + (P_IN_PYSCF[m] if l == 1 else m) for n, l in shells for m in range(2 * l + 1)]
    return shells, tuple(index)
