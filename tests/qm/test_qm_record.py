"""Records on disk: bitwise round trips, names by content, damage and newer formats refused."""

import dataclasses
import json

import numpy as np
import pytest

from hamlearn.config import QMSettings
from hamlearn.errors import ArtifactError
from hamlearn.qm.pack import pack_records, packed_keys
from hamlearn.qm.record import ARRAYS, FORMAT_VERSION, QMRecord, load_record, record_arrays, record_key, save_record

SETTINGS = QMSettings(basis="STO-3G")
NUMBERS = np.array([8, 1, 1])
POSITIONS = np.array([[0.0, 0.1, 0.2], [1.0, 1.1, 1.2], [-0.5, 0.7, 2.0]])


@pytest.fixture
def record():
    rng = np.random.default_rng(0)
    square = [rng.normal(size=(7, 7)) for _ in range(4)]
    return QMRecord(
        numbers=NUMBERS,
        positions=POSITIONS,
        fock=square[0],
        overlap=square[1],
        guess_focks={"minao": square[2], "core": square[3]},
        orbital_energies=rng.normal(size=7),
        occupations=np.array([2.0] * 5 + [0.0] * 2),
        energy=-74.123456789012345,
        dipole=rng.normal(size=3),
        provenance={"method": "RHF", "xc": None, "conv_tol": 1e-10, "cycles": 8},
    )


def assert_bitwise_equal(first, second):
    for name in ARRAYS:
        assert np.array_equal(getattr(first, name), getattr(second, name)), name
    assert dict(first.provenance) == dict(second.provenance)
    assert sorted(first.guess_focks) == sorted(second.guess_focks)
    assert all(np.array_equal(first.guess_focks[name], second.guess_focks[name]) for name in first.guess_focks)
    assert isinstance(second.energy, float)
    assert second.numbers.dtype == np.int64


def test_saved_record_loads_bitwise(tmp_path, record):
    save_record(tmp_path / "a.npz", record)
    assert_bitwise_equal(record, load_record(tmp_path / "a.npz"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_file_is_readable_without_pickle_and_says_what_it_is(tmp_path, record):
    save_record(tmp_path / "a.npz", record)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        header = json.loads(str(archive["header"]))
    assert (header["kind"], header["format_version"]) == ("qm_record", 1)


def test_packed_record_loads_bitwise_from_its_old_name(tmp_path, record):
    save_record(tmp_path / "a.npz", record)
    save_record(tmp_path / "b.npz", dataclasses.replace(record, energy=-1.0))
    pack_records(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["campaign.h5"]
    assert_bitwise_equal(record, load_record(tmp_path / "a.npz"))
    save_record(tmp_path / "c.npz", dataclasses.replace(record, energy=-2.0))
    save_record(tmp_path / "a.npz", dataclasses.replace(record, energy=-3.0))
    pack_records(tmp_path)
    assert packed_keys(tmp_path) == {"a", "b", "c"}
    assert [load_record(tmp_path / f"{key}.npz").energy for key in "abc"] == [-3.0, -1.0, -2.0]
    with pytest.raises(ArtifactError, match="nor is it in"):
        load_record(tmp_path / "d.npz")


def test_damaged_records_are_not_packed(tmp_path, record):
    save_record(tmp_path / "a.npz", record)
    (tmp_path / "b.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:1000])
    pack_records(tmp_path)
    assert packed_keys(tmp_path) == {"a"}
    assert (tmp_path / "b.npz").exists()


def test_damaged_or_newer_pack_is_refused(tmp_path, record):
    import h5py

    save_record(tmp_path / "a.npz", record)
    pack = pack_records(tmp_path)
    with h5py.File(pack, "a") as file:
        file.attrs["format_version"] = 99
    with pytest.raises(ArtifactError, match="upgrade hamlearn"):
        load_record(tmp_path / "a.npz")
    with pytest.raises(ArtifactError, match="upgrade hamlearn"):
        packed_keys(tmp_path)
    pack.write_bytes(pack.read_bytes()[:500])
    for read in (lambda: load_record(tmp_path / "a.npz"), lambda: packed_keys(tmp_path)):
        with pytest.raises(ArtifactError, match="delete it"):
            read()


@pytest.mark.parametrize("keep", [0.0, 0.01, 0.3, 0.7, 0.99])
def test_truncated_record_is_refused(tmp_path, record, keep):
    path = tmp_path / "a.npz"
    save_record(path, record)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(ArtifactError, match="truncated or damaged"):
        load_record(path)


def test_flipped_bit_is_noticed(tmp_path, record):
    path = tmp_path / "a.npz"
    save_record(path, record)
    content = bytearray(path.read_bytes())
    content[content.find(record.fock.tobytes()[:64]) + 10] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="truncated or damaged"):
        load_record(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"kind": "model"}, "expected 'qm_record'"),
        ({"format_version": FORMAT_VERSION + 1}, "upgrade hamlearn"),
        ({"format_version": "1"}, "expected 'qm_record'"),
    ],
)
def test_other_kinds_and_newer_formats_are_refused(tmp_path, record, change, says):
    arrays = record_arrays(record)
    arrays["header"] = np.array(json.dumps({**json.loads(str(arrays["header"])), **change}))
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ArtifactError, match=says):
        load_record(tmp_path / "a.npz")


@pytest.mark.parametrize("lost", ["header", "fock", "energy"])
def test_record_without_a_part_is_refused(tmp_path, record, lost):
    arrays = record_arrays(record)
    del arrays[lost]
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ArtifactError, match=f"not a record hamlearn wrote.*{lost}"):
        load_record(tmp_path / "a.npz")


def test_plain_array_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(ArtifactError, match="truncated or damaged"):
        load_record(tmp_path / "a.npy")


def test_pickled_content_is_refused(tmp_path, record):
    np.savez(tmp_path / "a.npz", **{**record_arrays(record), "fock": np.array([{"an": "object"}], dtype=object)})
    with pytest.raises(ArtifactError, match="truncated or damaged"):
        load_record(tmp_path / "a.npz")


def test_missing_record_is_said_in_words(tmp_path):
    with pytest.raises(ArtifactError, match="there is no record"):
        load_record(tmp_path / "a.npz")


def test_key_names_the_content():
    key = record_key(NUMBERS, POSITIONS, SETTINGS)
    assert len(key) == 64
    assert key == record_key(NUMBERS.tolist(), POSITIONS.tolist(), QMSettings(basis="STO-3G"), ("minao",))
    assert key == record_key(NUMBERS, np.where(POSITIONS == 0.0, -0.0, POSITIONS), SETTINGS)
    both = record_key(NUMBERS, POSITIONS, SETTINGS, ("atom", "core"))
    assert both == record_key(NUMBERS, POSITIONS, SETTINGS, ("core", "atom", "core"))
    others = {
        both,
        key,
        record_key(NUMBERS[::-1], POSITIONS, SETTINGS),
        record_key(NUMBERS, POSITIONS[::-1], SETTINGS),
        record_key(NUMBERS, np.nextafter(POSITIONS, 9.0), SETTINGS),
        record_key(NUMBERS, POSITIONS, QMSettings(basis="6-31G")),
        record_key(NUMBERS, POSITIONS, QMSettings(basis="STO-3G", conv_tol=1e-9)),
        record_key(NUMBERS, POSITIONS, QMSettings(basis="STO-3G", method="RKS", xc="pbe")),
    }
    assert len(others) == 8
