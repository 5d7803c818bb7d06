import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from omnilearn_lab.errors import ConfigError, TrainingError
from omnilearn_lab.models import ParticleNet, ParticleNetConfig
from omnilearn_lab.training import (
    Batches,
    Classification,
    FlowPretraining,
    Generation,
    JointPretraining,
    Run,
    TrainConfig,
    Trainer,
    runs,
    strategy,
)
from omnilearn_lab.training.distributed import LossModule
from omnilearn_lab.training.strategy import evaluate
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.training.helpers import packed, small_model

CONFIG = TrainConfig(epochs=2, batch_size=16, learning_rate=3e-3, ema_decay=0.9, warmup_epochs=0.5)


def trainer(config=CONFIG, run=None, objective=None, seed=0):
    return Trainer(
        small_model(seed), objective or Classification(), packed(), packed(32, seed=9), config, run
    )


def losses(history, kind="validation"):
    return history.column("loss", kind).tolist()


def test_training_lowers_the_loss():
    curve = losses(trainer(TrainConfig(epochs=6, batch_size=16, learning_rate=1e-3)).fit())
    assert curve[-1] < 0.8 * curve[0]


@pytest.mark.parametrize("objective", [Classification(), JointPretraining()])
def test_same_seed_same_history(objective):
    first, second = (losses(trainer(objective=objective).fit()) for _ in range(2))
    assert first == second


def test_other_seed_other_history():
    other = TrainConfig(**{**vars(CONFIG), "seed": 2})
    assert losses(trainer().fit()) != losses(trainer(other).fit())


def test_global_randomness_is_left_alone():
    one = trainer(objective=JointPretraining())
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    one.update(0)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("objective", [Classification(), JointPretraining()])
@pytest.mark.parametrize("optimizer", ["lion", "adamw"])
def test_resumed_training_equals_uninterrupted(tmp_path, objective, optimizer):
    config = TrainConfig(**{**vars(CONFIG), "optimizer": optimizer})
    whole = trainer(config, Run(tmp_path / "whole", vars(config)), objective)
    expected = whole.fit()

    class Stopped(Exception):
        pass

    def stop_after_third(record):
        if record["step"] >= 4:
            raise Stopped

    with pytest.raises(Stopped):
        trainer(config, Run(tmp_path / "parts", vars(config)), objective).fit(stop_after_third)
    resumed = trainer(config, Run(tmp_path / "parts", vars(config)), objective, seed=99)
    history = resumed.fit()
    assert losses(history) == losses(expected)
    assert losses(history, "train") == losses(expected, "train")
    for a, b in zip(whole.model.state_dict().values(), resumed.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)


class Full(Classification):
    """A device whose memory holds ``LIMIT`` jets in training."""

    LIMIT = 3

    def __call__(self, model, batch, whole=None):
        if model.training and len(batch) > self.LIMIT:
            raise torch.OutOfMemoryError("tried to allocate 20 GiB. There is more to say.")
        return super().__call__(model, batch, whole)


def flat_gradient(model):
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def weighted_jets():
    return packed().replace(weight=torch.linspace(0.1, 2.0, 64))


@pytest.mark.parametrize("objective", [Classification(balance=True), Generation(), JointPretraining()])
def test_accumulation_changes_nothing_but_rounding(objective):
    """With drops, noise and weights: parts draw the random numbers of the whole batch."""
    config = TrainConfig(**{**vars(CONFIG), "accumulate": 4})
    plain, split = (
        Trainer(small_model(feature_drop=0.5), objective, weighted_jets(), packed(32, seed=9), c)
        for c in (CONFIG, config)
    )
    first, second = plain.gradients(0), split.gradients(0)
    for name in first:
        assert second[name].item() == pytest.approx(first[name].item(), rel=1e-5), name
    gradients = [flat_gradient(one.model) for one in (plain, split)]
    np.testing.assert_allclose(*gradients, atol=1e-5 * float(gradients[0].abs().max()))


def test_a_cpu_takes_large_updates_in_parts_where_jets_do_not_see_each_other(monkeypatch):
    monkeypatch.setattr(strategy, "CPU_CHANNELS", 16 * 5)  # five jets of width 16 at once
    jets, other = weighted_jets(), packed(32, seed=9)

    def made(model=None, objective=None, **changes):
        config = TrainConfig(**{**vars(CONFIG), **changes})
        return Trainer(model or small_model(), objective or Classification(), jets, other, config)

    assert (made().strategy.n_parts, made(accumulate=8).strategy.n_parts) == (4, 8)  # updates of 16
    assert made(objective=JointPretraining(alpha="batch")).strategy.n_parts == 1
    assert made(objective=FlowPretraining(contrastive=0.1)).strategy.n_parts == 1
    assert made(ParticleNet(ParticleNetConfig.named("tiny"))).strategy.n_parts == 1  # batch norms


def test_out_of_memory_splits_the_batch_and_says_so(tmp_path, caplog):
    run = Run(tmp_path, vars(CONFIG))
    one = Trainer(small_model(), Full(), weighted_jets(), packed(32, seed=9), CONFIG, run)
    expected = Trainer(small_model(), Classification(), weighted_jets(), packed(32, seed=9), CONFIG).fit()
    history = one.fit()
    assert history.column("n_parts", "train").tolist() == [8.0] * 4
    assert [r.getMessage() for r in caplog.records] == [
        f"out of memory at step 0: {n} parts per update now" for n in (2, 4, 8)
    ]
    np.testing.assert_allclose(history.val_loss, expected.val_loss, rtol=2e-3)
    again = Trainer(small_model(), Full(), weighted_jets(), packed(32, seed=9), CONFIG, run)
    assert again.strategy.n_parts == 8


def test_memory_for_no_jet_at_all_is_an_error(monkeypatch):
    monkeypatch.setattr(Full, "LIMIT", 0)
    with pytest.raises(TrainingError, match="16 jets in 16 parts .tried to allocate 20 GiB"):
        trainer(objective=Full()).fit()


def test_out_of_memory_in_validation_takes_fewer_jets(caplog):
    class Small(Classification):
        def __call__(self, model, batch, whole=None):
            if not model.training and len(batch) > 10:
                raise torch.OutOfMemoryError("no memory")
            return super().__call__(model, batch, whole)

    one = trainer(objective=Small())
    curve = losses(one.fit())
    assert one.validation.batch_size == 8
    np.testing.assert_allclose(curve, losses(trainer().fit()), rtol=1e-5)


def test_early_stopping_ends_and_restores_the_best():
    config = TrainConfig(epochs=50, batch_size=16, learning_rate=0.5, patience=2, validations_per_epoch=1)
    one = trainer(config)
    history = one.fit()
    assert history.column("epoch")[-1] < 50
    best = history.best()["loss"]
    again = evaluate(LossModule(one.model, one.objective), one.validation)["loss"]
    assert again == pytest.approx(best, rel=1e-6)


def test_stop_file_ends_cleanly(tmp_path):
    run = Run(tmp_path, vars(CONFIG))
    (tmp_path / "stop").touch()
    assert trainer(run=run).fit().column("step").tolist() == [0]
    assert trainer(run=Run(tmp_path, vars(CONFIG))).fit().column("step")[-1] == 8  # obeyed, so forgotten
    assert not (tmp_path / "stop").exists()


ANOTHER = """
import sys
from omnilearn_lab.training import Run
run = Run(sys.argv[1], {})
run.claim()
print("mine", flush=True)
sys.stdin.read()
"""


def test_two_processes_cannot_train_in_one_directory(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", ANOTHER, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"mine\n"
        with pytest.raises(TrainingError, match="another process is training"):
            trainer(run=Run(tmp_path, {}))
        other.communicate()
    assert len(trainer(run=Run(tmp_path, {})).fit()) > 2


def test_a_disk_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match=r"file'? cannot be written"):
        Run(tmp_path / "file", {})
    one = trainer(run=Run(tmp_path / "run", {}))
    monkeypatch.setattr(runs, "save_file", lambda *_, **__: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(TrainingError, match="safetensors' cannot be written .no space left.; make room"):
        one.fit()


def test_killed_in_the_first_validation_the_start_still_counts(tmp_path, monkeypatch):
    config = TrainConfig(epochs=1, batch_size=16, learning_rate=3.0, optimizer="adamw")  # only gets worse
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Run, "save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        trainer(config, run=Run(tmp_path, {})).fit()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "valid')
    again = trainer(config, run=Run(tmp_path, {}))
    assert losses(again.fit()) == losses(trainer(config).fit())
    assert again.state.best_step == 0
    assert losses(trainer(config, run=Run(tmp_path, {})).fit()) == losses(again.history)


def test_a_trainer_trains_once(tmp_path):
    one = trainer(run=Run(tmp_path, {}))
    one.fit()
    with pytest.raises(TrainingError, match="make a new one"):
        one.fit()


def test_the_same_jets_made_by_another_processor_are_known(tmp_path):
    run = Run(tmp_path, {})
    jets, noise = packed(), 1 + 2e-7 * torch.randn(packed().features.shape)

    def train(jets):
        Trainer(small_model(), Classification(), jets, packed(32, seed=9), CONFIG, run).fit()

    train(jets)
    train(jets.replace(features=jets.features * noise))
    one_other = jets.label.clone()
    one_other[5] = 1 - one_other[5]
    for other in (jets.replace(label=one_other), jets.replace(features=jets.features.flip(0))):
        with pytest.raises(TrainingError, match="other jets"):
            train(other)


def test_nan_loss_names_step_jets_and_checkpoint(tmp_path):
    class Broken(Classification):
        def __call__(self, model, batch, whole=None):
            terms = super().__call__(model, batch, whole)
            return {
                name: value * torch.nan if self.is_broken(model) else value for name, value in terms.items()
            }

        def is_broken(self, model):
            return model.training and one.state.step == 5

    one = trainer(run=Run(tmp_path, vars(CONFIG)), objective=Broken())
    rows = one.batches.rows(5)[:8].tolist()
    with pytest.raises(TrainingError) as caught:
        one.fit()
    assert f"loss at step 5 (jets {rows}" in str(caught.value)
    assert str(tmp_path / "last.safetensors") in str(caught.value)
    assert trainer(run=Run(tmp_path, vars(CONFIG))).state.step == 4
    assert all(torch.isfinite(p).all() for p in one.model.parameters())


def test_nan_in_validation_is_found():
    one = trainer(TrainConfig(**{**vars(CONFIG), "ema_decay": 0.0}))
    with torch.no_grad():
        one.model.classifier.logits.bias.fill_(torch.nan)
    with pytest.raises(TrainingError, match=r"validation loss after step 0 \(jets \["):
        one.fit()


def test_run_with_other_settings_is_refused(tmp_path):
    (tmp_path / "config.yaml").touch()  # a start that was killed while writing
    Run(tmp_path, {"epochs": 1})
    with pytest.raises(ConfigError, match="other settings.*epochs"):
        Run(tmp_path, {"epochs": 2})
    (tmp_path / "config.yaml").write_text("- 1")
    with pytest.raises(ConfigError, match="holds a list"):
        Run(tmp_path, {"epochs": 1})


def test_damaged_checkpoint_is_named(tmp_path):
    trainer(run=Run(tmp_path, vars(CONFIG))).fit()
    path = tmp_path / "last.safetensors"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(TrainingError, match=r"last\.safetensors.*damaged"):
        trainer(run=Run(tmp_path, vars(CONFIG)))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    trainer(run=Run(folder, vars(CONFIG))).fit()
    return folder


STATES = [
    '{"step": "x"}',
    '{"steps": 1}',
    '{"step": -1}',
    "[]",
    "[" * 10_000,
    '{"jets": {"train": 3}}',
    "\\xff",
]


@pytest.mark.parametrize("state", STATES, ids=lambda text: text[:12])
def test_a_state_of_anything_else_is_damage(finished, tmp_path, state):
    folder = shutil.copytree(finished, tmp_path / "run")
    save_file(load_file(folder / "last.safetensors"), folder / "last.safetensors", metadata={"state": state})
    with pytest.raises(TrainingError, match=r"last\.safetensors' is damaged"):
        trainer(run=Run(folder, vars(CONFIG)))


@pytest.mark.parametrize("change", ["shape", "name", "optimizer"])
def test_weights_of_another_network_are_damage(finished, tmp_path, change):
    folder = shutil.copytree(finished, tmp_path / "run")
    path = folder / "last.safetensors"
    with safe_open(path, framework="pt") as file:
        about = file.metadata()
    tensors = load_file(path)
    name = next(n for n in tensors if n.startswith("model/") and tensors[n].ndim == 2)
    if change == "shape":
        tensors[name] = tensors[name][:1].clone()
    elif change == "name":
        tensors["model/other"] = tensors.pop(name)
    else:
        tensors["optimizer/x.exp_avg"] = tensors[name].clone()
    save_file(tensors, path, metadata=about)
    with pytest.raises(TrainingError, match=r"last\.safetensors' is damaged"):
        trainer(run=Run(folder, vars(CONFIG)))


@pytest.mark.parametrize("text", ["", "3", '{"n_parts": "x"}', "[" * 10_000])
def test_word_about_memory_that_cannot_be_read_is_damage(finished, tmp_path, text):
    folder = shutil.copytree(finished, tmp_path / "run")
    (folder / "memory.json").write_text(text)
    with pytest.raises(TrainingError, match=r"memory\.json' is damaged"):
        trainer(run=Run(folder, vars(CONFIG)))


def test_frozen_body_stays():
    config = TrainConfig(**{**vars(CONFIG), "trainable": "heads", "ema_decay": 0.0})
    one = trainer(config)
    before = {k: v.clone() for k, v in one.model.body.state_dict().items()}
    one.fit()
    assert all(torch.equal(before[k], v) for k, v in one.model.body.state_dict().items())


def test_adapters_train_alone_with_the_heads(tmp_path):
    config = TrainConfig(
        **{**vars(CONFIG), "trainable": "adapters", "adapter_rank": 2, "learning_rate": 1e-2}
    )
    one = trainer(config, Run(tmp_path, vars(config)))
    before = {k: v.clone() for k, v in one.model.body.state_dict().items()}
    curve = losses(one.fit())
    changed = {k for k, v in one.model.body.state_dict().items() if not torch.equal(before[k], v)}
    assert changed
    assert all(k.endswith((".rise", ".fall")) for k in changed)
    assert curve[-1] < curve[0]
    ordinary = load_file(tmp_path / "best.safetensors")
    assert sorted(ordinary) == sorted(small_model().state_dict())
    plain = small_model()
    plain.load_state_dict(ordinary)
    assert evaluate(LossModule(plain, one.objective), one.validation)["loss"] == pytest.approx(
        min(curve), rel=1e-6
    )
    resumed = trainer(config, Run(tmp_path, vars(config)), seed=5)
    assert resumed.state.step == 8
    assert losses(resumed.fit()) == curve


def test_live_weights_are_validated_beside_the_average():
    config = TrainConfig(**{**vars(CONFIG), "validate_live": True})
    history = trainer(config).fit()
    without_average = trainer(TrainConfig(**{**vars(CONFIG), "ema_decay": 0.0})).fit()
    assert history.column("loss_live").tolist() == losses(without_average)
    assert losses(history) != losses(without_average)


def test_training_loss_is_recorded_as_often_as_asked():
    config = TrainConfig(**{**vars(CONFIG), "records_per_validation": 2})
    history = trainer(config).fit()
    assert history.column("step", "train").tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    pairs = history.column("loss", "train").reshape(-1, 2).mean(axis=1)
    np.testing.assert_allclose(pairs, losses(trainer().fit(), "train"), rtol=1e-12)


def test_moving_average_lags_behind():
    one = trainer()
    one.update(0)
    one.update(1)
    live = dict(one.model.named_parameters())
    average = dict(one.averaged.named_parameters())
    assert any(not torch.equal(live[k], average[k]) for k in live)


def test_validation_is_weighted_by_jets():
    batches = Batches(packed(50), 16)
    model = small_model()
    losses = LossModule(model, Classification())
    whole = evaluate(losses, Batches(packed(50), 50))
    np.testing.assert_allclose(evaluate(losses, batches)["loss"], whole["loss"], rtol=1e-5)


def test_bf16_follows_fp32_closely():
    config = TrainConfig(**{**vars(CONFIG), "precision": "bf16"})
    expected = trainer().update(0)["loss"].item()
    assert trainer(config).update(0)["loss"].item() == pytest.approx(expected, rel=0.02)
