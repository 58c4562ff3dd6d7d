"""One converged calculation, in memory and on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hamlearn.artifacts import check_format, load_arrays, save_arrays
from hamlearn.config import QMSettings
from hamlearn.display import Shown
from hamlearn.equality import ByValue
from hamlearn.errors import ArtifactError
from hamlearn.qm.molecule import formula
from hamlearn.qm.stability import state_flag
from hamlearn.types import FloatArray, IntArray


@dataclass(frozen=True, eq=False, repr=False)
class QMRecord(ByValue, Shown):
    """Fock and overlap matrices of one molecule, Hartree and Bohr, PySCF's orbital order.

    Attributes:
        numbers: atomic numbers [atom].
        positions: [atom, 3], Bohr.
        fock: [ao, ao], Hartree; of unrestricted calculations [spin, ao, ao], alpha and beta, and so on below.
        overlap: [ao, ao].
        guess_focks: Fock matrix of each guess (see :mod:`hamlearn.qm.guess`) that was asked for [ao, ao], Hartree.
        orbital_energies: from eigh(fock, overlap) [ao], Hartree, ascending.
        occupations: [ao], 2 or 0; of each spin 1 or 0, or the share of degenerate frontier levels.
        energy: total energy, Hartree.
        dipole: [3], e Bohr, about the origin of the positions.
        provenance: method, functional, basis and its hash, thresholds, cycles, versions.
        charge: of the molecule, e.
        multiplicity: 2S + 1.

    Under a rotation of the molecule fock, overlap and guess_focks transform as T A T^T, T block-diagonal in
    Wigner matrices; energies are invariant, the dipole is a vector.
    """

    numbers: IntArray
    positions: FloatArray
    fock: FloatArray
    overlap: FloatArray
    guess_focks: Mapping[str, FloatArray]
    orbital_energies: FloatArray
    occupations: FloatArray
    energy: float
    dipole: FloatArray
    provenance: Mapping[str, Any]
    charge: int = 0
    multiplicity: int = 1

    @property
    def has_spins(self) -> bool:
        """Whether there is a Fock matrix of each spin."""
        return self.fock.ndim == 3

    def shown(self) -> dict[str, object]:
        """Return formula, method, energy and the shapes of the matrices."""
        told = {name: self.provenance.get(name) for name in ("method", "xc", "basis")}
        return {
            "formula": formula(self.numbers),
            **({"charge": self.charge} if self.charge else {}),
            **({"multiplicity": self.multiplicity} if self.has_spins else {}),
            **{name: value for name, value in told.items() if value is not None},
            "energy_hartree": self.energy,
            **({"doubtful": doubtful} if (doubtful := state_flag(self.provenance)) else {}),
            "converged": True,  # what did not converge has no record
            "fock": self.fock,
            "overlap": self.overlap,
            "guess_focks": dict(self.guess_focks),
            "orbital_energies": self.orbital_energies,
            "dipole": self.dipole,
        }


PACK_NAME = "campaign.h5"
PACK_KIND = "qm_pack"
KIND = "qm_record"
NEUTRAL_VERSION, FORMAT_VERSION = 1, 2
"""Version 2 has a charge and spins; closed shells of neutral molecules are still written as version 1."""
ARRAYS = ("numbers", "positions", "fock", "overlap", "orbital_energies", "occupations", "energy", "dipole")
GUESS_PREFIX = "guess_fock_"


def record_key(
    numbers: ArrayLike, positions_bohr: ArrayLike, settings: QMSettings, guess_focks: Sequence[str] = ()
) -> str:
    """Return the SHA-256 that names a calculation, in hexadecimal.

    Args:
        numbers: atomic numbers [atom].
        positions_bohr: [atom, 3], Bohr; any change, also a rotation or another order of atoms, is another key.
        settings: all of them count; the charge and multiplicity of a neutral singlet need not be given.
        guess_focks: none, as a record may be given further ones later; with some (in any order), the name that
            older versions gave to a record that holds them.
    """
    wanted = sorted(set(guess_focks) - {settings.guess})
    without = {"charge", "multiplicity"} | ({"pyscf"} if settings.pyscf is None else set())
    same_for_all = settings.model_dump(mode="json", exclude=without)
    if settings.pyscf is not None:
        same_for_all["pyscf"] = settings.pyscf.given()
    head = {"kind": KIND, "format_version": NEUTRAL_VERSION, "settings": same_for_all, "guess_focks": wanted}
    charge = settings.charge or 0
    multiplicity = settings.multiplicity or 1 + (int(np.sum(numbers)) - charge) % 2
    if (charge, multiplicity) != (0, 1):
        head |= {"charge": charge, "multiplicity": multiplicity}
    digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    digest.update(np.ascontiguousarray(numbers, dtype="<i8").tobytes())
    digest.update((np.ascontiguousarray(positions_bohr, dtype="<f8") + 0.0).tobytes())  # -0.0 becomes 0.0
    return digest.hexdigest()


def save_record(path: str | Path, record: QMRecord) -> None:
    """Write a record as npz, readable without pickle; the file is whole or absent at any moment."""
    save_arrays(path, record_arrays(record))


def load_record(path: str | Path) -> QMRecord:
    """Read a record written by :func:`save_record`, or packed since with its campaign.

    Raises:
        ArtifactError: if the file is missing, truncated, no record, or of a newer format.
    """
    path = Path(path)
    advice = "delete it and run the calculation again"
    if path.exists():
        return _record_from_arrays(load_arrays(path, advice), source=str(path))
    try:
        arrays = _packed_arrays(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is no whole record ({error}); {advice}") from None
    return _record_from_arrays(arrays, source=str(path))


def guesses_in(path: str | Path) -> set[str] | None:
    """Return which guesses have their Fock matrix in a record, by the table of its file alone; None if none is there.

    The matrices are not read: a damaged record may seem to be whole.
    """
    path = Path(path)
    try:
        if path.exists():
            with ZipFile(path) as file:
                names = [name.removesuffix(".npy") for name in file.namelist()]
        else:
            names = _packed_names(path)
    except (OSError, ValueError, RuntimeError, BadZipFile):
        return None
    return {name.removeprefix(GUESS_PREFIX) for name in names if name.startswith(GUESS_PREFIX)} if names else None


def record_arrays(record: QMRecord) -> dict[str, NDArray[Any]]:
    """Return a record as named arrays; the header is kind, format version and provenance as a JSON string."""
    header: dict[str, Any] = {"kind": KIND, "format_version": NEUTRAL_VERSION, "provenance": dict(record.provenance)}
    if record.charge or record.has_spins:
        state = {"charge": record.charge, "multiplicity": record.multiplicity}
        header |= {"format_version": FORMAT_VERSION, **state}
    return {
        "header": np.array(json.dumps(header)),
        **{name: np.asarray(getattr(record, name)) for name in ARRAYS},
        **{GUESS_PREFIX + name: np.asarray(fock) for name, fock in record.guess_focks.items()},
    }


def _record_from_arrays(arrays: Mapping[str, Any], source: str) -> QMRecord:
    try:
        header = json.loads(str(arrays["header"]))
        check_format(header, KIND, FORMAT_VERSION, source)
        values: dict[str, Any] = {name: arrays[name] for name in ARRAYS}
        values["energy"] = float(values["energy"])
        guesses = {
            name.removeprefix(GUESS_PREFIX): fock for name, fock in arrays.items() if name.startswith(GUESS_PREFIX)
        }
        values |= {name: int(header[name]) for name in ("charge", "multiplicity") if name in header}
        return QMRecord(**values, guess_focks=guesses, provenance=header["provenance"])
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise ArtifactError(
            f"{source} is not a record hamlearn wrote ({error}); delete it and run the calculation again"
        ) from None


def _packed_names(path: Path) -> list[str]:
    """Return the names of the arrays of a packed record; none if there is none."""
    pack = path.with_name(PACK_NAME)
    if not pack.exists():
        return []
    import h5py

    with h5py.File(pack) as file:
        return list(file[path.stem]) if path.stem in file else []


def _packed_arrays(path: Path) -> dict[str, Any]:
    """Read the arrays of a record from the HDF5 file its folder was packed into."""
    pack = path.with_name(PACK_NAME)
    if not pack.exists():
        raise ArtifactError(f"there is no record {path}; run the calculation first")
    import h5py

    with h5py.File(pack) as file:
        check_format(dict(file.attrs), PACK_KIND, FORMAT_VERSION, str(pack))
        if path.stem not in file:
            raise ArtifactError(f"there is no record {path}, nor is it in {pack}; run the calculation first")
        group = file[path.stem]
        arrays = {name: group[name][()] for name in group if name != "header"}
        return {"header": group["header"].asstr()[()], **arrays}
