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
    else:
        out["elements"] = [int(z) for z in spec["orbitals"]]
        task = {"orbitals": spec["orbitals"], "groups": spec["groups"]}
        task["calibration"] = spec.get("calibration", [1.0, 1.0])  # absent from older folders
        words = [kernels_in_words(spec["wigner"])] if kind == "wigner" else []
        samples = ", ".join(f"{name} {n}" for name, n in spec.get("samples", {}).items())  # absent from older folders
        words += [f"Atoms and pairs in the basis: {samples}"] if samples else []
    if tensors:  # else the description alone was asked for
        found, tensors = {"ridge": _ridge, "wigner": _wigner, "kernel": _sums}[kind](spec, tensors)
        learned |= found
    return {**out, "in_words": words, "task": task, "learner": learned}, tensors


def _ridge(spec: Spec, tensors: Tensors) -> tuple[Spec, Tensors]:
    near = [name.split(".")[1:] for name in tensors if name.startswith("density.")]
    domain = _domain(spec, [[int(z), int(a)] for z, a in near], spec["features"]["cutoff_angstrom"], "")
    out = {}
    for name, tensor in tensors.items():
        head, _, last = name.rpartition(".posterior.")
        if last == "basis":
            out[f"{head}.posterior.directions"] = tensor
            out[f"{head}.posterior.noise"] = torch.tensor(1.0, dtype=torch.float64)
        elif last == "singular_values":
            out[f"{head}.posterior.squares"] = tensor**2
        else:
            out[name] = tensor
    return {"domain": domain}, out


def _wigner(spec: Spec, tensors: Tensors) -> tuple[Spec, Tensors]:
    wigner = spec["wigner"]
    near = None if wigner.get("element_likeness") is not None else _seen(tensors)
    out = {}
    for name, tensor in tensors.items():
        head, _, last = name.rpartition(".")
        if head.startswith("group.") and last == "factors":
            zero = torch.zeros_like(tensors[f"{head}.scales"])
            out[f"{head}.posterior.directions"] = tensor
            out[f"{head}.posterior.squares"] = torch.full((tensor.shape[1],), np.inf, dtype=torch.float64)
            out[f"{head}.posterior.alphas"] = zero
            out[f"{head}.posterior.noise"] = torch.tensor(0.0, dtype=torch.float64)
        elif head.startswith("group.") and last == "scales":
            out[f"{head}.posterior.scales"] = tensor
        else:
            out[name] = tensor
    domain = _domain(spec, near, wigner["cutoff_angstrom"], REMEDY)
    return {"domain": domain}, out


def _sums(spec: Spec, tensors: Tensors) -> tuple[Spec, Tensors]:
    kernel = spec["kernel"]
    domain = {
        "families": [["on_site", int(z), int(z)] for z in spec["elements"]],
        "neighbours": None if kernel.get("element_likeness") is not None else _seen(tensors),
        "cutoff": kernel["cutoff_angstrom"],
        "remedy": REMEDY,
    }
    noise = float(spec["noise"])
    directions, left = _shared(tensors.pop("solution.minus").numpy(), tensors.pop("solution.plus").numpy())
    with np.errstate(divide="ignore"):
        squares = noise * (1 - left) / left
    out = {name.replace("solution.", "fit."): tensor for name, tensor in tensors.items()}
    one = torch.ones(1, dtype=torch.float64)
    out |= {
        "posterior.directions": torch.from_numpy(directions),
        "posterior.squares": torch.from_numpy(squares),
        "posterior.alphas": one * noise,
        "posterior.scales": one * float(spec["amplitude"]),
        "posterior.noise": torch.tensor(1.0, dtype=torch.float64),
    }
    return {"domain": domain, "basis": spec["basis"]["kind"], "hyperparameters": spec["hyperparameters"]}, out


def _domain(spec: Spec, near: list[list[int]] | None, cutoff: float, remedy: str) -> Spec:
    families = sorted({(g["kind"], *g["species"]) for g in spec["groups"]})
    return {"families": [list(family) for family in families], "neighbours": near, "cutoff": cutoff, "remedy": remedy}


def _seen(tensors: Mapping[str, Tensor]) -> list[list[int]]:
    """Return the elements (centre, neighbour) with density channels."""
    names = [name for name, tensor in tensors.items() if name.startswith("contraction.") and bool(tensor.any())]
    return [[int(part) for part in name.split(".")[1:]] for name in names]


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
