"""Figures of symmetry show the levels they are given, once each and with the right names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes

from hamlearn import plots
from hamlearn.observables.cube import Cube
from hamlearn.plots.jahn_teller import splittings
from hamlearn.plots.mo_diagram import irrep_text, mo_diagram, mo_diagram_size
from hamlearn.plots.orbital_surface import orbital_surface
from hamlearn.plots.panels import new_panels
from hamlearn.plots.walsh import _look, spread_apart, walsh
from hamlearn.symmetry import Multiplet
from hamlearn.symmetry.characters import standard_group
from hamlearn.symmetry.naming import orbital_name
from hamlearn.symmetry.walsh import Track

LEVELS = [
    Multiplet(-300.0, "A1g", 1, 2, (0,), 0.0),
    Multiplet(-9.0, "E1g", 2, 4, (1, 2), 0.0),
    Multiplet(4.0, "E2u", 2, 0, (3, 4), 0.0),
]


@pytest.fixture
def ax() -> Axes:
    return plots.new_figure()[1]


def draw(ax: Axes, tmp_path: Path) -> None:
    plots.save_figure(ax.figure, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("E1g", "$e_{1g}$"),
        ("A'", "$a'$"),
        ("A''", "$a''$"),
        ("A1'", "$a_{1}'$"),
        ("A'1", "$a_{1}'$"),
        ("Sigma_g+", r"$\\sigma_{g}^{+}$"),
        ("Pi_u", r"$\\pi_{u}$"),
        ("Pi", r"$\\pi$"),
        ("T2", "$t_{2}$"),
        ("?", "?"),
    ],
)
def test_irreps_are_printed_in_lower_case(name: str, text: str) -> None:
    assert irrep_text(name) == text.replace("\\\\", "\\")


def test_mo_diagram_draws_one_dash_per_orbital(ax: Axes, tmp_path: Path) -> None:
    mo_diagram(ax, LEVELS, "title", lowest_ev=-50)
    dashes = [segment for lines in ax.collections for segment in lines.get_segments()]
    assert sorted(segment[0][1] for segment in dashes) == [-9.0, -9.0, 4.0, 4.0]
    assert [t.get_text() for t in ax.get_xticklabels()] == [irrep_text(n) for n in ("A1g", "E1g", "E2u")]
    assert "1 level below\n−50 eV not shown" in {text.get_text() for text in ax.texts}
    draw(ax, tmp_path)
    assert all(size > 3 for size in mo_diagram_size(LEVELS))


@pytest.mark.parametrize("legend", [True, False])
def test_walsh_names_every_track(ax: Axes, tmp_path: Path, legend: bool) -> None:
    x = np.array([0.0, 1.0, 2.0])
    tracks = [
        Track("A1", 1, np.array([-3.0, -2.0, -1.0]), np.array([True] * 3)),
        Track("B2", 1, np.array([-1.0, -2.0, -3.0]), np.array([True] * 3)),
        Track("B1", 1, np.array([90.0, 91.0, 92.0]), np.array([False] * 3)),
    ]
    walsh(ax, x, tracks, "angle", window_ev=(-10, 10), legend=legend)
    drawn = [line.get_ydata() for line in ax.get_lines() if len(line.get_xdata()) == 3]
    assert len(drawn) == 4 and np.nanmax(drawn) == -1.0
    named = ax.get_legend().get_texts() if legend else ax.texts
    assert {text.get_text() for text in named} == {"$a_{1}$", "$b_{2}$"}
    draw(ax, tmp_path)


def test_splittings_separate_orders(ax: Axes, tmp_path: Path) -> None:
    q = np.array([2e-3, 1e-3, -1e-3])
    shift = np.array([1.0, 4.0])[[1, 0, 0]] * 1e-6
    levels = np.stack([-300 + shift, -9 - q, -9 + q, 4 + shift, 4 + shift], axis=1)
    splittings(ax, q, levels, LEVELS)
    curves = {tuple(np.round(1e6 * line.get_ydata(), 6)) for line in ax.get_lines() if line.get_marker() != "None"}
    assert {(2000.0, 4000.0), (1.0, 4.0)} <= curves  # ascending q > 0 only
    assert ax.get_xscale() == ax.get_yscale() == "log"
    draw(ax, tmp_path)


def test_labels_move_apart_as_little_as_needed() -> None:
    assert spread_apart(np.array([0.0, 5.0]), 1.0).tolist() == [0.0, 5.0]
    assert spread_apart(np.array([0.0, 0.0, 9.0]), 1.0).tolist() == [-0.5, 0.5, 9.0]
    assert spread_apart(np.array([]), 1.0).tolist() == []
    random = np.sort(np.random.default_rng(0).random(20))
    assert np.diff(spread_apart(random, 0.1)).min() > 0.1 - 1e-12


def test_surface_has_the_size_and_signs_of_the_orbital(ax: Axes, tmp_path: Path) -> None:
    axis = np.arange(-6, 6.01, 0.3)
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    values = x * np.exp(-(x**2 + y**2 + z**2) / 2)
    cube = Cube(values, np.full(3, -6.0), 0.3, np.array([6]), np.zeros((1, 3)))
    orbital_surface(ax, cube, isovalue=0.1, elevation_degrees=90, azimuth_degrees=-90, pixels=120)
    (picture,) = ax.get_images()
    image, step = picture.get_array(), 12.0 / 120
    blue = (image[..., 3] > 0) & (image[..., 2] > image[..., 0])
    orange = (image[..., 3] > 0) & ~blue
    flat = axis[:, None] * np.exp(-(axis[:, None] ** 2 + axis**2) / 2)  # widest in the plane z = 0
    for mask, exact in ((blue, flat > 0.1), (orange, flat < -0.1)):
        assert mask.sum() * step**2 == pytest.approx(exact.sum() * 0.3**2, rel=0.05)
    assert np.flatnonzero(orange.any(axis=0)).max() < np.flatnonzero(blue.any(axis=0)).min()  # x to the right
    draw(ax, tmp_path)


def test_panels_are_a_grid() -> None:
    figure, axes = new_panels(2, 3, 6, 4)
    assert [len(row) for row in axes] == [3, 3] and len(figure.axes) == 6


def test_an_irrep_looks_the_same_in_every_figure() -> None:
    looks = []
    for irreps in (("A1g", "E2g", "B1u"), ("B1u", "A1g"), ("E2g", "A1g", "E1u", "B1u")):
        ax = plots.new_figure()[1]
        tracks = [Track(irrep, 1, np.full(2, float(k)), np.ones(2, dtype=bool)) for k, irrep in enumerate(irreps)]
        walsh(ax, [0, 1], tracks, "x")
        looks.append(
            {i: (line.get_color(), line.get_linestyle()) for i, line in zip(irreps, ax.lines[::2], strict=True)}
        )
    for irrep in ("A1g", "B1u"):
        assert len({look[irrep] for look in looks}) == 1
    assert len(set(looks[2].values())) == 4


@pytest.mark.parametrize("name", ["C6v", "D4h", "D6h", "D2h", "Td", "Oh", "Ih", "D3h", "D5d", "Dinfh"])
def test_irreps_of_a_group_are_told_apart(name: str) -> None:
    irreps = standard_group(name).table.irreps
    looks = {(look["color"], str(look["linestyle"])) for look in map(_look, irreps)}
    assert len(looks) >= min(len(irreps), 8)


def test_every_curve_of_a_walsh_diagram_has_a_name(ax: Axes) -> None:
    """Also one that leaves the window."""
    tracks = [
        Track("A1", 1, np.array([1.0, 2.0, 3.0]), np.ones(3, dtype=bool)),
        Track("B2", 1, np.array([4.0, 6.0, 30.0]), np.zeros(3, dtype=bool)),
    ]
    walsh(ax, [0, 1, 2], tracks, "x", window_ev=(0, 10))
    assert {text.get_text() for text in ax.texts} == {"$a_{1}$", "$b_{2}$"}


def test_rounding_is_not_drawn_as_data(ax: Axes) -> None:
    levels = np.array([[-9.0, -9.0 + 1e-14, 1.0], [-9.0, -9.0, 1.001]])
    multiplets = [Multiplet(-9.0, "E1g", 2, 4, (0, 1), 0.0), Multiplet(1.0, "A1g", 1, 0, (2,), 0.0)]
    splittings(ax, [0.001, 0.002], levels, multiplets)
    drawn = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in ax.lines])
    assert np.nanmin(drawn) > 1e-5
    assert ax.get_ylim()[0] > 1e-5


def test_mo_diagram_leaves_out_what_is_far_above_and_names_the_frontier(ax: Axes, tmp_path: Path) -> None:
    mo_diagram(ax, [*LEVELS, Multiplet(330.0, "A1g", 1, 0, (5,), 0.0)], "title", lowest_ev=-50, highest_ev=60)
    written = {text.get_text() for text in ax.texts}
    assert {"1 level above\n60 eV not shown", "1 level below\n−50 eV not shown"} <= written
    assert {"−9.00 eV, 4 e⁻", "4.00 eV"} <= written
    assert ax.get_ylim()[1] < 60
    draw(ax, tmp_path)


def test_notes_on_levels_that_are_not_shown_have_room_of_their_own(ax: Axes) -> None:
    """No level lies where the note stands."""
    energies = (-500.0, -44.0, -10.0, 20.0, 300.0)
    levels = [Multiplet(e, "A1", 1, 2 if e < 0 else 0, (k,), 0.0) for k, e in enumerate(energies)]
    mo_diagram(ax, levels, lowest_ev=-80.0, highest_ev=60.0)
    low, high = ax.get_ylim()
    assert low < -44.0 - 0.05 * 64 and high > 20.0 + 0.05 * 64
    assert [t.get_text() for t in ax.texts if "not shown" in t.get_text()] == [
        "1 level below\n−80 eV not shown",
        "1 level above\n60 eV not shown",
    ]


def test_orbitals_have_small_letters_everywhere() -> None:
    names = ("A1g", "E1u", "T2g", "Sigma_g+", "Pi_u", "A'", "E1''")
    assert [orbital_name(n) for n in names] == ["a1g", "e1u", "t2g", "sigma_g+", "pi_u", "a'", "e1''"]
    assert irrep_text("A1g") == irrep_text("a1g") and "\\sigma" in irrep_text("Sigma_g+")
