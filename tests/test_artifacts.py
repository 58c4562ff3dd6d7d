"""Files of arrays: whatever byte is wrong, what is read is what was written, or a refusal."""

import numpy as np
import pytest

from hamlearn.artifacts import load_arrays, save_arrays
from hamlearn.errors import ArtifactError


def test_no_damaged_byte_is_read_as_something_else(tmp_path):
    path, written = tmp_path / "a.npz", {"x": np.arange(3.0), "y": np.array("some words")}
    save_arrays(path, written)
    content, refused = path.read_bytes(), 0
    for place, byte in enumerate(content):
        path.write_bytes(content[:place] + bytes([byte ^ 255]) + content[place + 1 :])
        try:
            found = load_arrays(path, "write it again")
        except ArtifactError:
            refused += 1
            continue
        assert all(np.array_equal(found[name], written[name]) for name in found)
    assert refused > len(content) / 2


def test_a_file_cut_anywhere_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    save_arrays(path, {"x": np.arange(3.0)})
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(ArtifactError, match="write it again"):
            load_arrays(path, "write it again")
