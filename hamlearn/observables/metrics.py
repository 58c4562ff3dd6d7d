"""Errors of predicted matrices, levels and gaps.

Every molecule counts the same, whatever its size. References may be given as targets or, so that their levels are
computed only once, as :func:`~hamlearn.observables.prediction.reference_prediction` of them.

Source: Nigam, Willatt, Ceriotti, J. Chem. Phys. 156, 014115 (2022), eqs. 39 and 41.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hamlearn.errors import SettingError, check_type
from hamlearn.observables.prediction import Prediction
from hamlearn.observables.spins import AnyPrediction, SpinPrediction, each_spin, reference_prediction
from hamlearn.targets.spins import SPINS
from hamlearn.targets.target import Target
from hamlearn.units import HARTREE_MEV

EV_MEV = 1e3


def metrics(predictions: Sequence[AnyPrediction], targets: Sequence[Target | AnyPrediction]) -> dict[str, float]:
    """Return the errors of predictions, meV.

    Args:
        predictions: of some molecules.
        targets: the reference of each.

    Returns:
        hamiltonian_rmse_mev, eigenvalue_rmse_mev, eigenvalue_mae_mev, gap_rmse_mev, gap_mae_mev. Gaps are averaged
        over the molecules that have one (nan if none has).

    Raises:
        SettingError: without predictions, if molecules differ, or if either is something else.

    Invariant under rotation and permutation of the molecules.
    """
    references = _references(predictions, targets)
    levels = [p.eigenvalues_ev - r.eigenvalues_ev for p, r in _spins(predictions, references)]
    gaps = np.array([p.gap_ev - r.gap_ev for p, r in zip(predictions, references, strict=True)])
    gaps = gaps[np.isfinite(gaps)]
    return {
        "hamiltonian_rmse_mev": hamiltonian_rmse_mev(predictions, references),
        "eigenvalue_rmse_mev": EV_MEV * _root_mean([np.mean(error**2) for error in levels]),
        "eigenvalue_mae_mev": EV_MEV * float(np.mean([np.mean(np.abs(error)) for error in levels])),
        "gap_rmse_mev": EV_MEV * _root_mean(gaps**2) if gaps.size else float("nan"),
        "gap_mae_mev": EV_MEV * float(np.mean(np.abs(gaps))) if gaps.size else float("nan"),
    }


def hamiltonian_rmse_mev(predictions: Sequence[AnyPrediction], targets: Sequence[Target | AnyPrediction]) -> float:
    """Return sqrt(mean over molecules of sum (dH)^2 / n), n the number of orbitals, not of elements: meV.

    For orthonormal bases it bounds the eigenvalue RMSE of every molecule from above (Hoffman and Wielandt).

    Args:
        predictions: of some molecules.
        targets: the reference of each.
    """
    references = _references(predictions, targets)
    squares = [
        np.sum((p.hamiltonian - r.hamiltonian) ** 2) / len(r.hamiltonian) for p, r in _spins(predictions, references)
    ]
    return HARTREE_MEV * _root_mean(squares)


def level_errors(
    predictions: Sequence[AnyPrediction], targets: Sequence[Target | AnyPrediction]
) -> list[dict[str, Any]]:
    """Return the errors of every level, named from the frontier.

    Args:
        predictions: of some molecules.
        targets: the reference of each.

    Returns:
        One row per level in order of energy, HOMO-1, HOMO, LUMO, LUMO+1 ...: level, occupied, rmse_mev, mae_mev and
        count, the number of molecules that have the level. Of open shells first the levels of spin alpha, then of beta.
    """
    errors: dict[tuple[str, int], list[float]] = {}
    for p, r in zip(predictions, _references(predictions, targets), strict=True):
        names = [f"{name} " for name in SPINS] if isinstance(r, SpinPrediction) else [""]
        for spin, q, s in zip(names, p.spins, r.spins, strict=True):
            for place, error in enumerate(EV_MEV * (q.eigenvalues_ev - s.eigenvalues_ev), start=-s.n_occupied):
                errors.setdefault((spin, place), []).append(float(error))
    return [
        {
            "level": f"{spin}{level_name(place)}",
            "occupied": place < 0,
            "rmse_mev": _root_mean(np.square(errors[spin, place])),
            "mae_mev": float(np.mean(np.abs(errors[spin, place]))),
            "count": len(errors[spin, place]),
        }
        for spin, place in sorted(errors)
    ]


def level_name(place: int) -> str:
    """Return the name of a level counted from the LUMO (0): -1 is HOMO, -2 HOMO-1, 1 LUMO+1."""
    frontier, distance = ("HOMO", place + 1) if place < 0 else ("LUMO", place)
    return f"{frontier}{distance:+d}" if distance else frontier


def _references(predictions: Sequence[AnyPrediction], targets: Sequence[Target | AnyPrediction]) -> list[AnyPrediction]:
    """Return the references as predictions, checked against the predictions."""
    for name, given in (("predictions", predictions), ("targets", targets)):
        check_type(given, Sequence, name, "a list with one for each molecule")
    if not predictions or len(predictions) != len(targets):
        raise SettingError(f"{len(predictions)} predictions and {len(targets)} references; give one each, at least one")
    for k, (p, t) in enumerate(zip(predictions, targets, strict=True)):
        check_type(
            p,
            (Prediction, SpinPrediction),
            f"predictions[{k}]",
            "a Prediction of model.predict; references come second",
        )
        check_type(
            t, (Target, Prediction, SpinPrediction), f"targets[{k}]", "what hamlearn.build_target makes of a record"
        )
    references = [reference_prediction(t) if isinstance(t, Target) else t for t in targets]
    for k, (p, r) in enumerate(zip(predictions, references, strict=True)):
        if not np.array_equal(p.numbers, r.numbers) or p.hamiltonian.shape != r.hamiltonian.shape:
            raise SettingError(f"prediction {k} is of another molecule or basis than its reference; match their order")
    return references


def _spins(
    predictions: Sequence[AnyPrediction], references: Sequence[AnyPrediction]
) -> Iterator[tuple[Prediction, Prediction]]:
    """Return every matrix with its reference, of open shells both spins."""
    return zip(each_spin(predictions), each_spin(references), strict=True)


def _root_mean(squares: ArrayLike) -> float:
    return float(np.sqrt(np.mean(np.asarray(squares))))
