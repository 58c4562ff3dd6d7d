"""Read any file of structures that ASE reads, and refuse in words what it would take or drop in silence."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

from ase import Atoms
from ase.io import read
from ase.io.formats import UnknownFileTypeError, filetype

from hamlearn.errors import HamlearnError, HamlearnWarning, StructureError, check_type, nearest
from hamlearn.structures.checks import index_ranges
from hamlearn.structures.xyz_frames import check_xyz_frames

_PER_ATOM_RESULTS = ("charges", "energies", "forces", "magmoms", "stresses")


def read_structures(path: str | Path, require: Sequence[str] = ()) -> list[Atoms]:
    """Return all structures of a file, in its order, positions in Å.

    Everything a file says beyond the geometry ends up in ``info`` (per structure) and ``arrays`` (per atom), energies
    and forces included; calculators and constraints are dropped. :func:`check_structures` judges the geometries.

    Args:
        path: a file of any format ASE reads, compressed or not.
        require: keys every structure must carry in ``info`` or ``arrays``.

    Raises:
        StructureError: for a missing, empty, truncated or unreadable file, a folder, or a missing key.
    """
    check_type(path, (str, os.PathLike), "path", "that of a file of structures", StructureError)
    path = Path(path).expanduser().resolve()
    _check_file(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        structures = _read_with_ase(path)
    for text in sorted({str(w.message) for w in caught if issubclass(w.category, UserWarning)}):
        warnings.warn(f"reading {path}: {text}", HamlearnWarning, stacklevel=2)
    if not structures:
        raise StructureError(f"{path}: no structures in this file; expected at least one")
    for atoms in structures:
        _flatten(atoms)
    for key in require:
        _check_key(structures, key, path)
    return structures


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise StructureError(f"{path} is a folder; expected a file of structures, such as .xyz or .traj")
    if not path.exists():
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise StructureError(f"{path}: no such file{nearest(path.name, siblings)}; expected a file of structures")
    if not path.is_file() or path.stat().st_size == 0:
        raise StructureError(f"{path} is empty or no ordinary file; expected a file of structures")


def _read_with_ase(path: Path) -> list[Atoms]:
    kind = "structures"
    try:
        kind = filetype(str(path))
        if kind in ("extxyz", "xyz"):
            check_xyz_frames(path)
        images = read(str(path), index=":", format=kind, do_not_split_by_at_sign=True)
        return [images] if isinstance(images, Atoms) else list(images)
    except HamlearnError:
        raise
    except UnknownFileTypeError as error:
        raise StructureError(
            f"{path}: ASE knows no file format for it ({error}); expected a file ASE reads, such as .xyz or .traj"
        ) from error
    except Exception as error:  # ASE's readers raise anything at all on damaged files
        raise StructureError(
            f"{path} cannot be read as {kind}: {error or type(error).__name__}; "
            "it may be damaged, truncated or named with another format's ending"
        ) from error


def _flatten(atoms: Atoms) -> None:
    """Move a calculator's results next to the other keys, and forget calculator and constraints."""
    for key, value in (atoms.calc.results if atoms.calc else {}).items():
        if value is not None:
            (atoms.arrays if key in _PER_ATOM_RESULTS else atoms.info).setdefault(key, value)
    atoms.calc = None
    atoms.set_constraint()


def _check_key(structures: list[Atoms], key: str, path: Path) -> None:
    missing = [i for i, atoms in enumerate(structures) if key not in atoms.info and key not in atoms.arrays]
    if missing:
        first = structures[missing[0]]
        present = sorted({*first.info, *first.arrays})
        raise StructureError(
            f"{path}: key '{key}' is missing in {len(missing)} of {len(structures)} structures "
            f"(counted from 0): {index_ranges(missing)}; structure {missing[0]} has {', '.join(present)}"
            f"{nearest(key, present)}"
        )
