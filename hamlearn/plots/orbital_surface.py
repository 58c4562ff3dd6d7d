"""Isosurfaces of orbitals, drawn by following rays through the grid: no other library is needed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from ase.data import covalent_radii
from ase.data.colors import jmol_colors
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from scipy.ndimage import map_coordinates

from hamlearn.observables.cube import Cube
from hamlearn.plots.style import BLUE, GREY, INK, VERMILION
from hamlearn.types import BoolArray, FloatArray
from hamlearn.units import BOHR_ANGSTROM

_LIGHT = np.array([-0.35, 0.45, 0.82])  # right, up, towards the viewer
_BOND_STRETCH = 1.25
_OPACITY = 0.82
_SEEN_THROUGH = 0.35
_MARGIN_BOHR = 2.5


def orbital_surface(
    ax: Axes,
    cube: Cube,
    isovalue: float = 0.05,
    elevation_degrees: float = 35.0,
    azimuth_degrees: float = -75.0,
    pixels: int = 520,
    title: str = "",
) -> None:
    """Draw where an orbital is +isovalue (blue) and -isovalue (orange) over the skeleton of the molecule.

    Args:
        ax: where to draw.
        cube: an orbital.
        isovalue: of the surface, Bohr^-3/2.
        elevation_degrees: of the viewer above the xy plane.
        azimuth_degrees: of the viewer about z, from x.
        pixels: of the picture along its longer side.
        title: above.
    """
    view = _view(elevation_degrees, azimuth_degrees)
    centre = cube.origin_bohr + 0.5 * cube.spacing_bohr * (np.array(cube.values.shape) - 1)
    corners = np.stack(np.meshgrid(*[(-1, 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) * (centre - cube.origin_bohr)
    right, up, depth = np.abs(corners @ view.T).max(axis=0)
    step = 2 * max(right, up) / pixels
    x, y = np.arange(-right, right, step), np.arange(-up, up, step)
    t = np.arange(depth, -depth, -0.5 * cube.spacing_bohr)  # from the viewer backwards
    hit, sign, points = _first_hits(cube, centre + _ray_starts(x, y) @ view[:2], t[:, None] * view[2], isovalue)
    image = np.zeros((len(y) * len(x), 4))
    colours = np.where(sign[hit, None] > 0, to_rgb(BLUE), to_rgb(VERMILION))
    image[hit, :3] = _shaded(colours, _normals(cube, points[hit], sign[hit]) @ view.T)
    image[hit, 3] = _OPACITY
    atoms = (cube.positions_bohr - centre) @ view.T
    for zorder, opacity in ((1, 1.0), (4, _SEEN_THROUGH)):  # behind the surface, and faintly through it
        _skeleton(ax, cube, atoms, zorder, opacity)
    extent = (-right, right, -up, up)
    ax.imshow(image.reshape(len(y), len(x), 4), extent=extent, origin="lower", interpolation="antialiased", zorder=3)
    ax.set_aspect("equal")
    half = np.abs(atoms[:, :2]).max(axis=0) + _MARGIN_BOHR
    ax.set(xlim=(-half[0], half[0]), ylim=(-half[1], half[1]))
    ax.set_title(title, loc="center", fontweight="normal", pad=2)
    ax.axis("off")


def _view(elevation_degrees: float, azimuth_degrees: float) -> FloatArray:
    """Rows: the directions right, up and towards the viewer."""
    e, a = np.radians([elevation_degrees, azimuth_degrees])
    towards = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
    right = np.array([-np.sin(a), np.cos(a), 0.0])
    return np.stack([right, np.cross(towards, right), towards])


def _ray_starts(x: FloatArray, y: FloatArray) -> FloatArray:
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def _sample(cube: Cube, values: FloatArray, points: FloatArray) -> FloatArray:
    index = (points - cube.origin_bohr) / cube.spacing_bohr
    return np.asarray(map_coordinates(values, index.T, order=1, mode="constant", cval=0.0))


def _first_hits(
    cube: Cube, starts: FloatArray, offsets: FloatArray, isovalue: float
) -> tuple[BoolArray, FloatArray, FloatArray]:
    """For every ray: does it meet the surface, the sign of the orbital there, and where."""
    hit, sign, points = np.zeros(len(starts), dtype=bool), np.zeros(len(starts)), starts.copy()
    before = np.zeros(len(starts))
    for previous, offset in pairwise(offsets):
        active = np.flatnonzero(~hit)
        now = _sample(cube, cube.values, starts[active] + offset)
        new = np.abs(now) >= isovalue
        place = active[new]
        old = np.sign(now[new]) * before[place]
        share = np.clip((isovalue - old) / (np.abs(now[new]) - old), 0.0, 1.0)[:, None]
        points[place] = starts[place] + previous + share * (offset - previous)
        hit[place], sign[place] = True, np.sign(now[new])
        before[active] = now
    return hit, sign, points


def _normals(cube: Cube, points: FloatArray, sign: FloatArray) -> FloatArray:
    gradient = [np.asarray(np.gradient(cube.values, axis=axis)) for axis in range(3)]
    slopes = np.stack([_sample(cube, part, points) for part in gradient], axis=-1)
    outwards = -sign[:, None] * slopes  # |psi| falls off outside
    return outwards / np.maximum(np.linalg.norm(outwards, axis=1, keepdims=True), 1e-12)


def _shaded(colours: FloatArray, normals: FloatArray) -> FloatArray:
    facing = np.clip(normals @ _LIGHT, 0.0, 1.0)[:, None]
    return np.clip(colours * (0.45 + 0.6 * facing) + 0.35 * facing**12, 0.0, 1.0)


def _skeleton(ax: Axes, cube: Cube, projected: FloatArray, zorder: float, opacity: float) -> None:
    """Atoms as discs and bonds as sticks, [atom, 3] right, up and towards the viewer."""
    radii = covalent_radii[cube.numbers] / BOHR_ANGSTROM
    distances = np.linalg.norm(cube.positions_bohr[:, None] - cube.positions_bohr, axis=-1)
    for i, j in np.argwhere(np.triu(distances < _BOND_STRETCH * (radii[:, None] + radii), 1)):
        ax.plot(*projected[[i, j], :2].T, color=GREY, linewidth=2, zorder=zorder, alpha=opacity, solid_capstyle="round")
    for i in np.argsort(projected[:, 2]):
        ax.plot(
            *projected[i, :2], "o", color=jmol_colors[cube.numbers[i]], markeredgecolor=INK, markeredgewidth=0.5,
            markersize=2.5 + 2.5 * radii[i], zorder=zorder + 0.5, alpha=opacity,
        )  # fmt: skip
