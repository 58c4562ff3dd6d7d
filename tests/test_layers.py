"""Imports run one way without circles, files are named once, and `import hamlearn` loads nothing heavy."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "hamlearn"
ORDER = (
    *("lazy", "errors", "units", "types", "ties", "display", "equality", "artifacts", "progress", "parallel", "job"),
    *("angular", "o3", "config", "structures", "qm", "blocks", "targets", "density", "features", "kernels"),
    *("regression", "learning", "observables", "symmetry", "model", "interop", "plots", "report", "workflow", "cli"),
    "testing",
)
"""Rooms in the order in which data flow; each imports only from those before it."""

RANK = {room: rank for rank, room in enumerate(ORDER)}
BLIND = {key: {"qm", "targets", "blocks"} for key in ("density", "features", "kernels")}

SHARED_NAMES = {
    # matrices of two spins, and what follows from them
    "spins": {"targets", "observables"},
    # figures of what a room finds
    "blocks": {"blocks", "plots"},
    "jahn_teller": {"symmetry", "plots"},
    "levels": {"symmetry", "plots"},
    "walsh": {"symmetry", "plots"},
    # error bars: measured, drawn
    "calibration": {"observables", "plots"},
    # with files what a room does with objects
    "prediction": {"observables", "workflow"},
    "selection": {"model", "workflow"},
    # each reads what it wrote, now and in the past
    "loading": {"config", "model"},
    "upgrade": {"config", "model"},
    # a frame of conventions, and features in it
    "bond_frame": {"angular", "features"},
    # the same mathematics as features and as kernels, and as settings
    "n_centre": {"features", "kernels"},
    "wigner": {"config", "kernels"},
}
"""File names that stand in several rooms, and why."""

MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "__main__.py"
}


def room_of(module):
    return module.split(".")[1]


def imports():
    """Each module but the first page with the modules it imports, also inside functions and for types alone."""
    found = {}
    for module, path in MODULES.items():
        names = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: relative imports hide where a name comes from"
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                names |= {name if name in MODULES else node.module for name in inner}
            elif isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
        found[module] = (names & set(MODULES)) - {module}
    assert sum(map(len, found.values())) > 500
    return {module: names - {"hamlearn"} for module, names in found.items() if module != "hamlearn"}


def circle(graph):
    """Names along a circle of a graph; none if there is none."""
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return error.args[1]
    return []


def test_every_room_has_a_place():
    found = [p for p in PACKAGE.iterdir() if not p.name.startswith("_") and p.name != "py.typed"]
    assert {p.name.removesuffix(".py") for p in found} == set(RANK)


def test_the_rooms_stand_in_this_order_in_contributing():
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (named,) = re.findall(r"is the pipeline: (.*?)\. A room", text, flags=re.DOTALL)
    assert tuple(re.findall(r"[a-z]\w+", re.sub(r"\(.*?\)", "", named, flags=re.DOTALL))) == ORDER


def test_imports_run_one_way():
    for module, names in imports().items():
        for name in names:
            room, other = room_of(module), room_of(name)
            assert RANK[other] <= RANK[room], f"{module} imports {name}, which comes later in the pipeline"
            assert other not in BLIND.get(room, ()), f"{module}: {room} must not know {other}"


def test_no_circles_of_files_or_rooms():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) and not circle({"a": {"b", "c"}, "b": {"c"}})
    assert circle(imports()) == []
    rooms = defaultdict(set)
    for module, names in imports().items():
        rooms[room_of(module)] |= {room_of(name) for name in names} - {room_of(module)}
    assert circle(rooms) == []


def test_one_name_for_one_thing():
    places = defaultdict(list)
    for module, path in MODULES.items():
        if path.name != "__init__.py":
            places[path.stem].append(room_of(module))
    assert all(len(rooms) == len(set(rooms)) for rooms in places.values())
    assert {name: set(rooms) for name, rooms in places.items() if len(rooms) > 1} == SHARED_NAMES


HEAVY = ("torch", "pyscf", "ase", "numba", "numpy", "scipy", "matplotlib", "pydantic", "pytest")


def loaded_after(statement):
    code = f"import sys; {statement}; print(*[m for m in {HEAVY} if m in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize("module", ["hamlearn", "hamlearn.testing"])
def test_import_loads_nothing_heavy(module):
    assert loaded_after(f"import {module}") == []


def test_command_line_starts_light():
    assert not set(loaded_after("import hamlearn.cli")) & {"torch", "pyscf", "ase", "scipy"}


VERBS = {
    "versions": "--version",
    "help": "--help",
    "help of a verb": "symmetry --help",
    "refused settings": "run bad.yaml -o out",
    "no structures": "run lost.yaml -o out",
    "defaults": "config --defaults",
    "a wrong shard": "qm bad.yaml -o out --shard 3/2",
    "status": "status begun",
    "no run": "evaluate nothing",
    "no model to predict with": "predict nothing water.xyz -o out",
    "no model to select for": "select nothing water.xyz -n 2",
    "no model to evaluate": "evaluate nothing water.xyz -o out",
}


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A folder with workflow files that are refused, and a run of which nothing is done yet."""
    folder = tmp_path_factory.mktemp("begun")
    (folder / "bad.yaml").write_text("strctures: x\n")
    (folder / "lost.yaml").write_text("structures: {file: lost.xyz}\nsplit: {train: 3, test: 1}\n")
    (folder / "begun").mkdir()
    (folder / "begun" / "config.yaml").write_text(
        "kind: config\nformat_version: 2\nqm: {basis: sto-3g}\ntarget: {kind: fock}\nmodel: {kind: ridge}\n"
    )
    (folder / "begun" / "qm").mkdir()
    (folder / "begun" / "qm" / "campaign.json").write_text(
        '{"kind": "qm_campaign", "format_version": 1, "settings": {}, "keys": ["a"], "formulas": ["H2O"]}'
    )
    return folder


@pytest.mark.parametrize("words", VERBS.values(), ids=VERBS)
def test_verbs_tell_and_refuse_before_anything_heavy_loads(begun, words):
    code = f"""
import sys
sys.argv = ['hamlearn', *{words.split()!r}]
from hamlearn.cli import main
try:
    main()
except SystemExit as end:
    print('\\ncode', end.code, *[m for m in {HEAVY} if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=begun, capture_output=True, text=True, check=True)
    _, code, *loaded = done.stdout.splitlines()[-1].split()
    told = words.endswith(("--version", "--help", "--defaults", "status begun"))
    assert code == ("0" if told else "2"), done.stdout + done.stderr
    slow = {"torch", "pyscf", "matplotlib"} | (set() if "water" in words else {"ase", "scipy"})
    assert not slow & set(loaded)


@pytest.mark.parametrize("module", ["hamlearn.qm", "hamlearn.parallel", "hamlearn.config", "hamlearn.angular.ao_order"])
def test_what_workers_import_has_no_torch(module):
    assert "torch" not in loaded_after(f"import {module}")


def test_everything_public_can_be_loaded():
    import hamlearn

    names = [name for name in dir(hamlearn) if not name.startswith("_")]
    assert {"run", "HamiltonianModel", "Config"} < set(names)
    for name in names:
        assert getattr(hamlearn, name) is not None
    with pytest.raises(AttributeError, match="no attribute"):
        hamlearn.nothing  # noqa: B018
