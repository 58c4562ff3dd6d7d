"""What is installed: types, compiled loops, and help of one page."""

from __future__ import annotations

import pydoc
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import hamlearn

ROOT = Path(__file__).parent.parent
PAGE = 5000
"""Characters of a long page."""


def test_help_is_one_page_that_names_everything_public():
    text = pydoc.plain(pydoc.render_doc(hamlearn))
    assert len(text) < PAGE
    listed = re.findall(r"^    (\w+) +\S.*$", hamlearn.__doc__, flags=re.MULTILINE)
    assert set(dir(hamlearn)) == {*listed, "__version__"}


@pytest.mark.parametrize("name", [name for name in dir(hamlearn) if name.endswith(("Settings", "Config"))])
def test_help_of_settings_says_what_each_of_them_means(name):
    section = getattr(hamlearn, name)
    text = pydoc.plain(pydoc.render_doc(section))
    for setting, field in section.model_fields.items():
        start = re.search(rf"^ \|      {setting}( = .+)?: \S", text, flags=re.MULTILINE)
        assert start is not None
        if field.description:
            assert f": {field.description}" in text[start.start() :].partition("\n")[0]


def test_help_of_settings_has_defaults_and_bounds():
    assert "\n    max_l = 6: largest angular momentum" in hamlearn.FeatureSettings.__doc__
    assert "(at least 0, at most 8)" in hamlearn.FeatureSettings.__doc__
    assert "\n    xc = null: functional of RKS" in hamlearn.QMSettings.__doc__
    assert "\n    split: Which structures train and which test" in hamlearn.Config.__doc__


def test_a_wheel_holds_types_and_compiled_loops(tmp_path):
    """The loops are left out where no compiler is."""
    setuptools = pytest.importorskip("setuptools")
    if int(setuptools.__version__.partition(".")[0]) < 77:
        pytest.skip("building needs setuptools 77")
    shutil.copytree(ROOT / "hamlearn", tmp_path / "hamlearn", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "-w", "dist", "."]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options], cwd=tmp_path, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("hamlearn-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"hamlearn/py.typed", "hamlearn/__init__.py"} <= names
    loops = {"_bilinear", "_bonds", "_integrals", "_monomials", "_rolls", "_turns"}
    assert {f"hamlearn/o3/{loop}.c" for loop in loops} <= names
    built = {Path(name).name.partition(".")[0] for name in names if name.endswith((".so", ".pyd"))}
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert built == (loops if compiler else set())
