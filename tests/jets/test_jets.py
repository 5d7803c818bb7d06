"""Jets and what networks ask of them."""

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omnilearn_lab.errors import JetsError
from omnilearn_lab.jets import InputSpec, Jets
from omnilearn_lab.settings import from_mapping, to_mapping

from tests.conftest import random_jets


def two_jets(**changes):
    particles = {
        "deta": [0.1, 0.0, 0.2],
        "dphi": [0.0, 0.1, 0.0],
        "pt": [80.0, 20.0, 50.0],
        "energy": [90, 30, 55],
    }
    jet = {"pt": [99.0, 50.0], "eta": [1.0, 0.3], "phi": [0.0, 2.0], "mass": [10.0, 0.1], "label": [0, 1]}
    particles |= changes.pop("particles", {})
    jet |= changes.pop("jet", {})
    return Jets.build(particles, changes.pop("offsets", [0, 2, 3]), jet, class_names=("a", "b"), **changes)


def assert_same(a: Jets, b: Jets) -> None:
    assert np.array_equal(a.offsets, b.offsets)
    for mine, theirs in ((a.particles, b.particles), (a.jet, b.jet)):
        assert set(mine) == set(theirs)
        for name in mine:
            np.testing.assert_array_equal(mine[name], theirs[name], err_msg=name)


def test_build_sorts_and_counts():
    jets = two_jets(particles={"pt": [20.0, 80.0, 50.0]})
    assert jets.particles["pt"].tolist() == [80.0, 20.0, 50.0]
    assert jets.particles["deta"].tolist() == pytest.approx([0.0, 0.1, 0.2])
    assert jets.jet["multiplicity"].tolist() == [2, 1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"offsets": [0, 3, 3]}, "jet 1 has 0 particles"),
        ({"offsets": [0, 1, 2]}, "shape"),
        ({"particles": {"pt": [80.0, np.nan, 50.0]}}, "not finite at row 1"),
        ({"particles": {"energy": [90.0, -1.0, 55.0]}}, "energy -1.0"),
        ({"particles": {"pt": [80.0, 20.0, 0.0]}}, "must be positive"),
        ({"jet": {"label": [0, 2]}}, "label 2"),
        ({"jet": {"mass": [1.0]}}, "shape"),
    ],
)
def test_bad_input_is_named(changes, words):
    with pytest.raises(JetsError, match=words):
        two_jets(**changes)


def test_missing_field_is_named():
    with pytest.raises(JetsError, match="energy"):
        Jets.build(
            {"deta": [0.0], "dphi": [0.0], "pt": [1.0]},
            [0, 1],
            {"pt": [1], "eta": [0], "phi": [0], "mass": [0]},
        )


def test_unsorted_particles_are_refused_by_the_constructor():
    jets = two_jets()
    with pytest.raises(JetsError, match=r"Jets\.build sorts"):
        Jets({**jets.particles, "pt": np.float32([20, 80, 50])}, jets.offsets, jets.jet)


@given(st.integers(0, 10_000))
def test_four_momenta_round_trip(seed):
    jets = random_jets(5, seed=seed)
    px, py, pz, energy = jets.cartesian()
    again = Jets.from_four_momenta(np.stack([px, py, pz, energy], axis=1), jets.offsets)
    np.testing.assert_allclose(again.jet["pt"], jets.jet["pt"], rtol=2e-5)
    np.testing.assert_allclose(again.particles["pt"], jets.particles["pt"], rtol=2e-5)
    np.testing.assert_allclose(again.particles["deta"], jets.particles["deta"], atol=2e-5)


def test_azimuth_is_wrapped():
    jets = two_jets(particles={"dphi": [3.5, -3.5, np.pi]})
    assert jets.particles["dphi"].tolist() == pytest.approx(
        [3.5 - 2 * np.pi, 2 * np.pi - 3.5, np.pi], abs=1e-6
    )


@given(st.lists(st.integers(0, 49), min_size=1, max_size=20))
def test_selection_equals_selection_of_padded_arrays(rows):
    jets = random_jets()
    padded, mask = jets.to_padded(64)
    chosen, chosen_mask = jets[np.array(rows)].to_padded(64)
    np.testing.assert_array_equal(chosen, padded[rows])
    np.testing.assert_array_equal(chosen_mask, mask[rows])


def test_single_integer_keeps_a_batch(jets):
    assert len(jets[3]) == 1
    assert len(jets[-1]) == 1


def test_padded_round_trip(jets):
    names = ("deta", "dphi", "pt", "energy", "pid")
    padded, mask = jets.to_padded(fields=names)
    again = Jets.from_padded(padded, mask, names, jets.jet, class_names=jets.class_names)
    for name in names:
        np.testing.assert_array_equal(again.particles[name], jets.particles[name])


def test_truncate_keeps_the_hardest(jets):
    cut = jets.truncate(4)
    assert cut.counts.max() == 4
    np.testing.assert_array_equal(cut.jet["multiplicity"], jets.jet["multiplicity"])
    assert np.array_equal(cut[2].particles["pt"], jets[2].particles["pt"][:4])


def test_concatenate_inverts_splitting(jets):
    assert_same(Jets.concatenate([jets[:20], jets[20:]]), jets)


def test_shuffle_is_a_permutation_fixed_by_the_seed(jets):
    assert_same(jets.shuffle(3), jets.shuffle(3))
    assert sorted(jets.shuffle(3).jet["pt"]) == sorted(jets.jet["pt"])


def test_awkward_views_share_memory(jets):
    array = jets.to_awkward()
    assert ak.num(array.particles).to_list() == jets.counts.tolist()
    assert np.shares_memory(ak.flatten(array.particles.pt).to_numpy(), jets.particles["pt"])


def test_vector_momenta_sum_to_the_jet(jets):
    total = ak.sum(jets.four_momenta(), axis=1)
    np.testing.assert_allclose(np.hypot(total.px, total.py), jets.jet["pt"], rtol=2e-5)


def test_displays_name_counts_and_classes(jets):
    assert "50 jets" in repr(jets)
    assert "class 0" in jets._repr_html_()


def test_empty_batch_is_allowed(jets):
    assert len(jets[:0]) == 0
    assert len(Jets.concatenate([jets[:0], jets])) == len(jets)


@pytest.mark.parametrize("kind", [np.int64, np.uint64, np.int32, np.uint32, np.uint8])
def test_integers_stay_integers_in_memory(jets, kind):
    largest = np.iinfo(kind).max if kind != np.uint64 else np.iinfo(np.int64).max
    marked = jets.with_jet(number=np.full(len(jets), largest, dtype=kind))
    assert marked.jet["number"].dtype.kind == "i" and set(marked.jet["number"].tolist()) == {int(largest)}


def test_an_integer_that_does_not_fit_is_refused(jets):
    with pytest.raises(JetsError, match="'event_hash' holds 18446744073709551615"):
        jets.with_jet(event_hash=np.full(len(jets), 2**64 - 1, dtype=np.uint64))


@pytest.mark.parametrize("label", [0.9999, 0.5])
def test_a_soft_label_is_not_class_0(jets, label):
    with pytest.raises(JetsError, match=r"'label' is .*probability, goes into a column of another name"):
        jets.with_jet(label=np.full(len(jets), label))


def test_classes_are_matched_by_name(jets):
    names = jets.class_names
    turned = jets.with_classes(names[::-1])
    assert turned.class_names == names[::-1]
    assert [turned.class_names[i] for i in turned.label] == [names[i] for i in jets.label]
    assert turned.with_classes(names).label.tolist() == jets.label.tolist()
    more = jets.with_classes(("other", *names))
    assert more.label.tolist() == (jets.label + 1).tolist()
    with pytest.raises(JetsError, match="cannot be taken for"):
        jets.with_classes(("other", *names[1:]))


def test_a_file_sorted_by_class_is_split_into_equal_mixtures(jets):
    label = np.sort(jets.label)
    parts = jets.with_jet(label=label, number=np.arange(len(jets))).split((0.5, 0.25, 0.25), seed=3)
    assert sum(map(len, parts)) == len(jets)
    assert len(set(np.concatenate([p.jet["number"] for p in parts]).tolist())) == len(jets)
    for part, share in zip(parts, (0.5, 0.25, 0.25), strict=True):
        np.testing.assert_allclose(np.bincount(part.label), share * np.bincount(label), atol=1)
        assert np.any(np.diff(part.jet["number"]) < 0)
    again = jets.with_jet(label=label, number=np.arange(len(jets))).split((0.5, 0.25, 0.25), seed=3)
    assert all(np.array_equal(a.jet["number"], b.jet["number"]) for a, b in zip(parts, again, strict=True))


def test_jets_of_an_event_stay_in_one_part(jets):
    event = np.arange(len(jets)) // 2
    train, test = jets.with_jet(event=event).split((0.6, 0.4), seed=1, together="event")
    assert not set(train.jet["event"].tolist()) & set(test.jet["event"].tolist())
    assert len(train) + len(test) == len(jets) and abs(len(train) - 0.6 * len(jets)) < 4


@pytest.mark.parametrize("fractions", [(), (0.8, 0.3), (-0.1, 0.5)])
def test_shares_that_are_none_are_refused(jets, fractions):
    with pytest.raises(JetsError, match="add up to 1"):
        jets.split(fractions, seed=1)


def without(jets, *names):
    kept = {name: values for name, values in jets.particles.items() if name not in names}
    return Jets(kept, jets.offsets, jets.jet, jets.class_names, jets.provenance)


def test_what_jets_have_is_described_and_comes_back(jets):
    spec = InputSpec.of(jets)
    assert spec.species and spec.displacement and spec.class_names == jets.class_names
    assert from_mapping(InputSpec, to_mapping(spec)) == spec
    assert not InputSpec.of(jets, species=False).species
    assert not InputSpec.of(without(jets, "d0_err")).displacement


@pytest.mark.parametrize(
    ("name", "message"), [("pid", "particle species"), ("dz", "impact parameters.*'dz'")]
)
def test_jets_without_an_input_are_refused(jets, name, message):
    with pytest.raises(JetsError, match=message):
        InputSpec.of(jets).fit(without(jets, name))
    with pytest.raises(JetsError, match=message):
        InputSpec.of(without(jets, name), species=True, displacement=True)


def test_classes_in_another_order_are_brought_into_that_of_the_network(jets):
    spec = InputSpec.of(jets)
    turned = jets.with_classes(jets.class_names[::-1])
    assert not np.array_equal(turned.label, jets.label)
    assert spec.fit(turned).label.tolist() == jets.label.tolist()


def test_other_classes_are_refused(jets):
    spec = InputSpec.of(jets)
    other = Jets(jets.particles, jets.offsets, jets.jet, ("W", "Z", "top")[: len(jets.class_names)])
    with pytest.raises(JetsError, match="cannot be taken for"):
        spec.fit(other)
