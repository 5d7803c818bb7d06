"""Batches from files."""

import shutil

import numpy as np
import pytest
import torch
from omnilearn_lab.errors import ConfigError, DataFileError, TrainingError
from omnilearn_lab.features import pet_batch
from omnilearn_lab.jets import write_jets
from omnilearn_lab.training import (
    Classification,
    Run,
    Shard,
    StreamConfig,
    StreamingBatches,
    TrainConfig,
    Trainer,
)

from tests.conftest import random_jets
from tests.training.helpers import packed, small_model

SIZES = (70, 45, 33)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stream")
    return [write_jets(random_jets(n, seed=n, mean=8), folder / f"{n}.h5") for n in SIZES]


def stream(files, batch_size=8, **changes):
    return StreamingBatches(
        files, batch_size, StreamConfig(**{"block_rows": 10, "window_blocks": 3, **changes})
    )


def rows_of_epoch(source, epoch):
    steps = range(epoch * source.steps_per_epoch, (epoch + 1) * source.steps_per_epoch)
    return [tuple(row) for step in steps for row in source.rows(step)]


def test_no_jet_comes_twice_and_few_are_left_out(files):
    source = stream(files)
    seen = rows_of_epoch(source, 0)
    assert len(seen) == len(set(seen))
    assert len(seen) > sum(SIZES) - source.batch_size


def test_every_jet_is_seen_over_epochs(files):
    source = stream(files)
    seen = {row for epoch in range(12) for row in rows_of_epoch(source, epoch)}
    assert len(seen) == sum(SIZES)


def test_epochs_and_seeds_differ(files):
    orders = [rows_of_epoch(stream(files, seed=s), e) for s in (0, 1) for e in (0, 1)]
    assert len({tuple(o) for o in orders}) == 4


def test_any_step_alone_equals_reading_in_order(files):
    whole = stream(files)
    in_order = [whole.batch(step) for step in range(2 * whole.steps_per_epoch)]
    for step in (17, 3, 25, 0):
        alone = stream(files).batch(step)
        assert torch.equal(alone.features, in_order[step].features)
        assert torch.equal(alone.label, in_order[step].label)


def test_batches_hold_the_rows_they_name(files):
    source = stream(files)
    batch, rows = source.batch(5), source.rows(5)
    everything = {tuple(f): j for f, j in _all_jets(source).items()}
    for i, row in enumerate(rows):
        first, last = batch.offsets[i], batch.offsets[i + 1]
        np.testing.assert_array_equal(batch.features[first:last], everything[tuple(row)])


def _all_jets(source):
    from omnilearn_lab.jets import read_jets

    out = {}
    for number, path in enumerate(source.paths):
        batch = pet_batch(read_jets(path))
        for i in range(len(batch)):
            out[number, i] = batch.features[batch.offsets[i] : batch.offsets[i + 1]].numpy()
    return out


@pytest.mark.parametrize("n_ranks", [2, 3])
def test_ranks_share_without_overlap(files, n_ranks):
    parts = [stream(files, shard=Shard(rank, n_ranks)) for rank in range(n_ranks)]
    assert {p.steps_per_epoch for p in parts} == {sum(SIZES) // n_ranks // 8}
    for epoch in range(6):  # blocks of 10, 5 and 3 jets are dealt anew
        seen = [row for p in parts for row in rows_of_epoch(p, epoch)]
        assert len(seen) == len(set(seen)) == n_ranks * parts[0].steps_per_epoch * 8


def test_a_batch_may_span_several_windows(files):
    source = stream(files, batch_size=50, block_rows=10, window_blocks=1)
    assert source.steps_per_epoch == 2
    assert len(source.batch(1)) == len(set(map(tuple, source.rows(1)))) == 50


def test_training_from_a_stream_resumes_bit_for_bit(files, tmp_path):
    config = TrainConfig(epochs=2, batch_size=8, learning_rate=1e-3)

    def trainer(folder, seed=0):
        run = Run(tmp_path / folder, vars(config))
        return Trainer(small_model(seed), Classification(), stream(files), packed(16), config, run)

    expected = trainer("whole").fit()

    class Stopped(Exception):
        pass

    def stop(record):
        if record["step"] > 10:
            raise Stopped

    with pytest.raises(Stopped):
        trainer("parts").fit(stop)
    assert trainer("parts", seed=5).fit().val_loss.tolist() == expected.val_loss.tolist()


def test_a_run_does_not_go_on_with_other_files(files, tmp_path):
    config = TrainConfig(epochs=1, batch_size=8)

    def train(paths):
        run = Run(tmp_path / "run", vars(config))
        return Trainer(small_model(), Classification(), stream(paths), packed(16), config, run).fit()

    train(files)
    moved = [shutil.copy(path, tmp_path) for path in files]
    train(moved)
    with pytest.raises(TrainingError, match="other jets"):
        train(moved[1:])
    write_jets(random_jets(SIZES[-1], seed=99, mean=8), moved[-1])
    with pytest.raises(TrainingError, match="other jets"):
        train(moved)


def test_damaged_file_is_named(files, tmp_path):
    bad = tmp_path / "bad.h5"
    bad.write_bytes(files[0].read_bytes()[:3000])
    with pytest.raises(DataFileError, match=r"bad\.h5"):
        stream([*files, bad])


def test_too_few_jets_is_an_error(files):
    with pytest.raises(TrainingError, match="one batch needs 1000"):
        stream(files, batch_size=1000)


@pytest.mark.parametrize("bad", [{"block_rows": 0}, {"window_blocks": 0}])
def test_bad_sizes(bad):
    with pytest.raises(ConfigError, match="greater than or equal to 1"):
        StreamConfig(**bad)


def test_rank_outside_its_range():
    with pytest.raises(ConfigError, match="rank is 2 of 2"):
        Shard(2, 2)
