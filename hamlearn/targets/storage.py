"""Targets on disk: one npz, readable without pickle, each quantity as one flat array with offsets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hamlearn.angular.ao_order import Orbitals
from hamlearn.artifacts import check_format, load_arrays, save_arrays
from hamlearn.errors import ArtifactError
from hamlearn.targets.origin import Origin
from hamlearn.targets.target import Diagnostics, Target

Array = NDArray[Any]
KIND, CLOSED_VERSION, FORMAT_VERSION = "targets", 1, 2
"""Version 2 has two spins; closed shells are still written as version 1."""
FILE = "targets.npz"
MATRICES = ("matrix", "metric", "baseline")
DIAGNOSTICS = ("singular_values", "projections")


def save_targets(folder: str | Path, targets: Sequence[Target]) -> None:
    """Write targets to ``folder/targets.npz``; the file is whole or absent at any moment.

    Args:
        folder: made if absent.
        targets: in any order, all built with the same settings.

    Raises:
        ArtifactError: if the settings were not the same.
    """
    diagnostics = [target.diagnostics for target in targets if target.diagnostics is not None]
    origins = [target.origin for target in targets if target.origin is not None]
    values: dict[str, list[Array]] = {"numbers": [target.numbers for target in targets]}
    values["positions"] = [origin.positions for origin in origins]
    for name in MATRICES:
        values[name] = [matrix for target in targets if (matrix := getattr(target, name)) is not None]
    for name in DIAGNOSTICS:
        values[name] = [getattr(part, name) for part in diagnostics]
    if any(len(parts) not in (0, len(targets)) for parts in values.values()):
        raise ArtifactError("targets differ in having a metric, baseline or diagnostics; build all with one setting")
    arrays = {
        "n_occupied": np.array([target.n_occupied for target in targets], dtype=np.int64),  # [target] or [target, spin]
        "rejected_gap": np.array([part.rejected_gap for part in diagnostics], dtype=np.float64),
    }
    for name, parts in values.items():
        if parts:
            arrays[name] = np.concatenate([part.ravel() for part in parts])
            arrays[f"{name}_offsets"] = np.cumsum([0, *(part.size for part in parts)])
    header = {
        "kind": KIND,
        "format_version": FORMAT_VERSION if arrays["n_occupied"].ndim == 2 else CLOSED_VERSION,
        "orbitals": Orbitals.merge(target.orbitals for target in targets).to_dict(),
        "flags": [part.flags for part in diagnostics],
    }
    if any((origin.target, origin.qm) != (origins[0].target, origins[0].qm) for origin in origins):
        raise ArtifactError("targets were built with different settings; build all with one setting")
    if origins:
        header |= {"target": dict(origins[0].target), "qm": dict(origins[0].qm)}
    Path(folder).mkdir(parents=True, exist_ok=True)
    save_arrays(Path(folder) / FILE, {"header": np.array(json.dumps(header)), **arrays})


def load_targets(folder: str | Path) -> list[Target]:
    """Read targets written by :func:`save_targets`.

    Returns:
        In the order they were saved; the orbitals of each are those of its own elements.

    Raises:
        ArtifactError: if the file is missing, truncated, of another kind or of a newer format.
    """
    path = Path(folder) / FILE
    arrays = load_arrays(path, "delete what is there and build targets again")
    try:
        header = json.loads(str(arrays["header"]))
        check_format(header, KIND, FORMAT_VERSION, str(path))
        return list(_targets(header, arrays))
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise ArtifactError(f"{path} holds no targets ({error}); delete it and build the targets again") from None


def _targets(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> Iterator[Target]:
    orbitals = Orbitals.from_dict(header["orbitals"])
    of_species: dict[tuple[int, ...], Orbitals] = {}
    parts = {name: _split(arrays, name) for name in ("numbers", "positions", *MATRICES, *DIAGNOSTICS) if name in arrays}
    for k, n_occupied in enumerate(arrays["n_occupied"]):
        numbers = parts["numbers"][k]
        species = tuple(sorted(set(numbers.tolist())))
        if species not in of_species:
            of_species[species] = orbitals.subset({z: orbitals.shells[z] for z in species})
        n = orbitals.n_ao(numbers)
        matrices = {name: _matrix(parts[name][k], n) for name in MATRICES if name in parts}
        yield Target(
            numbers=numbers,
            matrix=matrices["matrix"],
            metric=matrices.get("metric"),
            orbitals=of_species[species],
            n_occupied=int(n_occupied) if n_occupied.ndim == 0 else (int(n_occupied[0]), int(n_occupied[1])),
            baseline=matrices.get("baseline"),
            diagnostics=_diagnostics(header, arrays, parts, k),
            origin=_origin(header, parts, k),
        )


def _matrix(flat: Array, n: int) -> Array:
    return flat.reshape(n, n) if len(flat) == n * n else flat.reshape(-1, n, n)


def _origin(header: Mapping[str, Any], parts: Mapping[str, list[Array]], k: int) -> Origin | None:
    if "positions" not in parts:  # of an older version, or put together by hand
        return None
    return Origin(header["target"], header["qm"], parts["positions"][k].reshape(-1, 3))


def _diagnostics(
    header: Mapping[str, Any], arrays: Mapping[str, Array], parts: Mapping[str, list[Array]], k: int
) -> Diagnostics | None:
    if DIAGNOSTICS[0] not in parts:
        return None
    return Diagnostics(
        singular_values=parts["singular_values"][k],
        projections=parts["projections"][k],
        rejected_gap=float(arrays["rejected_gap"][k]),
        flags=tuple(header["flags"][k]),
    )


def _split(arrays: Mapping[str, Array], name: str) -> list[Array]:
    return np.split(arrays[name], arrays[f"{name}_offsets"][1:-1])
