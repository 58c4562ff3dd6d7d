"""A run in plain sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hamlearn.display import SUBSCRIPT, counted

MOST_FORMULAS = 12


def what_was_computed(config: Mapping[str, Any], results: Mapping[str, Any], in_words: Sequence[str] = ()) -> list[str]:
    """Paragraphs that say what was calculated, what was learned from it, and how it was tested.

    Args:
        config: of the run.
        results: of the run.
        in_words: what the learner says of itself.
    """
    qm = config["qm"]
    method = f"{qm['method']} ({qm['xc']})" if qm.get("xc") else qm["method"]
    n_test = results.get("n_test") or 0
    count = results.get("n_structures", results["n_train"] + n_test)
    formulas = _formulas(results.get("formulas") or {})
    return [
        f"PySCF computed the Fock and overlap matrices of {counted(count, 'structure')}{formulas} "
        f"at the {method}/{qm['basis']} level.",
        _target(config["target"]),
        f"The matrix was split into blocks that each carry one irreducible symmetry, and every block was fitted by "
        f"{_regression(config)} of the same symmetry, with {counted(results['n_train'], 'training structure')}."
        + _lines(in_words)
        + (f" Errors are those on {counted(n_test, 'other structure')}." if n_test else ""),
    ]


def what_property_was_learned(
    config: Mapping[str, Any], results: Mapping[str, Any], in_words: Sequence[str] = ()
) -> list[str]:
    """Paragraphs that say which property was learned from what, how, and how it was tested.

    Args:
        config: of the run.
        results: of the run.
        in_words: what the learner says of itself; kernels are described here.
    """
    target, learner = config["target"], config["model"]
    kind = {0: "scalar", 1: "vector", 2: "symmetric traceless tensor"}[target["l"]]
    unit = f", {target['unit']}" if target.get("unit") else ""
    forces = f", with its forces ('{target['forces_key']}')" if target.get("forces_key") else ""
    n_test = results.get("n_test") or 0
    return [
        f"The property '{target['key']}' ({kind}{unit}){forces} was read from the input file of "
        f"{counted(results.get('n_structures', results['n_train'] + n_test), 'structure')}"
        f"{_formulas(results.get('formulas') or {})}.",
        f"It was learned by {_of_property(target, learner)}, with "
        f"{counted(results['n_train'], 'training structure')}; every choice was made by cross-validation inside the "
        "training set."
        + _lines(in_words if learner["kind"] != "kernel" else ())
        + (f" Errors are those on {counted(n_test, 'other structure')}." if n_test else ""),
    ]


def chosen_of_grid(chosen: Mapping[str, Any]) -> list[str]:
    """A sentence on the settings of kernels that were chosen on a grid; none where there was no grid."""
    settings = ", ".join(f"{name} {'none' if value is None else value}" for name, value in chosen.items())
    return [f"Chosen among the settings of model.kernel.grid by cross-validation: {settings}."] if chosen else []


def every_block(count: int) -> str:
    """All blocks of a matrix in words."""
    return "The only block" if count == 1 else f"All {count} blocks"


def _lines(in_words: Sequence[str]) -> str:
    return "".join(f" {line}." for line in in_words)


def _regression(config: Mapping[str, Any]) -> str:
    kind = config["model"]["kind"]
    words = {"kernel": "regression on kernels", "ridge": "ridge regression on symmetry-adapted features"}
    return words.get(kind, f"a learner of kind {kind}")


def _of_property(target: Mapping[str, Any], model: Mapping[str, Any]) -> str:
    if model["kind"] != "kernel":
        return f"{_regression({'model': model})}, as a sum over atoms"
    kernel = model["kernel"]
    kernels = {
        "wigner": f"a mixture of Wigner kernels up to order {kernel['max_nu']}",
        "order": f"the Wigner kernel of order {kernel['max_nu']}",
        "soap": "the normalised SOAP kernel",
    }
    sums = {
        "sum": "a sum over atoms",
        "average": "an average over atoms",
        "best_match": "best matches of atoms",
        "rematch": "regularised matches (REMatch) of atoms",
    }
    more = "" if kernel.get("message_nu") is None else f" with messages of order {kernel['message_nu']}"
    more += "".join(f" and of {name}s" for name in kernel.get("additive") or ())
    basis = model.get("basis") or ("sparse" if target.get("forces_key") else "full")
    bases = {
        "full": "kernels of all training structures",
        "sparse": "kernels of active environments",
        "derivatives": "kernels and kernel derivatives of all training structures",
    }
    return (
        f"kernel regression as {sums[kernel.get('structure', 'sum')]}, with {kernels[kernel['kind']]} of environments "
        f"of {kernel['cutoff_angstrom']:g} Å{more}, expanded in {bases[basis]}"
    )


def _formulas(counts: Mapping[str, int]) -> str:
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    named = [formula.translate(SUBSCRIPT) for formula, _ in ranked[:MOST_FORMULAS]]
    if len(ranked) > MOST_FORMULAS:
        named.append(f"and {len(ranked) - MOST_FORMULAS} more formulas")
    return f" ({', '.join(named)})" if named else ""


def _target(target: Mapping[str, Any]) -> str:
    """One sentence or two on the matrix that was learned."""
    virtuals = {
        "lowest": "the occupied valence levels and the lowest virtual levels it can hold are kept exactly",
        "valence": "the occupied valence levels are kept exactly, the virtual ones are valence-like combinations",
    }
    basis = {"subset": "the valence functions of the same basis", "minao": "PySCF's minao basis"}
    form = {"orthogonal": "", "nonorthogonal": ", in the non-orthogonal form with the overlap of that basis"}
    words = {
        "fock": "The model learns the Fock matrix in the full atomic-orbital basis.",
        "lowdin": "The model learns the Fock matrix in the symmetrically (Löwdin) orthogonalised basis.",
    }
    if target["kind"] == "saph":
        sentence = (
            "The model learns the symmetry-adapted projected Hamiltonian (SAPH): the Fock matrix projected on "
            f"{basis[target['minimal_basis']]}{form[target['form']]}; {virtuals[target['virtuals']]}."
        )
    else:
        sentence = words[target["kind"]]
    if target.get("delta", "none") != "none":
        guess = "a density converged in STO-3G" if target["delta"] == "sto-3g" else f"PySCF's {target['delta']} guess"
        sentence += f" The same matrix of {guess} is subtracted before and added back after."
        if target["kind"] == "saph" and target["virtuals"] == "lowest" and target["delta"] != "core":
            sentence += " The levels kept are those that are like the guess's."
    return sentence
