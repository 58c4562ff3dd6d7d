"""Angular resolution of Wigner kernels: the frequencies in the H-C-H angle that kernels of order 1 to 6 carry.

    python workflows/wigner/angular_scan.py [OUT]

After appendix H of Bigi, Pozdnyakov, Ceriotti, J. Chem. Phys. 161, 044116 (2024): carbon-centred invariant kernels
between a random CH4 and a CH2 with bonds of 1.0 and 1.5 Å whose angle goes round, and their Fourier coefficients.
Both densities are cut at l_max = 3. A neighbour enters order nu at most nu times and each time brings l <= 3; the angle
between two neighbours is resolved to what the less frequent of them carries, hence to l = 3 floor(nu / 2). That holds
although every product is cut at l_max as well.
"""

import argparse
from pathlib import Path

import numpy as np
from ase import Atoms
from scipy.spatial.distance import pdist

from hamlearn.config import KernelSettings
from hamlearn.kernels import EnvironmentKernel
from hamlearn.plots.panels import new_panels
from hamlearn.plots.style import BLUE, GREEN, GREY, INK, PURPLE, VERMILION, add_legend
from hamlearn.report.figures import Drawing

KERNEL = KernelSettings(
    max_nu=6,
    max_l=3,
    cutoff_angstrom=6.0,
    smearing_angstrom=0.3,
    smearing_growth_angstrom=5.0,
    max_channels=256,
)
ANGLES = 64  # more than twice the highest frequency, so that the coefficients are exact
LARGEST_FREQUENCY = 12
ROUNDING = 1e-12  # of a coefficient to the largest of the curve
LOOKS = ((GREY, "v"), (VERMILION, "^"), (GREEN, "s"), (BLUE, "o"), (INK, "P"), (PURPLE, "D"))


def random_methane(seed):
    """Return C and four H anywhere between 0.8 and 3 Å from it, no two atoms closer than 0.8 Å."""
    rng = np.random.default_rng(seed)
    while True:
        hydrogens = rng.uniform(-3.0, 3.0, (4, 3))
        atoms = Atoms("CH4", np.vstack([np.zeros(3), hydrogens]))
        if pdist(atoms.positions).min() > 0.8 and np.linalg.norm(hydrogens, axis=1).max() < 3.0:
            return atoms


def bent(angle):
    """Return CH2 with this angle, radian."""
    return Atoms("CH2", [(0, 0, 0), (1.0, 0, 0), (1.5 * np.cos(angle), 1.5 * np.sin(angle), 0)])


def main():
    """Scan, transform, draw and check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=Path("runs/wigner"))
    parser.add_argument("--seed", type=int, default=0, help="of the random CH4")
    given = parser.parse_args()
    angles = 2 * np.pi * np.arange(ANGLES) / ANGLES
    methane, scan = random_methane(given.seed), [bent(angle) for angle in angles]
    kernel = EnvironmentKernel(KERNEL).fit([methane, *scan])
    methane_environment, environments = kernel.environments([methane]), kernel.environments(scan)
    orders = kernel.environment_matrix(methane_environment, environments)[6][1:, 0]  # [nu - 1, angle]
    amplitudes = abs(np.fft.rfft(orders, axis=1)) / ANGLES
    amplitudes /= amplitudes.max(axis=1, keepdims=True)

    draw(given.out, angles, orders, amplitudes)
    for nu, amplitude in enumerate(amplitudes, 1):
        highest = int(np.flatnonzero(amplitude > ROUNDING).max())
        beyond = amplitude[KERNEL.max_l + 1 :].max()
        print(f"nu = {nu}: highest frequency {highest}, largest coefficient beyond l_max {beyond:.1e} of the largest")
        if highest != KERNEL.max_l * (nu // 2):
            raise SystemExit(f"order {nu} must carry frequencies up to {KERNEL.max_l * (nu // 2)}, and none above")


def draw(out, angles, orders, amplitudes):
    """Draw the scan and the coefficients, each beside its table."""
    figure, ((scan,), (spectrum,)) = new_panels(2, 1, 6.2, 7.0)
    whole = np.append(angles, 2 * np.pi)
    for nu, (colour, marker) in enumerate(LOOKS, 1):
        curve = orders[nu - 1, np.arange(len(whole)) % len(angles)]
        scan.plot(np.degrees(whole), curve / abs(curve).max(), color=colour)
        shown = np.flatnonzero(amplitudes[nu - 1, : LARGEST_FREQUENCY + 1] > ROUNDING)
        line = {"color": colour, "marker": marker, "linewidth": 1, "label": f"ν = {nu}"}
        spectrum.plot(shown, amplitudes[nu - 1, shown], **line)
    scan.set(xlabel="H–C–H angle / degrees", ylabel="kernel / its maximum", xticks=range(0, 361, 60))
    spectrum.axvline(KERNEL.max_l + 0.5, color=GREY, linestyle=":", linewidth=1.5)
    spectrum.annotate("  beyond l_max = 3", (KERNEL.max_l + 0.5, 0.4), color=GREY)
    spectrum.set(yscale="log", xlabel="frequency l", ylabel="Fourier coefficient / largest", xticks=range(13))
    add_legend(spectrum, loc="upper right")
    rows = [
        {"l": l, **{f"nu_{nu}": float(a[l]) for nu, a in enumerate(amplitudes, 1)}}
        for l in range(LARGEST_FREQUENCY + 1)
    ]
    Drawing("angular_scan", "", figure, rows).save(out)
    table = np.column_stack([np.degrees(angles), orders.T])
    names = ",".join(["degrees", *(f"nu_{nu}" for nu in range(1, len(orders) + 1))])
    np.savetxt(out / "angular_scan_kernels.csv", table, "%.10g", ",", header=names, comments="")


if __name__ == "__main__":
    main()
