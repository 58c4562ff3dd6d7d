"""Properties of molecules as irreducible components, read from structures and written back in their own shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from hamlearn.config import PropertyTarget
from hamlearn.display import Shown
from hamlearn.equality import ByValue
from hamlearn.errors import ConfigError, StructureError, nearest
from hamlearn.structures.checks import index_ranges
from hamlearn.types import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms


SQRT2, SQRT6 = 2**0.5, 6**0.5
SIZES = {0: (1, 9), 1: (3,), 2: (9,)}
"""How many numbers a property may have, by l."""
MOST_SHOWN = 9
"""Numbers that a message shows rather than their shape."""


@dataclass(frozen=True, eq=False, repr=False)
class Labels(ByValue, Shown):
    """What is known of some structures.

    Attributes:
        values: irreducible components [datum, 2l+1], m = -l ... l, a datum for each structure.
        forces: of all atoms, structure after structure [atom, 3], unit/Å; None if they are not learned.
        functional: weights of the structures where sums of them are the data [datum, structure]; None if not.

    Values transform as sigma-parity tensors, y -> D^l(R) y; forces as vectors.
    """

    values: FloatArray
    forces: FloatArray | None = None
    functional: FloatArray | None = None


def components(l: int, n_numbers: int) -> FloatArray:
    """Return the matrix from the numbers of a property to its irreducible components [2l+1, number].

    Vectors are in the order x, y, z, tensors row by row; l = 0 of a tensor is its trace, and l = 2 its symmetric
    part without the trace, in an orthonormal basis of such matrices.
    """
    if l == 0:
        return np.eye(1) if n_numbers == 1 else np.eye(3).reshape(1, 9)
    if l == 1:
        return np.eye(3)[[1, 2, 0]]
    out = np.zeros((5, 3, 3))
    for m, (i, j) in ((0, (0, 1)), (1, (1, 2)), (3, (0, 2))):
        out[m, i, j] = out[m, j, i] = 1 / SQRT2
    out[2] = np.diag([-1, -1, 2]) / SQRT6
    out[4] = np.diag([1, -1, 0]) / SQRT2
    return out.reshape(5, 9)


def in_own_shape(values: FloatArray, l: int) -> FloatArray:
    """Return scalars [...], vectors (x, y, z) [..., 3] or tensors [..., 3, 3] from components [..., 2l+1]."""
    if l == 0:
        return values[..., 0]
    out = values @ components(l, 3 if l == 1 else 9)
    return out if l == 1 else out.reshape(*values.shape[:-1], 3, 3)


def as_labels(values: ArrayLike, l: int) -> Labels:
    """Return labels from numbers in their own shape [datum], [datum, 3] or [datum, 3, 3].

    Raises:
        StructureError: for another shape, or numbers that are not finite.
    """
    array = _numbers(values)
    rows = array.reshape(len(array), -1) if array.ndim and array.size else np.zeros((0, 0))
    if rows.shape[1] not in SIZES[l] or not np.isfinite(rows).all():
        wanted = " or ".join(map(str, SIZES[l]))
        raise StructureError(
            f"the data have shape {list(array.shape)}; expected {wanted} finite numbers for each datum"
        )
    return Labels(rows @ components(l, rows.shape[1]).T)


def read_labels(
    structures: Sequence[Atoms],
    target: PropertyTarget,
    indices: Sequence[int] | IntArray | None = None,
    values: ArrayLike | None = None,
    functional: ArrayLike | None = None,
) -> Labels:
    """Read a property, and its forces if they are learned, from ``info``, ``arrays`` or a calculator's results.

    Args:
        structures: geometries with labels.
        target: names of the keys and type of the property.
        indices: what to call the structures in messages; by default 0, 1, 2, ...
        values: the property of each in its own shape, where it is not read but given.
        functional: weights of the structures where the values are of sums of them [datum, structure].

    Raises:
        StructureError: if a key is missing, has the wrong shape or is not finite; with the indices of the structures.
        ConfigError: for a functional without values or of another shape.
    """
    if functional is not None:
        return _sums(structures, target, values, functional)
    names = [int(k) for k in (range(len(structures)) if indices is None else indices)]
    known = _read(structures, target, names) if values is None else as_labels(values, target.l).values
    if len(known) != len(structures):
        raise StructureError(f"there are {len(known)} targets for {len(structures)} structures; give one for each")
    return Labels(known, None if target.forces_key is None else _forces(structures, target.forces_key, names))


def _sums(
    structures: Sequence[Atoms], target: PropertyTarget, values: ArrayLike | None, functional: ArrayLike
) -> Labels:
    if values is None:
        raise ConfigError("a functional needs targets, the value of every sum [datum]")
    known, weights = as_labels(values, target.l).values, np.asarray(functional, dtype=np.float64)
    expected = (len(known), len(structures))
    if weights.shape != expected or not np.isfinite(weights).all():
        raise ConfigError(
            f"the functional has shape {list(weights.shape)}; expected finite weights [datum, structure], "
            f"{list(expected)}"
        )
    return Labels(known, functional=weights)


def _read(structures: Sequence[Atoms], target: PropertyTarget, names: list[int]) -> FloatArray:
    key = str(target.key)
    found = [_find(atoms, key, False) for atoms in structures]
    _refuse(
        found,
        lambda value: value is None,
        names,
        lambda k: _missing(structures[k], "target.key", key, "number or list"),
    )
    sizes = SIZES[target.l]
    wanted = " or ".join(map(str, sizes))
    arrays = [_numbers(value) for value in found]
    _refuse(
        arrays,
        lambda value: value.size not in sizes,
        names,
        lambda k: (
            f"'{key}' {_shown(found[k])}, expected {wanted} number{'' if wanted == '1' else 's'} for l = {target.l}"
        ),
    )
    _refuse(
        arrays, lambda value: not np.isfinite(value).all(), names, lambda k: f"'{key}' {_shown(found[k])}, not finite"
    )
    values = [components(target.l, value.size) @ value.ravel() for value in arrays]
    return np.array(values).reshape(-1, 2 * target.l + 1)


def _forces(structures: Sequence[Atoms], key: str, names: list[int]) -> FloatArray:
    found = [_find(atoms, key, True) for atoms in structures]
    wanted = "array with a row per atom"
    _refuse(
        found, lambda value: value is None, names, lambda k: _missing(structures[k], "target.forces_key", key, wanted)
    )
    arrays = [_numbers(value) for value in found]
    shapes = [(len(atoms), 3) for atoms in structures]
    fits = [value.shape == shape for value, shape in zip(arrays, shapes, strict=True)]
    _refuse(
        fits, lambda fit: not fit, names, lambda k: f"'{key}' {_shown(found[k])}, not an array of {shapes[k]} numbers"
    )
    _refuse(arrays, lambda value: not np.isfinite(value).all(), names, lambda k: f"'{key}' is not finite everywhere")
    return np.concatenate([np.zeros((0, 3)), *arrays])


def _find(atoms: Atoms, key: str, per_atom: bool) -> Any:
    """Return what a structure says under a key; ASE moves names such as energy and forces to a calculator."""
    for place in (atoms.arrays if per_atom else atoms.info, _results(atoms)):
        if place.get(key) is not None:
            return place[key]
    return None


def _results(atoms: Atoms) -> dict[str, Any]:
    return atoms.calc.results if atoms.calc is not None else {}


def _missing(atoms: Atoms, setting: str, key: str, wanted: str) -> str:
    """Say what there is where a key was not found as a value of the structure or of its atoms."""
    known = {**atoms.info, **atoms.arrays, **_results(atoms)}
    if known.get(key) is not None:
        kind = "atoms" if key in atoms.arrays else "whole structure"
        return f"'{key}' is there, but of the {kind}: it {_shown(known[key])}; expected a {wanted}"
    present = sorted({name for name, value in known.items() if value is not None} - {"numbers", "positions"})
    there = (
        f"set {setting} to one of {', '.join(present)}{nearest(key, present)}" if present else "there is none at all"
    )
    return f"key '{key}' is missing; {there}"


def _shown(value: Any) -> str:
    """Say what a value is, or what shape it has."""
    if not isinstance(value, np.ndarray):
        return f"is {_plain(value)!r}"
    return f"is {value.tolist()}" if value.ndim < 2 and value.size <= MOST_SHOWN else f"has shape {value.shape}"


def _plain(value: Any) -> Any:
    """Return numbers as Python shows them, 1.0 for np.float64(1.0)."""
    if isinstance(value, list | tuple):
        return [_plain(x) for x in value]
    return value.item() if isinstance(value, np.generic) else value


def _numbers(value: Any) -> FloatArray:
    """Return numbers as an array, empty for text, booleans and ragged lists."""
    try:
        array = np.asarray(value)
    except ValueError:
        return np.zeros(0)
    return array.astype(np.float64) if array.dtype.kind in "iuf" else np.zeros(0)


def _refuse(
    values: Sequence[Any], wrong: Callable[[Any], bool], names: list[int], reason: Callable[[int], str]
) -> None:
    """Raise StructureError if any value is wrong, with the reason of the first and the names of all."""
    bad = [k for k, value in enumerate(values) if wrong(value)]
    if bad:
        raise StructureError(
            f"{len(bad)} of {len(values)} structures have no usable label (counted from 0): "
            f"{index_ranges(sorted(names[k] for k in bad))}; structure {names[bad[0]]}: {reason(bad[0])}"
        )
