"""What a run thinks of its model, in at most five lines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ase.formula import Formula

from hamlearn.display import counted, listed
from hamlearn.observables.learning_curve import final_slope
from hamlearn.workflow.automatic.rules import MOST_ATOMS_OF_COUPLED

GRADES = ((0.05, "excellent"), (0.15, "good"), (0.3, "useful for trends"), (0.7, "poor"), (math.inf, "of no use"))
"""Largest error in units of the spread of what is predicted, and what it is called."""

NOTABLE = 0.5
"""Share of the squared error that is worth naming a cause."""

FLAT = 0.15
"""Exponent of learning below which more molecules help little."""

GOOD_ENOUGH = 0.15
MOST_FORMULAS, MOST_LEVELS = 4, 3


def verdict(
    judgement: Mapping[str, Any] | None,
    blocks: Sequence[Mapping[str, Any]],
    sizes: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    held_out: bool = False,
    guess: str | None = "sto-3g",
) -> dict[str, Any]:
    """Return the verdict on a model of matrices: ``lines``, and the numbers they stand on.

    Args:
        judgement: by :func:`hamlearn.observables.judgement.judged`; None: there was nothing to test on.
        blocks: errors of the blocks of the matrix.
        sizes: errors with ``n_train`` for several numbers of training structures.
        settings: sections target and model of the run.
        held_out: whether the errors are those of training structures left out.
        guess: whose difference could be learned; None if there is none.
    """
    if judgement is None:
        words = "No verdict: nothing was set aside (split.test is 0) and model.error_bars, which leave out, are off."
        return {"lines": [words], "exponent": None}
    slope = final_slope(sizes, "eigenvalue_rmse_mev") if len(sizes) > 1 else float("nan")
    lines = [_overall(judgement, held_out), *_formulas(judgement), _sources(judgement, blocks)]
    lines += [line for line in (_learning(sizes, slope), _help(judgement, settings, slope, guess)) if line]
    return {"lines": lines, "exponent": slope, **judgement}


def sizes_tested(results: Mapping[str, Any], half: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """Return errors with ``n_train`` of all sizes that were tested: those of the learning curve, and of a run.

    Args:
        results: of the run.
        half: errors of a fit on half of the training set, which stands for a curve where there is none.
    """
    sizes = list(results["learning_curve"]) or ([] if half is None else [half])
    if sizes and results["n_train"] not in {row["n_train"] for row in sizes}:
        sizes.append({**results, "order": 0})
    return sizes


def _overall(judgement: Mapping[str, Any], held_out: bool) -> str:
    ratio = max((own for name in ("gap", "level") if (own := _ratio(judgement, name)) is not None), default=None)
    whose = "spread inside formulas" if judgement["inside"] else "spread over all molecules"
    parts = [_beside(judgement, "gap", whose), _beside(judgement, "level", "theirs")]
    of = f"{judgement['count']} training structures left out" if held_out else f"{judgement['count']} test structures"
    grade = "" if ratio is None else f"{_grade(ratio)}: "
    if judgement.get("flagged"):
        parts.append(f"{judgement['flagged']} of them lie outside the training set (flags in the report)")
    return f"Verdict, {of}: {grade}{'; '.join(part for part in parts if part)}."


def _beside(row: Mapping[str, Any], name: str, spread: str) -> str:
    error, ratio = row[f"{name}_rmse_mev"], _ratio(row, name)
    what = "gaps" if name == "gap" else "levels"
    if error is None or not math.isfinite(error):
        return ""
    beside = "" if ratio is None else f", {_percent(ratio)} of {'the ' if name == 'gap' else ''}{spread}"
    return f"{what} are wrong by {_mev(error)}{beside}"


def _formulas(judgement: Mapping[str, Any]) -> list[str]:
    known = [(row, ratio) for row in judgement["formulas"] if (ratio := _ratio(row, "gap")) is not None]
    if len(judgement["formulas"]) < 2 or not known:
        return []
    ranked = sorted(known, key=lambda pair: -pair[1])
    words = [
        f"{row['formula']} {_mev(row['gap_rmse_mev'])} of {_mev(row['gap_spread_mev'])} ({_percent(ratio)})"
        for row, ratio in ranked
    ]
    return [f"Gap error and spread by formula, worst first: {listed(words, MOST_FORMULAS, ', ')}."]


def _sources(judgement: Mapping[str, Any], blocks: Sequence[Mapping[str, Any]]) -> str:
    levels = [f"{row['level']} {_percent(row['share'])}" for row in judgement["levels"][:MOST_LEVELS]]
    words = f"Of the squared error of levels {_percent(judgement['virtual_share'])} is that of virtual ones"
    words += f"; most have {', '.join(levels)}"
    total = sum(row["rmse_mev"] ** 2 for row in blocks)
    if total > 0:
        worst = max(blocks, key=lambda row: float(row["rmse_mev"]))
        kind = "atoms" if worst["kind"] == "on_site" else worst["species"]
        name = worst["species"].partition("-")[0] if kind == "atoms" else kind
        share = worst["rmse_mev"] ** 2 / total
        words += f"; of that of the matrix {_percent(share)} is of blocks {name} {worst['shells']}, L = {worst['L']}"
    return f"{words}."


def _learning(sizes: Sequence[Mapping[str, Any]], slope: float) -> str:
    if not math.isfinite(slope):
        return ""
    first, last = sorted({int(row["n_train"]) for row in sizes})[-2:]
    if slope > -FLAT:
        how = "does not fall" if slope > -0.02 else f"falls as n^{slope:.2f} only"
        return f"From {first} to {last} training structures the error of levels {how}: more of them help little."
    many = f"twice as many give {2**slope:.2f} of it, ten times {10**slope:.2g}"
    return f"The error of levels falls as n^{slope:.2f} ({first} to {last} training structures): {many}."


def _help(judgement: Mapping[str, Any], settings: Mapping[str, Any], slope: float, guess: str | None) -> str:
    """Return which settings would help most."""
    ratios = [ratio for name in ("gap", "level") if (ratio := _ratio(judgement, name)) is not None]
    if not ratios or max(ratios) <= GOOD_ENOUGH:
        return ""
    target, model, advice = settings["target"], settings["model"], []
    of_virtuals = judgement["virtual_share"] > NOTABLE
    if target.get("delta") == "none" and guess is not None:
        advice.append(f"target.delta: {guess} (the difference to a guess is smoother)")
    if of_virtuals and target.get("virtuals") == "lowest":
        advice.append("target.kind: lowdin (holds all levels, also where virtual ones cross)")
    features = (model.get("features") or {}).get("kind") if model["kind"] == "ridge" else None
    if features == "coupled" and _most_atoms(judgement) > MOST_ATOMS_OF_COUPLED:
        advice.append("model: {kind: ridge, features: {kind: bond_frame}} (hold more neighbours)")
    if not math.isfinite(slope):
        advice.append("more molecules (by how much is not known: no smaller training set was fitted)")
    elif slope <= -FLAT:
        more = f"{counted(_needed(max(ratios), slope), 'time')} as many training structures"
        advice.insert(1 if of_virtuals and advice else 0, f"more molecules ({more} for {_percent(GOOD_ENOUGH)})")
    if features == "bond_frame":
        advice.append("model: {kind: kernel, kernel: {kind: bond_frame}} (at best a tenth more accurate)")
    return f"What would help most, in this order: {'; '.join(advice)}." if advice else ""


def _most_atoms(judgement: Mapping[str, Any]) -> int:
    return max(len(Formula(row["formula"])) for row in judgement["formulas"])


def _needed(ratio: float, slope: float) -> int:
    """Return how many times as many structures bring an error down to what is good enough."""
    return math.ceil((ratio / GOOD_ENOUGH) ** (-1 / slope))


def _ratio(row: Mapping[str, Any], name: str) -> float | None:
    error, spread = row[f"{name}_rmse_mev"], row[f"{name}_spread_mev"]
    if error is None or spread is None or not math.isfinite(error) or not spread > 0:
        return None
    return float(error / spread)


def _grade(ratio: float) -> str:
    return next(words for largest, words in GRADES if ratio <= largest)


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.0f} %" if ratio >= 0.0095 else f"{100 * ratio:.2g} %"


def _mev(value: float) -> str:
    """Return an energy in meV, in eV if it is large."""
    return f"{value / 1e3:.2f} eV" if value >= 999.5 else f"{value:.3g} meV"
