"""Read any file of structures that ASE reads, and refuse in words what it would take or drop in silence."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from ase import Atoms
from ase.io import read
from ase.io.formats import UnknownFileTypeError, filetype, get_compression, ioformats

from hamlearn.errors import HamlearnError, HamlearnWarning, StructureError, check_type, nearest
from hamlearn.structures import molecule_files, pdb_frames, program_inputs
from hamlearn.structures.cells import freed_of_cell
from hamlearn.structures.charges_in_files import add_stated
from hamlearn.structures.checks import index_ranges
from hamlearn.structures.databases import database_structures, refuse_arrays, unread_beside
from hamlearn.structures.reading import Reading
from hamlearn.structures.text_files import has_mark, text_of
from hamlearn.structures.xyz_comments import comment_of
from hamlearn.structures.xyz_frames import checked_frames

_PER_ATOM_RESULTS = ("charges", "energies", "forces", "magmoms", "stresses")
_ENDINGS = {
    **{".mol": "mol", ".sdf": "mol", ".sd": "mol", ".mdl": "mol", ".mol2": "mol2"},
    **{
        ".pdb": "proteindatabank",
        ".ent": "proteindatabank",
        ".gen": "gen",
        ".coord": "turbomole",
        ".tmol": "turbomole",
    },
    **{".com": "gaussian-in", ".gjf": "gaussian-in", ".gau": "gaussian-in", ".xyz": "extxyz", ".extxyz": "extxyz"},
}
"""Formats by the ends of names, where ASE goes by the content or knows none."""


def read_structures(path: str | Path, require: Sequence[str] = ()) -> list[Atoms]:
    """Return all structures of a file, in its order, positions in Å.

    Everything a file says beyond the geometry ends up in ``info`` (per structure) and ``arrays`` (per atom), energies
    and forces included, and the charges and multiplicities that ASE's readers drop; calculators and constraints are
    dropped, and the box of a molecule that is alone in it. :func:`check_structures` judges the geometries.

    Args:
        path: a file of any format ASE reads, or .mol2; compressed or not.
        require: keys every structure must carry in ``info`` or ``arrays``.

    Raises:
        StructureError: for a missing, empty, truncated or unreadable file, a folder, or a missing key.
    """
    check_type(path, (str, os.PathLike), "path", "that of a file of structures", StructureError)
    path, reading = Path(path).expanduser().resolve(), Reading()
    _check_file(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        structures = _read(path, reading)
    for atoms in structures:
        _flatten(atoms)
    freed = [index for index, atoms in enumerate(structures) if freed_of_cell(atoms)]
    if freed:
        reading.say(f"periodic boxes around single molecules were dropped ({len(freed)} of {len(structures)})")
    for text in sorted({str(w.message) for w in caught if issubclass(w.category, UserWarning)}) + reading.all():
        warnings.warn(f"reading {path}: {text}", HamlearnWarning, stacklevel=2)
    if not structures:
        raise StructureError(f"{path}: no structures in this file; expected at least one")
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


def _read(path: Path, reading: Reading) -> list[Atoms]:
    kind = "structures"
    refuse_arrays(path)
    unread_beside(path, reading)
    try:
        kind = _kind_of(path)
        structures = _READERS.get(kind, _read_with_ase)(path, kind, reading)
        add_stated(path, kind, structures)
        return structures
    except StructureError as error:
        raise StructureError(f"{path}: {error}") from None
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


def _kind_of(path: Path) -> str:
    """Return the format of a file, by the end of its name or as ASE tells it."""
    root, _ = get_compression(path.name)
    return _ENDINGS.get(Path(root).suffix.lower()) or filetype(str(path))


def _read_xyz(path: Path, kind: str, reading: Reading) -> list[Atoms]:
    text = checked_frames(text_of(path), reading)
    return list(read(io.StringIO(text), index=":", format="extxyz", properties_parser=comment_of)) if text else []


def _read_molecules(path: Path, kind: str, reading: Reading) -> list[Atoms]:
    """Read formats of many molecules of which ASE reads one or none."""
    read_all = {
        "mol": molecule_files.mdl_molecules,
        "mol2": molecule_files.mol2_molecules,
        "turbomole": program_inputs.turbomole_molecules,
    }
    return read_all[kind](text_of(path), reading)


def _read_records(path: Path, kind: str, reading: Reading) -> list[Atoms]:
    """Read formats of which ASE reads one molecule, one after the other."""
    split: dict[str, Callable[[str, Reading], list[str]]] = {
        "gen": program_inputs.gen_frames,
        "proteindatabank": pdb_frames.pdb_models,
        "gaussian-in": program_inputs.gaussian_jobs,
    }
    records = split[kind](text_of(path), reading)
    return [atoms for record in records for atoms in read(io.StringIO(record), index=":", format=kind)]


def _read_with_ase(path: Path, kind: str, reading: Reading) -> list[Atoms]:
    if kind == "gromacs":
        program_inputs.check_one_gromacs_frame(text_of(path))
    text = ioformats[kind].acceptsfd and not ioformats[kind].isbinary and has_mark(path)
    source = io.StringIO(text_of(path)) if text else str(path)
    images = read(source, index=":", format=kind, do_not_split_by_at_sign=True)
    return [images] if isinstance(images, Atoms) else list(images)


_READERS: dict[str, Callable[[Path, str, Reading], list[Atoms]]] = {
    **dict.fromkeys(("extxyz", "xyz"), _read_xyz),
    **dict.fromkeys(("mol", "mol2", "turbomole"), _read_molecules),
    **dict.fromkeys(("gen", "proteindatabank", "gaussian-in"), _read_records),
    **dict.fromkeys(("db", "json"), database_structures),
}


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
