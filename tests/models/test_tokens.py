"""Particles as words: the codebook, and the network that reads and writes them."""

import pytest
import torch
from omnilearn_lab.models import Batch, load_checkpoint, save_checkpoint
from omnilearn_lab.models.baselines import TokenTransformer, TokenTransformerConfig
from omnilearn_lab.models.layers import Codebook
from omnilearn_lab.models.packing import Sequences
from omnilearn_lab.training import NextToken, Whole
from torch.nn import functional

CONFIG = TokenTransformerConfig(n_codes=12, n_classes=3, width=16, n_layers=2, n_heads=2)
END = CONFIG.n_codes


def make_model(seed=0):
    torch.manual_seed(seed)
    model = TokenTransformer(CONFIG).eval()
    model.codebook.centers.normal_()
    return model


def batch_of(codebook, codes):
    """Jets whose particles are exactly the points of given codes."""
    rows = codebook.decode(torch.tensor([code for jet in codes for code in jet]))
    features = torch.cat([rows, torch.zeros(len(rows), 1)], 1)
    offsets = torch.tensor([0, *torch.tensor([len(jet) for jet in codes]).cumsum(0).tolist()])
    return Batch(features, features[:, :2], offsets, torch.zeros(len(codes), 0))


JETS = [[3], [1, 5, 2], [7, 7, 0, 11, 4, 4, 9, 2, 6, 1], [2, 8]]


def test_decoding_and_encoding_is_the_identity_on_codes():
    codebook = Codebook(12)
    codebook.centers.normal_()
    codes = torch.arange(12).repeat(3)
    assert torch.equal(codebook.encode(codebook.decode(codes)), codes)


def test_the_code_is_that_of_the_nearest_point_and_other_columns_do_not_count():
    codebook = Codebook(20)
    codebook.centers.normal_()
    features = torch.randn(50, 5)
    points = torch.stack([3 * features[:, 0], 3 * features[:, 1], features[:, 2]], 1)
    by_hand = [(codebook.centers - point).square().sum(1).argmin().item() for point in points]
    assert codebook.encode(features).tolist() == by_hand
    features[:, 3:] = 9.0
    assert codebook.encode(features).tolist() == by_hand


def plain_logits(model, codes):
    """Start and codes of one jet, alone: the next codes' logits, (n + 1, K + 1)."""
    return model.next(model.body(torch.tensor([[END, *codes]]), Sequences())[0])


def test_surprise_by_hand_jet_by_jet():
    """Also exact padding: in a batch the jets lie beside longer ones."""
    model = make_model()
    with torch.no_grad():
        together = model.surprise(batch_of(model.codebook, JETS))
        for value, codes in zip(together, JETS, strict=True):
            shares = plain_logits(model, codes).softmax(-1)
            follows = [*codes, END]
            by_hand = -sum(shares[i, code].log() for i, code in enumerate(follows))
            assert value.item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_the_future_does_not_change_the_past():
    model, changed = make_model(), [*JETS[2][:6], 0, 3, 3, 3]
    with torch.no_grad():
        before, after = (plain_logits(model, codes) for codes in (JETS[2], changed))
    assert torch.equal(before[:7], after[:7])  # of the start and the six particles that stayed
    assert (before[7:] - after[7:]).abs().max() > 1e-3


def test_classification_does_not_depend_on_other_jets():
    model = make_model()
    with torch.no_grad():
        together = model.classify(batch_of(model.codebook, JETS)).logits
        for logits, codes in zip(together, JETS, strict=True):
            rows = model.body(torch.tensor([[END, *codes]]), Sequences())[0]
            by_hand = model.out(functional.relu(model.pool(rows)).mean(0))
            torch.testing.assert_close(logits, by_hand, rtol=1e-4, atol=1e-5)


def test_loss_is_the_mean_over_guesses_by_weight():
    model = make_model()
    jets = batch_of(model.codebook, JETS).replace(weight=torch.tensor([1.0, 2.0, 0.5, 1.0]))
    with torch.no_grad():
        loss = NextToken()(model, jets, Whole.of(jets))["loss"].item()
        surprise = model.surprise(jets)
    n_guesses = torch.tensor([len(codes) + 1.0 for codes in JETS])
    assert loss == pytest.approx(
        ((jets.weight * surprise).sum() / (jets.weight @ n_guesses)).item(), rel=1e-6
    )


def test_sampling_is_the_seed_alone_and_jets_end_once():
    model = make_model()
    first, again, other = (model.sample(40, 15, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert (first[:, 0] != END).all()
    has_ended = (first == END).cummax(1).values
    assert (first[has_ended] == END).all() and has_ended.any()


def test_sampled_jets_have_the_shares_of_the_network():
    model = make_model()
    counts = torch.bincount(model.sample(4000, 1)[:, 0], minlength=END + 1)
    with torch.no_grad():
        shares = plain_logits(model, [])[0].softmax(-1)
    shares[END] = 0
    expected = 4000 * shares / shares.sum()
    assert ((counts - expected).square() / expected.clamp_min(1)).sum() < 30  # chi2 of 11


def test_gradients_reach_what_each_loss_needs():
    model = make_model()
    jets = batch_of(model.codebook, JETS)
    NextToken()(model, jets)["loss"].backward()
    silent = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is None}
    assert silent == {"pool", "out"}
    model.classify(jets).logits.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_a_checkpoint_keeps_the_codebook_and_takes_other_classes(tmp_path):
    model = make_model()
    path = save_checkpoint(model, tmp_path / "t.safetensors")
    loaded = load_checkpoint(path, n_classes=5)
    assert torch.equal(loaded.codebook.centers, model.codebook.centers)
    assert torch.equal(loaded.next.weight, model.next.weight)
    assert loaded.classify(batch_of(model.codebook, JETS)).logits.shape == (4, 5)
