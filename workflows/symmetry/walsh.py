"""Walsh diagrams: water from bent to linear, benzene from one Kekulé structure to the other, or a path of your own."""

from pathlib import Path

import numpy as np
from ase import Atoms
from random_benzene import new_output, options, rhf_sto3g, write_table

from hamlearn import molecule, read_structures
from hamlearn.plots import save_figure
from hamlearn.plots.panels import new_panels
from hamlearn.plots.walsh import walsh
from hamlearn.structures.transforms import with_positions
from hamlearn.symmetry.walsh import common_group, walsh_diagram


def water(degrees, bond=0.9572):
    """Return water with this H-O-H angle, the axis along z."""
    y, z = bond * np.sin(np.radians(degrees / 2)), bond * np.cos(np.radians(degrees / 2))
    return Atoms("OH2", [(0, 0, 0), (0, y, z), (0, -y, z)])


def kekule(degrees):
    """Return benzene with neighbouring C-H units turned about the axis against each other: D6h only at 0."""
    benzene = molecule("benzene")
    ring = np.arange(12) % 6  # carbons, then hydrogens
    angle = np.radians(degrees) * (-1.0) ** ring
    x, y, z = benzene.positions.T
    turned = np.stack([x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle), z], axis=1)
    return with_positions(benzene, turned)


def demonstrations():
    """Return name, structures, coordinates, label and window in eV of each diagram."""
    angles, turns = np.linspace(70, 180, 23), np.linspace(-6, 6, 13)
    return [
        ("water", list(map(water, angles)), angles, "H–O–H angle / degrees", (-40, 25)),
        ("benzene", list(map(kekule, turns)), turns, "turn of neighbouring C–H units / degrees", (-35, 20)),
    ]


parser = options()
parser.add_argument(
    "--path", type=Path, metavar="FILE", help="structures of one molecule along a path, any file ASE reads"
)
parser.add_argument("--window", type=float, nargs=2, default=(-40, 25), metavar="EV", help="levels shown of --path")
given = parser.parse_args()
out = new_output(given)
paths = demonstrations()
if given.path:
    frames = read_structures(given.path)
    paths = [(given.path.stem, frames, np.arange(float(len(frames))), "structure of the path", tuple(given.window))]
figure, (axes,) = new_panels(1, len(paths), 5.25 * len(paths), 6)
for (name, path, coordinates, xlabel, window), ax in zip(paths, np.atleast_1d(axes), strict=True):
    group = common_group(path)
    tracks = walsh_diagram(path, [rhf_sto3g(atoms) for atoms in path], group)
    walsh(ax, coordinates, tracks, xlabel, f"{name}, RHF/STO-3G, {group.name}", window)
    write_table(
        out / f"walsh_{name}.csv",
        [
            {"irrep": t.irrep, **{f"{x:g}": float(e) for x, e in zip(coordinates, t.energies_ev, strict=True)}}
            for t in tracks
        ],
    )
save_figure(figure, out / "walsh.png")
