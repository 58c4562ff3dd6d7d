"""Matrices beside geometries: in the rows of an ASE database, in npz and HDF5 files. They are never dropped unsaid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io.formats import get_compression

from hamlearn.errors import ArtifactError, StructureError
from hamlearn.structures.reading import Reading

ARRAY_FILES = (".npz", ".npy", ".h5", ".hdf5", ".chk", ".chkfile")
_WHAT_TO_DO = (
    "hamlearn computes its matrices itself, so that basis, order and method are known: what is learned of a file is a "
    "property (target.kind: property), in info or arrays of each structure"
)


def database_structures(path: Path, kind: str, reading: Reading) -> list[Atoms]:
    """Return the structures of an ASE database, with their key-value pairs and small data in ``info``.

    Matrices among the data are not taken; the remark says which.
    """
    from ase.db import connect

    structures, matrices = [], {}
    by_name = "extract_from_name" if path.suffix in (".db", ".json", ".aselmdb") else kind
    with connect(str(path), serial=True, use_lock_file=False, type=by_name) as rows:
        for row in rows.select():
            atoms = row.toatoms()
            atoms.info |= row.key_value_pairs
            for name, value in _data(row).items():
                if _rank(value) > 1:
                    matrices[name] = getattr(value, "shape", (len(value),))
                else:
                    atoms.info.setdefault(name, value)
            structures.append(atoms)
    if matrices:
        listed = ", ".join(f"{name} {list(shape)}" for name, shape in matrices.items())
        reading.say(f"matrices among the data were not taken ({listed}): {_WHAT_TO_DO}")
    return structures


def _data(row: Any) -> dict[str, Any]:
    """Return the data of a row, those of a mapping inside it as ``mapping.name``."""
    return dict(_flat(row.get("data") or {}, ""))


def _flat(data: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _rank(value: object) -> int:
    """Return how many axes an array has; 0 for what is none, 2 for lists of lists of any lengths."""
    try:
        return int(np.ndim(value))  # type: ignore[arg-type]
    except ValueError:  # ragged
        return 2


def refuse_arrays(path: Path) -> None:
    """Refuse files of arrays, saying what they hold.

    Raises:
        StructureError: for an npz, HDF5 or checkpoint file.
    """
    if path.suffix.lower() not in ARRAY_FILES:
        return
    raise StructureError(
        f"{path} holds arrays{_names(path)}, no structures; expected a file ASE reads, such as .xyz or .traj: write "
        f"positions (Å) and elements with ase.io.write. Matrices are not read: {_WHAT_TO_DO}"
    )


def _names(path: Path) -> str:
    """Return in brackets which arrays a file holds, if it can be told."""
    from hamlearn.artifacts import load_arrays

    try:
        if path.suffix.lower() == ".npz":
            shapes = {name: array.shape for name, array in load_arrays(path, "").items()}
        else:
            import h5py

            with h5py.File(path) as file:
                shapes = {name: getattr(item, "shape", ()) for name, item in file.items()}
    except (ArtifactError, OSError, ImportError):
        return ""
    return " (" + ", ".join(f"{name} {list(shape)}" if shape else name for name, shape in shapes.items()) + ")"


def unread_beside(path: Path, reading: Reading) -> None:
    """Say that a file of arrays that bears the name of the file of structures is not read."""
    stem = Path(get_compression(path.name)[0]).stem
    for ending in ARRAY_FILES:
        beside = path.with_name(stem + ending)
        if beside.exists():
            reading.say(f"{beside.name} beside it was not read: {_WHAT_TO_DO}")
