import json

import numpy as np
import pytest
from calculations import calculation

from hamlearn.config import TargetSettings
from hamlearn.errors import ArtifactError, BasisError
from hamlearn.targets import build_target, load_targets, save_targets

RECORDS = (("bent water", "6-31g*"), ("peroxide", "6-31g*"), ("neon", "6-31g*"), ("bent water", "6-31g*"))
SETTINGS = [
    TargetSettings(),
    TargetSettings(kind="fock"),
    TargetSettings(kind="lowdin", delta="minao"),
    TargetSettings(form="nonorthogonal", delta="minao", virtuals="valence"),
]


@pytest.fixture
def targets():
    return [build_target(calculation(*record), TargetSettings(delta="minao")) for record in RECORDS]


def rewrite(folder, change):
    """Change header or arrays of a file of targets."""
    with np.load(folder / "targets.npz") as archive:
        arrays = dict(archive)
    header = json.loads(str(arrays.pop("header")))
    change(header, arrays)
    np.savez(folder / "targets.npz", header=np.array(json.dumps(header)), **arrays)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_round_trip_is_bitwise(tmp_path, settings):
    targets = [build_target(calculation(*record), settings) for record in RECORDS]
    save_targets(tmp_path / "new" / "folder", targets)
    loaded = load_targets(tmp_path / "new" / "folder")
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["targets.npz"]
    assert len(loaded) == len(targets)
    for before, after in zip(targets, loaded, strict=True):
        for name in ("numbers", "matrix", "metric", "baseline"):
            np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
        assert (before.n_occupied, before.orbitals) == (after.n_occupied, after.orbitals)
        assert before.origin is not None and after.origin == before.origin
        assert (before.diagnostics is None) == (after.diagnostics is None)
        if before.diagnostics is not None:
            np.testing.assert_array_equal(before.diagnostics.singular_values, after.diagnostics.singular_values)
            np.testing.assert_array_equal(before.diagnostics.projections, after.diagnostics.projections)
            assert before.diagnostics.rejected_gap == after.diagnostics.rejected_gap
            assert before.diagnostics.flags == after.diagnostics.flags


def test_targets_of_different_settings_are_not_saved_together(tmp_path):
    record = calculation(*RECORDS[0])
    targets = [build_target(record, TargetSettings(virtuals=virtuals)) for virtuals in ("lowest", "valence")]
    with pytest.raises(ArtifactError, match="built with different settings"):
        save_targets(tmp_path, targets)


def test_files_of_older_versions_do_not_say_what_they_were_made_of(tmp_path, targets):
    save_targets(tmp_path, targets)

    def forget(header, arrays):
        for name in ("target", "qm"):
            del header[name]
        for name in ("positions", "positions_offsets"):
            del arrays[name]

    rewrite(tmp_path, forget)
    loaded = load_targets(tmp_path)
    assert [target.origin for target in loaded] == [None] * len(targets)
    np.testing.assert_array_equal(loaded[1].matrix, targets[1].matrix)


def test_nothing_is_pickled(tmp_path, targets):
    save_targets(tmp_path, targets)
    with np.load(tmp_path / "targets.npz", allow_pickle=False) as archive:
        assert all(archive[name].dtype != object for name in archive.files)


def test_no_targets_at_all(tmp_path):
    save_targets(tmp_path, [])
    assert load_targets(tmp_path) == []


def test_missing(tmp_path):
    with pytest.raises(ArtifactError, match=r"there is no .*targets.npz; .*build targets again"):
        load_targets(tmp_path)


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 0.99])
def test_truncated(tmp_path, targets, fraction):
    save_targets(tmp_path, targets)
    path = tmp_path / "targets.npz"
    path.write_bytes(path.read_bytes()[: int(fraction * path.stat().st_size)])
    with pytest.raises(ArtifactError, match=r"truncated or damaged.*build targets again"):
        load_targets(tmp_path)


def test_newer_format(tmp_path, targets):
    save_targets(tmp_path, targets)
    rewrite(tmp_path, lambda header, arrays: header.update(format_version=3))
    with pytest.raises(ArtifactError, match="format 3 of targets, this hamlearn reads up to 2: upgrade hamlearn"):
        load_targets(tmp_path)


def test_another_kind(tmp_path, targets):
    save_targets(tmp_path, targets)
    rewrite(tmp_path, lambda header, arrays: header.update(kind="qm_record"))
    with pytest.raises(ArtifactError, match="kind 'qm_record', expected 'targets'"):
        load_targets(tmp_path)


@pytest.mark.parametrize("lost", ["matrix", "numbers", "n_occupied", "rejected_gap", "matrix_offsets"])
def test_incomplete(tmp_path, targets, lost):
    save_targets(tmp_path, targets)
    rewrite(tmp_path, lambda header, arrays: arrays.pop(lost))
    with pytest.raises(ArtifactError, match="holds no targets"):
        load_targets(tmp_path)


def test_targets_of_unlike_settings_are_refused(tmp_path, targets):
    water = calculation("bent water", "6-31g*")
    with pytest.raises(ArtifactError, match="differ in having a metric, baseline or diagnostics"):
        save_targets(tmp_path, [*targets, build_target(water, TargetSettings())])
    with pytest.raises(BasisError, match="element 1 carries different orbitals"):
        records = water, calculation("bent water", "sto-3g")
        save_targets(tmp_path, [build_target(record, TargetSettings(kind="fock")) for record in records])
    assert not (tmp_path / "targets.npz").exists()
