import pytest
from omnilearn_lab.errors import ConfigError, DataFileError
from omnilearn_lab.notebook.recorded import check_results, write_json
from omnilearn_lab.notebook.report import Report, collect_results, comparison_rows, verdict, write_report
from omnilearn_lab.tasks.common import ComparisonRecord

HOSTILE = "<script>alert(1)</script> | [x](javascript:1) `code`\n## Not a title"

AUC = {"scratch": [0.90, 0.92, 0.91], "finetuned": [0.95, 0.97, 0.96], "PFN": [0.93, 0.94, 0.95]}
LOSS = {"scratch": [0.3, 0.2, 0.1], "finetuned": [0.2, 0.3, 0.1]}


def record(notebook="03_finetune_top", **changes):
    comparison = {
        "seeds": [1, 2, 3],
        "n_train": 1000,
        "metrics": {"auc": AUC, "loss": LOSS},
        "smaller_is_better": ["loss"],
        "speedup_epochs": [2.0, None, 3.0],
        "published": {"OmniLearn <b>": {"auc": 0.9872}},
    }
    values = {"notebook": notebook, "profile": "quick", "date": "2026-01-01", "versions": {}, "seconds": {}}
    values |= {"source": "simulated", "seeds": [1, 2, 3], "comparisons": {"top": comparison}}
    return check_results(values | {"total_seconds": 200.0, "peak_memory_gb": 1.5} | changes)


@pytest.fixture
def folder(tmp_path):
    for notebook in ("03_finetune_top", "04_other"):
        (tmp_path / notebook / "quick").mkdir(parents=True)
        write_json(record(notebook), tmp_path / notebook / "quick" / "results.json")
    return tmp_path


def test_rows_show_ours_gain_and_published():
    head, auc, loss, speedup = comparison_rows(record().comparisons["top"])
    assert head == ["", "scratch", "fine-tuned", "PFN", "gain", "verdict", "OmniLearn <b> (published)"]
    assert auc == ["AUC", "0.910 ± 0.010", "0.960 ± 0.010", "0.940 ± 0.010", auc[4], "better", "0.9872"]
    assert auc[4].startswith("+0.05")
    assert loss[3] == "" and loss[5] == "within errors" and loss[6] == ""
    assert speedup[2] == "2.50 ± 0.71 (2 of 3 seeds)"
    assert len({len(row) for row in (head, auc, loss, speedup)}) == 1


def test_null_results_are_visible(folder):
    report = Report(collect_results(folder))
    null = report.null_results()[1:]
    assert [(row[0], row[3], row[5]) for row in null] == [
        ("03_finetune_top", "Loss", "within errors"),
        ("04_other", "Loss", "within errors"),
    ]


def test_pages_hold_every_notebook_and_escape_names(folder):
    markdown, page = write_report(folder)
    for text in (markdown.read_text(), page.read_text()):
        assert all(part in text for part in ("03_finetune_top", "04_other", "0.9872", "within errors", "1.5"))
    assert "<b>" not in page.read_text()
    assert page.read_text().count("<table>") == 4  # runs, two comparisons, null results


def test_profiles_can_be_chosen(folder):
    (folder / "03_finetune_top" / "smoke").mkdir()
    write_json(record(profile="smoke"), folder / "03_finetune_top" / "smoke" / "results.json")
    assert len(collect_results(folder)) == 3
    assert len(collect_results(folder, profile="smoke")) == 1


def test_no_results_is_said(tmp_path):
    with pytest.raises(DataFileError, match="omnilearn-lab run all"):
        collect_results(tmp_path)


def test_broken_results_are_named(folder):
    (folder / "04_other" / "quick" / "results.json").write_text("[")
    with pytest.raises(DataFileError, match="04_other"):
        collect_results(folder)


def test_the_markdown_page_holds_no_markup_of_a_record():
    hostile = record().comparisons["top"].model_dump() | {"published": {HOSTILE: {}}, "gains": {}}
    page = Report([record(comparisons={HOSTILE: hostile})]).to_markdown()
    assert "<script>" not in page and "[x](" not in page and " `code`" not in page
    assert not [line for line in page.splitlines() if line.startswith("## Not")]


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "a/b", "", ".hidden", "x\n", "<b>"])
def test_a_notebooks_name_is_confined(name):
    with pytest.raises(ConfigError, match="notebook"):
        record(name)


@pytest.mark.parametrize(
    "text",
    ["[" * 200_000, "3", "\ud800".encode("utf-8", "surrogatepass"), '{"comparisons": {"a": {"metrics": 3}}}'],
)
def test_records_that_are_anything_are_errors_of_ours(folder, text):
    path = folder / "04_other" / "quick" / "results.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises((ConfigError, DataFileError), match="04_other"):
        collect_results(folder)


def comparison(**changes):
    values = {"auc": {"scratch": [0.80, 0.82], "finetuned": [0.85, 0.88]}}
    return ComparisonRecord(**{"seeds": [1, 2], "n_train": 100, "metrics": values} | changes)


def test_verdict_follows_the_numbers():
    assert "gain +0.0550 ± 0.0050 (2 seeds): better" in verdict(comparison(), metrics=["auc"])
    worse = comparison(metrics={"auc": {"scratch": [0.85, 0.88], "finetuned": [0.80, 0.82]}})
    assert verdict(worse, metrics=["auc"]).endswith("worse")
    same = comparison(metrics={"auc": {"scratch": [0.80, 0.82], "finetuned": [0.82, 0.80]}})
    assert "within errors" in verdict(same, metrics=["auc"])
    one = comparison(seeds=[1], metrics={"auc": {"scratch": [0.8], "finetuned": [0.9]}})
    assert "one seed" in verdict(one, metrics=["auc"])


def test_verdict_says_what_was_not_reached_or_only_bounded():
    text = verdict(
        comparison(speedup_epochs=[None, None], n_lower_limits={"finetuned": {"auc": 1}}),
        metrics=["auc"],
        published_speedup=3,
    )
    assert "reached in 0 of 2 seeds; the paper: 3 times" in text
    assert "1 of 4 values are lower limits" in text


def test_a_start_below_the_best_of_scratch_is_no_target_missed():
    losses = {"auc": {"scratch": [0.8, 0.8], "finetuned": [0.9, 0.9]}}
    losses["best_val_loss"] = {"scratch": [0.5, 0.5], "finetuned": [0.4, 0.4]}
    one, both = (comparison(speedup_epochs=times, metrics=losses) for times in ([None, 2], [None, None]))
    assert comparison_rows(one)[-1][2] == "2 (1 of 2 seeds), below it from the start in 1 of 2 seeds"
    assert comparison_rows(both)[-1][2] == "below it from the start in 2 of 2 seeds"
    assert "reached in 2 of 2 seeds, from the start in 1" in verdict(one, metrics=["auc"])
    assert "reached in 2 of 2 seeds, from the start in 2" in verdict(both, metrics=["auc"])


def test_no_factor_is_quoted_where_scratch_is_best_before_it_trains():
    still = comparison(speedup_epochs=[0, 2])
    assert comparison_rows(still)[-1][2] == "2 (1 of 2 seeds), scratch never improves in 1 of 2 seeds"
    assert "2.0 to 2.0 times fewer, reached in 2 of 2 seeds, where scratch never" in verdict(
        still, metrics=["auc"]
    )


def test_verdict_speaks_of_every_arm():
    metrics = {"auc": {"scratch": [0.80, 0.82], "finetuned": [0.85, 0.88], "frozen": [0.70, 0.72]}}
    first, second = verdict(comparison(metrics=metrics), metrics=["auc"]).splitlines()
    assert "fine-tuned 0.865" in first and first.endswith("better")
    assert "scratch 0.81, frozen body 0.71, gain -0.1" in second and second.endswith("worse")
