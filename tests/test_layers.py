"""Imports run one way, and `import hamlearn` loads nothing heavy."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "hamlearn"
ORDER = [
    ("errors", "units", "types", "config", "artifacts", "progress", "parallel", "angular"),
    ("o3",),
    ("structures",),
    ("qm",),
    ("blocks",),
    ("targets",),
    ("density",),
    ("features",),
    ("kernels",),
    ("regression",),
    ("observables",),
    ("learning",),
    ("symmetry",),
    ("model",),
    ("interop",),
    ("plots",),
    ("report",),
    ("workflow",),
    ("cli",),
]
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}
EVERYWHERE = {"testing"}
BLIND = {key: {"qm", "targets", "blocks"} for key in ("density", "features", "kernels")}


def imports():
    """(importing room, imported room, file) of every import, also those inside functions."""
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module == "hamlearn":
                names = [f"hamlearn.{alias.name}" for alias in node.names if alias.name in RANK]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                parts = name.split(".")
                if parts[0] == "hamlearn" and len(parts) > 1:
                    yield room, parts[1], path


def test_every_room_has_a_place():
    rooms = {p.name.removesuffix(".py") for p in PACKAGE.iterdir() if not p.name.startswith("_")}
    assert rooms - EVERYWHERE == set(RANK)


def test_imports_run_one_way():
    checked = 0
    for room, other, path in imports():
        if room == "__init__" or other in EVERYWHERE or room in EVERYWHERE:
            continue
        assert RANK[other] <= RANK[room], f"{path} imports hamlearn.{other}, which comes later in the pipeline"
        assert other not in BLIND.get(room, ()), f"{path}: {room} must not know {other}"
        checked += 1
    assert checked > 50


HEAVY = ("torch", "pyscf", "ase", "numba", "numpy", "scipy", "matplotlib", "pydantic")


def loaded_after(statement):
    code = f"import sys; {statement}; print(*[m for m in {HEAVY} if m in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_import_loads_nothing_heavy():
    assert loaded_after("import hamlearn") == []


def test_command_line_starts_light():
    assert not set(loaded_after("import hamlearn.cli")) & {"torch", "pyscf", "ase", "scipy"}


@pytest.mark.parametrize("module", ["hamlearn.qm", "hamlearn.parallel", "hamlearn.config", "hamlearn.angular.ao_order"])
def test_what_workers_import_has_no_torch(module):
    assert "torch" not in loaded_after(f"import {module}")


def test_everything_public_can_be_loaded():
    import hamlearn

    for name in hamlearn.__all__:
        assert getattr(hamlearn, name) is not None
    with pytest.raises(AttributeError, match="no attribute"):
        hamlearn.nothing  # noqa: B018
