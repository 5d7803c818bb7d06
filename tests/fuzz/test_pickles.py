"""Nothing in a data file is ever unpickled, wherever it was planted."""

from __future__ import annotations

import contextlib
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
from omnilearn_lab.errors import OmniLearnLabError

from tests.fuzz.samples import SAMPLES


class Evil:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


PLACES = ("CLASS", "TITLE", "pandas_type", "axis0_variety", "encoding", "provenance", "class_names", "new")
HDF5 = [name for name, sample in SAMPLES.items() if sample.name.endswith(".h5")]


@pytest.mark.parametrize("name", HDF5)
@pytest.mark.parametrize("protocol", [0, 4])
def test_a_pickle_planted_anywhere_in_a_file_is_not_run(tmp_path, name, protocol):
    sample, touched = SAMPLES[name], tmp_path / "touched"
    evil = pickle.dumps(Evil(touched), protocol)
    sample.make(tmp_path / "sound.h5")
    with h5py.File(tmp_path / "sound.h5") as file:
        items = ["/"]
        file.visit(items.append)
    for place in PLACES:
        path = tmp_path / f"{place}.h5"
        path.write_bytes((tmp_path / "sound.h5").read_bytes())
        with h5py.File(path, "r+") as file:
            for item in items:
                file[item].attrs[place] = np.void(evil)
        with contextlib.suppress(OmniLearnLabError):
            sample.open(path)
    for item in items[1:]:  # and as the content of every dataset
        path = tmp_path / "content.h5"
        path.write_bytes((tmp_path / "sound.h5").read_bytes())
        with h5py.File(path, "r+") as file:
            if isinstance(file[item], h5py.Dataset):
                attributes = dict(file[item].attrs)
                del file[item]
                file[item] = np.frombuffer(evil, dtype=np.uint8)
                file[item].attrs.update(attributes)
        with contextlib.suppress(OmniLearnLabError):
            sample.open(path)
    assert not touched.exists()
    pickle.loads(evil)
    assert touched.exists()
