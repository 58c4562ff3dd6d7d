"""Speed of the engine on O(3) beside the rate of matrix products of the same core, in the same run.

    python benchmarks/wigner.py [REPEATS]

One core. The input is the published benchmark's: the kernel of order 1 of 2000 pairs as [pairs, 84] float64. Every
figure is the best of REPEATS runs, taken in turn with a matrix product. The last line is one JSON object.
HAMLEARN_BENCHMARK_DATA names the folder of rmd17/ethanol.npz, for the kernel of 100 structures.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from ase import Atoms

from hamlearn.config import KernelSettings
from hamlearn.kernels import EnvironmentKernel, GroupFunction, density_kernel, invariant_orders
from hamlearn.o3.compiled import is_compiled, product_table
from hamlearn.o3.layout import n_components

PAIRS = 2000
BACKENDS = ("compiled", "grid") if is_compiled() else ("grid",)
FLOOR_FLOP = {"invariants": 24_000 + 500, "equivariants": 238_000, "step": 47_600}  # multiplications and additions
AIMS_US = {  # for 70 GFlop/s
    ("compiled", "invariants"): 1.5,
    ("compiled", "equivariants"): 8.0,
    ("compiled", "step"): 2.0,
    ("grid", "invariants"): 5.5,
    ("grid", "equivariants"): 18.0,
}


def random_input(max_l: int, n_pairs: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    values = torch.randn((n_pairs, n_components(max_l)), dtype=dtype, generator=torch.Generator().manual_seed(seed))
    return values / n_components(max_l)


def function(values: torch.Tensor, max_l: int, backend: str) -> GroupFunction:
    """The layout of the input, [pairs, component], is kept: turning it around belongs to the measured time."""
    return GroupFunction(values.T[None], max_l, backend)  # type: ignore[arg-type]


def seconds(run: Callable[[], object], n: int = 1) -> float:
    start = time.perf_counter()
    for _ in range(n):
        run()
    return (time.perf_counter() - start) / n


def in_turn(runs: dict[str, Callable[[], object]], repeats: int) -> tuple[dict[str, float], float]:
    """Return the best time of each, s, and the best rate of a matrix product, GFlop/s."""
    a = torch.randn((1200, 1200), dtype=torch.float64)
    for run in runs.values():
        run()  # tables and grids are made once
    best = {name: float("inf") for name in runs}
    gemm = float("inf")
    for _ in range(repeats):
        gemm = min(gemm, seconds(lambda: a @ a))
        for name, run in runs.items():
            best[name] = min(best[name], seconds(run))
    return best, 2 * 1200**3 / gemm / 1e9


def engine(repeats: int) -> dict[str, float]:
    """The three figures of the issue for both back ends, L = 3."""
    x, y = random_input(3, PAIRS), random_input(3, PAIRS, 1)
    runs: dict[str, Callable[[], object]] = {}
    for name in BACKENDS:
        f, g = function(x, 3, name), function(y, 3, name)
        runs[f"{name} invariants"] = lambda f=f: invariant_orders(f, 4)
        runs[f"{name} equivariants"] = lambda f=f: f.powers(4)
        runs[f"{name} step"] = lambda f=f, g=g: f * g
    single = function(x.float(), 3, "grid")
    runs["grid, float32 invariants"] = lambda: invariant_orders(single, 4)
    runs["grid, float32 equivariants"] = lambda: single.powers(4)
    best, gflops = in_turn(runs, repeats)
    print(f"matrix products: {gflops:.1f} GFlop/s on one core\n")
    print(f"{'L = 3, orders up to 4':<28}{'us/pair':>9}{'x floor':>9}{'aim, us':>9}{'   (aim scaled from 70 GFlop/s)'}")
    for name, value in best.items():
        backend, kind = name.rsplit(" ", 1)
        us = 1e6 * value / PAIRS
        aim = AIMS_US.get((backend, kind))
        scaled = "" if aim is None else f"{aim * 70 / gflops:9.1f}"
        print(f"{name:<28}{us:9.2f}{us * gflops * 1e3 / FLOOR_FLOP[kind]:9.1f}{scaled}")
    main = "compiled" if is_compiled() else "grid"
    figures = {f"{kind}_us": 1e6 * best[f"{main} {kind}"] / PAIRS for kind in FLOOR_FLOP}
    grid = {f"grid_{kind}_us": 1e6 * best[f"grid {kind}"] / PAIRS for kind in FLOOR_FLOP}
    return {"gemm_gflops": gflops, **figures, **grid}


def scaling(repeats: int) -> None:
    """One general step against L for both back ends."""
    print(f"\n{'one step':<6}{'L':>4}{'terms':>12}" + "".join(f"{name + ', us':>16}" for name in BACKENDS))
    for max_l in range(2, 9):
        n = max(64, PAIRS // 2 ** (2 * (max_l - 2)))
        x, y = random_input(max_l, n), random_input(max_l, n, 1)
        factors = {name: (function(x, max_l, name), function(y, max_l, name)) for name in BACKENDS}
        runs = {name: lambda pair=pair: pair[0] * pair[1] for name, pair in factors.items()}
        best, _ = in_turn(runs, max(2, repeats // 2))
        terms = product_table((max_l,) * 3, (1, 1)).n_flop // 3 if is_compiled() else 0
        print(f"{'':<6}{max_l:>4}{terms:>12}" + "".join(f"{1e6 * best[name] / n:16.2f}" for name in BACKENDS))


def orders_and_channels(repeats: int) -> None:
    """Cost against max_nu, and of the kernel of order 1 against channels (elements x radial functions)."""
    f = function(random_input(3, PAIRS), 3, BACKENDS[0])
    runs: dict[str, Callable[[], object]] = {f"{nu}": lambda nu=nu: f.powers(nu) for nu in range(2, 9)}
    best, _ = in_turn(runs, repeats)
    line = ", ".join(f"{nu}: {1e6 * t / PAIRS:.1f}" for nu, t in best.items())
    print(f"\nall (lambda, sigma) up to max_nu, us: {line}")
    runs = {}
    for q in (6, 12, 24, 48, 96):
        c = torch.randn((45, 16, q), dtype=torch.float64)
        runs[str(q)] = lambda c=c: density_kernel(c, c, 3)
    best, _ = in_turn(runs, repeats)
    print("kernel of order 1 against channels, us: " + ", ".join(f"{q}: {1e6 * t / 2025:.2f}" for q, t in best.items()))


def structures(n_elements: int, n_atoms: int = 9, n: int = 40) -> list[Atoms]:
    """Random clusters of a given number of elements."""
    rng = np.random.default_rng(0)
    lattice = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3) * 1.5
    numbers = np.array([6, 1, 8, 7, 9, 16])[np.arange(n_atoms) % n_elements]
    return [Atoms(numbers, lattice[rng.permutation(27)[:n_atoms]] + rng.normal(0, 0.1, (n_atoms, 3))) for _ in range(n)]


def elements_and_radial(repeats: int) -> None:
    """Cost per pair of environments against the number of elements, and against channels kept."""
    print("\nstructure kernel, us per pair of environments of one element:")
    for max_channels in (12, 24, 48):
        line = []
        for n_elements in (1, 2, 3, 6):
            atoms = structures(n_elements)
            kernel = EnvironmentKernel(KernelSettings(max_channels=max_channels)).fit(atoms)
            env = kernel.environments(atoms)
            pairs = sum(env.count(z) ** 2 for z in env.species) / 2
            best, _ = in_turn({"between": lambda k=kernel, e=env: k.between(e, e)}, max(2, repeats // 3))
            line.append(f"{n_elements} elements {1e6 * best['between'] / pairs:.2f}")
        print(f"  up to {max_channels} channels: " + ", ".join(line))


def ethanol(repeats: int) -> dict[str, float]:
    """The kernel between 100 ethanol structures, invariants up to order 4."""
    folder = os.environ.get("HAMLEARN_BENCHMARK_DATA")
    if not folder:
        return {}
    data = np.load(Path(folder) / "rmd17" / "ethanol.npz")
    atoms = [Atoms(data["numbers"], x) for x in data["train_positions"][:200]]
    kernel = EnvironmentKernel(KernelSettings(cutoff_angstrom=5.0)).fit(atoms)
    a, b = kernel.environments(atoms[:100]), kernel.environments(atoms[100:])
    best, _ = in_turn({"a": lambda: kernel.between(a, b), "s": lambda: kernel.between(a, a)}, max(2, repeats // 2))
    print(f"\n100 x 100 ethanol, invariants up to order 4: {best['a']:.2f} s; symmetric: {best['s']:.2f} s (aim: 1 s)")
    return {"ethanol_100x100_s": best["a"], "ethanol_100_symmetric_s": best["s"]}


def main() -> None:
    torch.set_num_threads(1)
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    figures = engine(repeats)
    scaling(repeats)
    orders_and_channels(repeats)
    elements_and_radial(repeats)
    figures |= ethanol(repeats)
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
