"""Model folders of older formats in the layout of this one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hamlearn.config import KernelSettings, upgraded
from hamlearn.config.wigner import kernels_in_words
from hamlearn.learning.sum_kernels import sums_in_words
from hamlearn.types import FloatArray

Spec = dict[str, Any]
Tensors = dict[str, Tensor]
REMEDY = " (element_likeness lets them be like others)"
SECTION = {"ridge": "features", "wigner": "wigner", "kernel": "kernel"}
"""Which section a kind of model was made of; the others were written with their defaults."""
RENAMED = {
    "ridge": {"posterior.basis": "posterior.directions", "posterior.singular_values": "posterior.squares"},
    "wigner": {".factors": ".posterior.directions", ".scales": ".posterior.scales"},
    "kernel": {"solution.": "fit."},
}
"""Parts of names of tensors, by kind of model, and what they are called today."""
DENSITIES = ("density.", "contraction.")


def upgraded_model(spec: Spec, tensors: Tensors) -> tuple[Spec, Tensors]:
    """Return what a folder holds in the layout of the present format, step by step from that it was written in."""
    for version, step in STEPS.items():
        if spec["format_version"] == version:
            spec, tensors = step(spec, dict(tensors))
            spec = {**spec, "format_version": version + 1}
    return spec, tensors


def _from_1(spec: Spec, tensors: Tensors) -> tuple[Spec, Tensors]:
    """Move representations into the section model, what tasks and learners found into sections of their own."""
    kind = spec["model"]["kind"]
    out: Spec = {name: spec[name] for name in ("kind", "format_version", "training", "versions", "tensors_sha256")}
    sections = ("format_version", "qm", "target", SECTION[kind], "model")
    out |= upgraded({name: spec[name] for name in sections if name in spec})
    learned = {} if kind == "ridge" else {"kernel": out["model"]["kernel"]}
    if spec["kind"] == "property_model":
        out["elements"] = spec["elements"]
        task = {name: spec[name] for name in ("baseline", "scale", "elements")}
        kernel, basis = KernelSettings(**out["model"]["kernel"]), spec["basis"]
        words = sums_in_words(kernel, spec["hyperparameters"], basis["kind"], basis["size"])
        learned |= {"basis": basis["kind"], "hyperparameters": spec["hyperparameters"]} if tensors else {}
    else:
        out["elements"] = [int(z) for z in spec["orbitals"]]
        task = {"orbitals": spec["orbitals"], "groups": spec["groups"]}
        task["calibration"] = spec.get("calibration", [1.0, 1.0])  # absent from older folders
        words = [kernels_in_words(spec["wigner"])] if kind == "wigner" else []
        samples = ", ".join(f"{name} {n}" for name, n in spec.get("samples", {}).items())  # absent from older folders
        words += [f"Atoms and pairs in the basis: {samples}"] if samples else []
    if tensors:  # else the description alone was asked for
        learned["domain"] = _domain(spec, tensors)
        tensors = {_renamed(name, RENAMED[kind]): tensor for name, tensor in tensors.items()}
        _complete_posteriors(spec, tensors)
    return {**out, "in_words": words, "task": task, "learner": learned}, tensors


def _renamed(name: str, new: Mapping[str, str]) -> str:
    """Return what a tensor is called today."""
    return next((name.replace(old, now) for old, now in new.items() if old in name), name)


def _complete_posteriors(spec: Spec, tensors: Tensors) -> None:
    """Write what older formats left to the kind of the model, or stored in another form, in place."""
    kind = spec["model"]["kind"]
    if kind == "kernel":
        noise = float(spec["noise"])
        directions, left = _shared(tensors.pop("fit.minus").numpy(), tensors.pop("fit.plus").numpy())
        with np.errstate(divide="ignore"):
            squares = noise * (1 - left) / left
        found = {"directions": directions, "squares": squares, "alphas": [noise], "scales": [float(spec["amplitude"])]}
        tensors |= {f"posterior.{name}": torch.tensor(x, dtype=torch.float64) for name, x in found.items()}
    for head in [name.removesuffix("directions") for name in tensors if name.endswith("posterior.directions")]:
        tensors[f"{head}noise"] = torch.tensor(0.0 if kind == "wigner" else 1.0, dtype=torch.float64)
        if kind == "ridge":
            tensors[f"{head}squares"] = tensors[f"{head}squares"] ** 2
        elif kind == "wigner":
            n_directions = tensors[f"{head}directions"].shape[1]
            tensors[f"{head}squares"] = torch.full((n_directions,), np.inf, dtype=torch.float64)
            tensors[f"{head}alphas"] = torch.zeros_like(tensors[f"{head}scales"])


def _domain(spec: Spec, tensors: Mapping[str, Tensor]) -> Spec:
    """Return the state of the domain: families of the groups, and elements (centre, neighbour) with densities."""
    kind = spec["model"]["kind"]
    section = spec[SECTION[kind]]
    known = {(g["kind"], *g["species"]) for g in spec.get("groups", ())}
    known |= {("on_site", int(z), int(z)) for z in spec.get("elements", ())}
    seen = [name.split(".")[1:] for name in tensors if name.startswith(DENSITIES) and bool(tensors[name].any())]
    return {
        "families": [list(family) for family in sorted(known)],
        "neighbours": None if section.get("element_likeness") is not None else [[int(z), int(a)] for z, a in seen],
        "cutoff": section["cutoff_angstrom"],
        "remedy": "" if kind == "ridge" else REMEDY,
    }


def _shared(minus: FloatArray, plus: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return W and d with W W^T = minus minus^T and W diag(d) W^T = plus plus^T."""
    if not plus.shape[1]:
        return np.ascontiguousarray(minus), np.zeros(minus.shape[1])
    lengths = np.linalg.norm(minus, axis=0)
    q, r = np.linalg.qr(minus / lengths)
    mapped = np.linalg.solve(r, q.T @ plus) / lengths[:, None]
    u, singular, _ = np.linalg.svd(mapped, full_matrices=True)
    left = np.zeros(len(u))
    left[: len(singular)] = singular**2  # above 1 by rounding, where normal equations were solved
    return np.ascontiguousarray(minus @ u), left


STEPS: dict[int, Callable[[Spec, Tensors], tuple[Spec, Tensors]]] = {1: _from_1}
