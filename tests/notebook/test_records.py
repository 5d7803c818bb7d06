import pytest
from omnilearn_lab.errors import ConfigError, DataFileError
from omnilearn_lab.metrics import spread
from omnilearn_lab.notebook.records import check_results, read_results

SCRATCH, FINETUNED = [0.90, 0.92, 0.91], [0.95, 0.97, 0.96]


def comparison(**changes):
    entry = {
        "seeds": [1, 2, 3],
        "n_train": 100,
        "metrics": {"auc": {"scratch": SCRATCH, "finetuned": FINETUNED}},
    }
    return entry | changes


def results(**changes):
    about = {"notebook": "03", "profile": "smoke", "date": "2026-01-01", "versions": {}, "seconds": {}}
    return about | {"source": "simulated", "seeds": [1, 2, 3]} | changes


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (comparison(seeds=[1, 2]), "'comparisons.top': metric 'auc' has 3 values for 'scratch' and 2 seeds"),
        (comparison(metrics={"auc": {"scratch": SCRATCH}}), r"'comparisons.top': .*lacks \['finetuned'\]"),
        (comparison(n_train=0), "'comparisons.top.n_train'"),
        (comparison(smaller_is_better=["acu"]), "did you mean 'auc'"),
        (comparison(speedup=3), "'comparisons.top.speedup'"),
    ],
)
def test_what_does_not_fit_is_named(entry, message):
    with pytest.raises(ConfigError, match=message):
        check_results(results(comparisons={"top": entry}))


def test_written_records_are_read_back(tmp_path):
    record = check_results(results(comparisons={"top": comparison()}, numbers={"nested": {"a": [1, None]}}))
    (tmp_path / "results.json").write_text(record.model_dump_json())
    assert read_results(tmp_path) == record


def test_missing_and_damaged_files_are_named(tmp_path):
    with pytest.raises(DataFileError, match=r"results\.json"):
        read_results(tmp_path)
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(DataFileError, match="run the notebook"):
        read_results(tmp_path)


def test_spreads_become_mappings_and_other_objects_are_named():
    found = check_results(results(numbers={"auc": spread([0.9, 0.8])}))
    assert found.numbers["auc"]["mean"] == pytest.approx(0.85)
    with pytest.raises(ConfigError, match="results.json.numbers.a.b holds a object"):
        check_results(results(numbers={"a": {"b": object()}}))
