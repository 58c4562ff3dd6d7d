"""Molecules whose positions have the symmetry of their point group to rounding, at rounded experimental distances.

Every molecule has its symmetry centre, or an atom on its axis, at the origin and its main axis along z.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from ase import Atoms

from hamlearn.errors import StructureError, check_type, nearest
from hamlearn.types import FloatArray

_Built = tuple[str, Sequence[Sequence[float]] | FloatArray]


def molecule(name: str) -> Atoms:
    """Return a molecule of the library, exactly symmetric, positions in Å.

    Args:
        name: one of :data:`MOLECULES`, in capitals or not, with spaces or '-' for '_'.

    Raises:
        StructureError: for another name.

    The operations of the point group, about the origin, permute the positions of like atoms to 1e-12.
    """
    check_type(name, str, "name", f"one of {', '.join(_LIBRARY)}", StructureError)
    spellings = {_plain(known): known for known in _LIBRARY}
    if name not in _LIBRARY:
        name = spellings.get(_plain(name), name)
    if name not in _LIBRARY:
        known = tuple(_LIBRARY)
        raise StructureError(f"the library has no molecule '{name}'{nearest(name, known)}; it has {', '.join(known)}")
    symbols, positions = _LIBRARY[name][1]()
    return Atoms(symbols, np.array(positions), pbc=False)


def _plain(name: str) -> str:
    return name.casefold().replace(" ", "_").replace("-", "_")


def _water() -> _Built:
    y, z = _polar(0.9572, 104.52 / 2)
    return "OH2", [(0, 0, 0), (0, y, z), (0, -y, z)]


def _ammonia() -> _Built:
    bond, angle = 1.012, np.radians(106.7)
    radius = bond * np.sin(angle / 2) * 2 / np.sqrt(3)  # of the triangle whose side spans the H-N-H angle
    return "NH3", np.vstack([np.zeros((1, 3)), _ring(3, radius, -np.sqrt(bond**2 - radius**2))])


def _methane() -> _Built:
    corners = np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]) * (1.087 / np.sqrt(3))
    return "CH4", np.vstack([np.zeros((1, 3)), corners])


def _ethene() -> _Built:
    half = 1.339 / 2
    y, z = _polar(1.086, 117.4 / 2)
    hydrogens = [(0, side * y, end * (half + z)) for end in (1, -1) for side in (1, -1)]
    return "C2H4", [(0, 0, half), (0, 0, -half), *hydrogens]


def _ethane() -> _Built:
    half = 1.536 / 2
    radius, z = _polar(1.091, 180 - 110.9)
    top = _ring(3, radius, half + z)
    return "C2H6", np.vstack([[(0, 0, half), (0, 0, -half)], top, -top])


def _allene() -> _Built:
    bond = 1.308
    y, z = _polar(1.087, 118.2 / 2)
    end = bond + z
    hydrogens = [(0, y, end), (0, -y, end), (y, 0, -end), (-y, 0, -end)]
    return "C3H4", [(0, 0, 0), (0, 0, bond), (0, 0, -bond), *hydrogens]


def _benzene() -> _Built:
    carbon = 1.397
    return "C6H6", np.vstack([_ring(6, carbon), _ring(6, carbon + 1.084)])


def _acetylene() -> _Built:
    half, hydrogen = 1.203 / 2, 1.203 / 2 + 1.063
    return "C2H2", [(0, 0, half), (0, 0, -half), (0, 0, hydrogen), (0, 0, -hydrogen)]


def _carbon_dioxide() -> _Built:
    return "CO2", [(0, 0, 0), (0, 0, 1.162), (0, 0, -1.162)]


def _c60() -> _Built:
    """Cut the corners of an icosahedron: five atoms around each, one on every edge that leaves it.

    An edge then holds one bond between two hexagons, and on either side of it a cut as long as a pentagon's bond.
    """
    pentagon_bond, hexagon_bond = 1.453, 1.397
    edge = 2 * pentagon_bond + hexagon_bond
    golden = (1 + np.sqrt(5)) / 2
    signs = [(s, t) for s in (1, -1) for t in (1, -1)]
    corners = np.array([np.roll((0, s, t * golden), shift) for shift in range(3) for s, t in signs]) * (edge / 2)
    distances = np.linalg.norm(corners[:, None] - corners, axis=-1)
    start, stop = np.nonzero(np.isclose(distances, edge))  # both directions of the 30 edges
    return "C60", corners[start] + (pentagon_bond / edge) * (corners[stop] - corners[start])


def _polar(length: float, degrees: float) -> tuple[float, float]:
    """Return the parts of a bond across and along an axis it makes an angle with."""
    angle = np.radians(degrees)
    return float(length * np.sin(angle)), float(length * np.cos(angle))


def _ring(n: int, radius: float, z: float = 0.0) -> FloatArray:
    angles = 2 * np.pi * np.arange(n) / n
    return np.column_stack([radius * np.cos(angles), radius * np.sin(angles), np.full(n, z)])


_LIBRARY: dict[str, tuple[str, Callable[[], _Built]]] = {
    "water": ("C2v", _water),
    "ammonia": ("C3v", _ammonia),
    "methane": ("Td", _methane),
    "ethene": ("D2h", _ethene),
    "ethane": ("D3d", _ethane),
    "allene": ("D2d", _allene),
    "benzene": ("D6h", _benzene),
    "acetylene": ("Dinfh", _acetylene),
    "carbon_dioxide": ("Dinfh", _carbon_dioxide),
    "C60": ("Ih", _c60),
}

MOLECULES = {name: group for name, (group, _) in _LIBRARY.items()}
"""Names of the molecules of the library, each with its point group."""
