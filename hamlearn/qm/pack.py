"""Finished records in one HDF5 file instead of thousands."""

from __future__ import annotations

import shutil
from pathlib import Path

from hamlearn.artifacts import check_format, written_atomically
from hamlearn.errors import ArtifactError
from hamlearn.qm.record import FORMAT_VERSION, PACK_KIND, PACK_NAME, load_record, record_arrays


def pack_records(folder: Path) -> Path:
    """Add all whole records of a folder to its pack, then delete their files."""
    import h5py

    pack = folder / PACK_NAME
    packed = []
    with written_atomically(pack) as temporary:
        if pack.exists():
            shutil.copyfile(pack, temporary)
        with h5py.File(temporary, "a") as file:
            file.attrs.update({"kind": PACK_KIND, "format_version": FORMAT_VERSION})
            for path in sorted(folder.glob("*.npz")):
                try:
                    record = load_record(path)
                except ArtifactError:
                    continue  # left for the next run of the campaign, which computes it again
                if path.stem in file:
                    del file[path.stem]
                group = file.create_group(path.stem)
                for name, array in record_arrays(record).items():
                    group[name] = str(array) if name == "header" else array
                packed.append(path)
    for path in packed:
        path.unlink()
    return pack


def packed_keys(folder: Path) -> set[str]:
    """Return the keys of the records in a folder's pack.

    Raises:
        ArtifactError: if the pack is damaged or of a newer format.
    """
    import h5py

    pack = folder / PACK_NAME
    try:
        with h5py.File(pack) as file:
            check_format(dict(file.attrs), PACK_KIND, FORMAT_VERSION, str(pack))
            return set(file)
    except OSError as error:
        raise ArtifactError(f"{pack} is damaged ({error}); delete it to compute its records again") from None
