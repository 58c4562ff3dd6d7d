"""Names of the irreducible blocks of a Hamiltonian and which of them exist."""

from __future__ import annotations

from dataclasses import dataclass

from hamlearn.angular.ao_order import Orbitals, Shell
from hamlearn.structures.families import Family, Kind


@dataclass(frozen=True, order=True)
class BlockKey:
    """One irreducible block: of a kind, between two shells, of angular momentum L and parity sigma.

    Kinds: on_site (both shells on one atom), plus and minus (two atoms of one species, even and odd under their
    exchange), cross (two species). Under R in O(3) its values [sample, 2L+1] transform as h -> s D^L(R) h, s = 1 for
    proper and sigma for improper R. Matrices of one molecule that are learned side by side, such as those of two spins,
    are channels 0, 1, ...
    """

    kind: Kind
    species_i: int
    species_j: int
    shell_a: Shell
    shell_b: Shell
    L: int
    sigma: int
    channel: int = 0

    @classmethod
    def of(cls, family: Family, shell_a: Shell, shell_b: Shell, L: int, channel: int = 0) -> BlockKey:
        """Return the block of two shells coupled to L; its parity is (-1)^(la + lb + L)."""
        sigma = (-1) ** (shell_a[1] + shell_b[1] + L)
        return cls(family.kind, family.species_i, family.species_j, shell_a, shell_b, L, sigma, channel)

    @property
    def family(self) -> Family:
        """The samples and features this block shares with others."""
        return Family(self.kind, self.species_i, self.species_j)

    @property
    def multiplicity(self) -> int:
        """How many times the block's elements stand in the full matrix (2 with the transpose, else 1)."""
        same = self.kind != "cross" and self.shell_a == self.shell_b
        return 1 if same else 2


def families(species: list[int]) -> list[Family]:
    """Return every family of blocks of molecules made of these species."""
    zs = sorted(set(species))
    on_site = [Family("on_site", z, z) for z in zs]
    like = [Family(kind, z, z) for z in zs for kind in ("plus", "minus")]
    cross = [Family("cross", a, b) for a in zs for b in zs if a < b]
    return on_site + like + cross


def shell_pairs(family: Family, orbitals: Orbitals) -> list[tuple[Shell, Shell]]:
    """Return the shell pairs (a, b) of a family: a <= b within a species, all of them across species."""
    a_shells, b_shells = orbitals.shells[family.species_i], orbitals.shells[family.species_j]
    if family.kind == "cross":
        return [(a, b) for a in a_shells for b in b_shells]
    return [(a, b) for a in a_shells for b in b_shells if a <= b]


def couplings(family: Family, shell_a: Shell, shell_b: Shell) -> list[int]:
    """Return the L at which the block of two shells does not vanish identically.

    For like shells the on-site and plus blocks are symmetric and the minus block antisymmetric, so that odd and
    even L vanish: C^{l l L}[m2, m1, M] = (-1)^L C^{l l L}[m1, m2, M].
    """
    la, lb = shell_a[1], shell_b[1]
    all_l = range(abs(la - lb), la + lb + 1)
    if family.kind == "cross" or shell_a != shell_b:
        return list(all_l)
    return [L for L in all_l if (1 if family.kind == "minus" else 0) == L % 2]


def block_keys(orbitals: Orbitals) -> list[BlockKey]:
    """Return every block of channel 0 that does not vanish identically, for molecules of the species in ``orbitals``.

    Source: Nigam, Willatt, Ceriotti, J. Chem. Phys. 156, 014115 (2022), eqs. 19-22.
    """
    return [
        BlockKey.of(f, a, b, L)
        for f in families(list(orbitals.shells))
        for a, b in shell_pairs(f, orbitals)
        for L in couplings(f, a, b)
    ]
