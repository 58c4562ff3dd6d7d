"""Self-consistency by a ladder of ever safer solvers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import LinAlgError

from hamlearn.config import QMSettings
from hamlearn.errors import SCFError
from hamlearn.lazy import lazily
from hamlearn.qm.atomic_density import atomic_density
from hamlearn.qm.method import mean_field
from hamlearn.types import FloatArray

MAX_CYCLES = 50  # of the first attempts; the slower ones get twice as many
FIRST_ATTEMPT = "diis"


@dataclass(frozen=True, eq=False)
class Converged:
    """A mean field that reached self-consistency.

    Attributes:
        mean_field: the PySCF object.
        fock: [ao, ao], Hartree, of the final density, without DIIS or level shift; of open shells [spin, ao, ao], in
            ROHF, too, whose orbitals diagonalise a mixture of both.
        density: of the same shape.
        attempt: which step of the ladder succeeded.
        first_fock: Fock matrix of the density the first attempt started from, of the same shape, Hartree; None if
            that attempt broke down before it was built.
    """

    mean_field: Any
    fock: FloatArray
    density: FloatArray
    attempt: str
    first_fock: FloatArray | None


def converge(
    mole: Any, settings: QMSettings, start_density: Callable[[Any, str, str], Any] = atomic_density
) -> Converged:
    """Climb the ladder of ever slower and safer solvers until one converges.

    Args:
        mole: the molecule in its basis.
        settings: method, threshold and the guess to begin with.
        start_density: makes the density of a guess from mean field, basis and name; by default those of atoms.

    Raises:
        SCFError: if none does.
    """
    first: dict[str, Any] = {}
    said = []
    for attempt, field, start in _ladder(mole, settings):
        final: dict[str, Any] = {}
        field.post_kernel = final.update
        if attempt == FIRST_ATTEMPT:
            field.pre_kernel = first.update
        try:
            field.kernel(dm0=start_density(field, settings.basis, start))
        except (LinAlgError, ArithmeticError, ValueError, RuntimeError) as error:
            said.append(f"{attempt}: {error}")
            continue
        finally:  # the hooks hold the field, which holds them and all integrals: memory would wait for the collector
            field.pre_kernel = field.post_kernel = None
        if field.converged:
            density = final["dm"] if "dm" in final else field.make_rdm1()
            fock = final["fock"] if "fock" in final else field.get_fock(dm=density)
            first_fock = symmetrised(first["h1e"] + first["vhf"]) if first else None
            if hasattr(fock, "focka"):
                fock = np.stack([fock.focka, fock.fockb])
            return Converged(field, symmetrised(fock), np.asarray(density), attempt, first_fock)
        said.append(f"{attempt}: {field.max_cycle} cycles")
    raise SCFError(f"not converged to {settings.conv_tol:g} Hartree ({'; '.join(said)})")


def _ladder(mole: Any, settings: QMSettings) -> Iterator[tuple[str, Any, str]]:
    """Yield name, mean field and starting guess of every attempt."""
    other = "atom" if settings.guess == "minao" else "minao"
    for attempt, start in ((FIRST_ATTEMPT, settings.guess), (f"guess {other}", other)):
        field = mean_field(mole, settings)
        field.max_cycle = MAX_CYCLES
        yield attempt, field, start
    field = mean_field(mole, settings)
    field.set(level_shift=0.5, diis_space=12, max_cycle=2 * MAX_CYCLES)
    yield "level shift", field, settings.guess
    field = mean_field(mole, settings).newton()
    field.max_cycle = 2 * MAX_CYCLES
    yield "second order", field, settings.guess


def symmetrised(matrix: Any) -> FloatArray:
    """Return (A + A^T) / 2 of one or many as a plain array: PySCF's carry a rounding residue and tags."""
    plain = np.array(matrix, dtype=np.float64)
    return 0.5 * (plain + plain.swapaxes(-1, -2))


__getattr__, _ = lazily("hamlearn.qm", {"calculation": ("run_scf",)})  # scripts of older versions import it from here
