"""The first screen, points that can be hovered, tables that can be sorted, and pictures of molecules."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule as ase_molecule

from hamlearn.report import chart, html, tested, write_report
from hamlearn.report.chart import Points, molecule, scatter
from hamlearn.report.run_files import Levels, PropertyValues

LEVELS = Levels(
    reference_ev=np.array([-12.0, 3.0, -11.0, 4.0, -9.0]),
    predicted_ev=np.array([-12.0, 3.5, -11.1, 3.9, -9.0]),
    occupied=np.array([True, False, True, False, True]),
    structure=np.array([7, 7, 2, 2, 5]),
    formula=np.array(["H2O", "CH4", "He"]),
)


def test_the_first_screen_says_what_and_how_good_before_how(finished_run: Path) -> None:
    text = (finished_run / "report.html").read_text(encoding="utf-8")
    assert "<h1>H₂O</h1>" in text and "run folder" in text
    errors, settings = text.index("<h2>Errors</h2>"), text.index("<summary>All settings</summary>")
    assert errors < text.index("<h2>What was computed</h2>") < settings
    assert "not set" not in text


def test_every_structure_has_a_point_and_a_row_the_worst_first() -> None:
    page = tested.gaps(LEVELS)
    titles = re.findall("<title>(.*?)</title>", page)
    assert titles == [
        "structure 2, CH₄: computed 15.000 eV, predicted 15.000 eV, error +0.0 meV",
        "structure 7, H₂O: computed 15.000 eV, predicted 15.500 eV, error +500.0 meV",
    ]
    rows = [re.findall("<td.*?>(.*?)</td>", row) for row in re.findall("<tr>(.*?)</tr>", page)[1:]]
    assert [row[0] for row in rows] == ["7", "2", "5"]
    assert rows[0][1:] == ["H₂O", "15.000", "15.500", "500", "354"]
    assert rows[2][2:5] == ["–", "–", "–"]


def test_structures_outside_are_listed_with_reasons() -> None:
    page = tested.gaps(replace(LEVELS, flags=np.array(["", "C-O distance 1.90 Å", ""])))
    assert page.count("; outside the training set</title>") == 1 and "1 test structure outside the training set" in page
    rows = [re.findall("<td.*?>(.*?)</td>", row) for row in re.findall("<tr>(.*?)</tr>", page)]
    assert rows[-1] == ["2", "CH₄", "C-O distance 1.90 Å"]
    assert "outside" not in tested.gaps(LEVELS)


def test_many_kinds_share_the_last_colour_and_many_levels_are_cut() -> None:
    n = 10
    names = [f"kind {k}" for k in range(n) for _ in range(n - k)]
    x = np.arange(float(len(names)))
    found = tested._classes(names, x, x, names, np.ones(len(names), dtype=bool))
    assert [points.name for points in found] == [*(f"kind {k}" for k in range(5)), "others"]
    assert sum(len(points.x) for points in found) == len(names)
    many = Levels(np.arange(4000.0), np.arange(4000.0), np.zeros(4000, dtype=bool), np.zeros(4000, dtype=int))
    assert tested.level_residuals(many).count("<circle") == tested.MOST_POINTS


def test_every_component_of_a_property_has_a_point() -> None:
    values = PropertyValues(np.array([4, 9]), np.eye(2, 3), np.eye(2, 3) + 0.5, np.full(2, np.nan))
    titles = re.findall("<title>(.*?)</title>", tested.property_residuals(values, "dipole / D"))
    assert titles[3:5] == [
        "structure 9: known 0, predicted 0.5, error +0.5",
        "structure 9: known 1, predicted 1.5, error +0.5",
    ]


def test_points_lie_where_they_should_and_words_are_escaped() -> None:
    page = scatter([Points("<a>", np.array([0.0, 10.0]), np.array([-1.0, 1.0]), ["<b>", "&"])], "x", "y <z>")
    assert "<b>" not in page and "&lt;b&gt;" in page and "y &lt;z&gt;" in page
    left, right = re.findall('cx="(.*?)" cy="(.*?)"', page)
    assert (float(left[0]), float(right[0])) == (chart.LEFT, chart.WIDTH - chart.EDGE)
    assert float(left[1]) - chart.EDGE == pytest.approx(chart.HEIGHT - chart.BOTTOM - float(right[1]), abs=0.2)
    alone = scatter([Points("one", np.array([2.0]), np.array([0.0]), ["only"])], "x", "y")
    assert alone.count("<circle") == 1 and "nan" not in alone


def test_a_molecule_is_drawn_flat_with_its_bonds() -> None:
    benzene = molecule(ase_molecule("C6H6"), "C₆H₆")
    assert benzene.count("<circle") == 12 and benzene.count("<line") == 12
    alone = molecule(Atoms("He"), "He")
    assert alone.count("<circle") == 1 and "<line" not in alone and "nan" not in alone


def test_pictures_of_molecules_come_from_the_predictions(make_run: Callable[..., Path]) -> None:
    folder = make_run()
    assert 'class="molecules"' not in write_report(folder).read_text(encoding="utf-8").split("<main>")[1]
    (folder / "predictions").mkdir()
    tested_molecules = [ase_molecule("H2O"), ase_molecule("CH4"), ase_molecule("H2O")]
    ase.io.write(folder / "predictions" / "predictions.extxyz", tested_molecules)
    text = write_report(folder).read_text(encoding="utf-8").split("<main>")[1]
    assert text.count('<svg role="img"') == 2 and "<figcaption>CH₄</figcaption>" in text


def test_tables_of_some_rows_can_be_sorted_and_long_ones_are_scrolled() -> None:
    def shown(n: int) -> str:
        return html.table(("a", "b"), [(k, k) for k in range(n)])

    assert "sortable" not in shown(3) and "sortable" in shown(4) and "tall" not in shown(19) and "tall" in shown(20)
