"""The public surface of the room."""

from __future__ import annotations

import csv
import inspect

import numpy as np
import omnilearn_lab.plotting as plotting
import pytest
import yaml
from matplotlib.figure import Figure
from omnilearn_lab.errors import DataFileError, FigureError
from omnilearn_lab.plotting import (
    HistogramAxis,
    confusion_matrix,
    export_figure_data,
    figure_data,
    loss_curves,
    observable_distributions,
    save_figure,
)
from omnilearn_lab.plotting.data import Column, Table, attach_data, read_figure_data, titled_column
from omnilearn_lab.plotting.figure import PaperFigure
from PIL import Image

FIGURES = {
    "calibration",
    "confusion_matrix",
    "diffusion_trajectory",
    "embedding_map",
    "jet_display",
    "jet_image_average",
    "loss_curves",
    "mass_spectrum",
    "metric_bars",
    "observable_distributions",
    "observable_grid",
    "published_vs_ours",
    "rejection_vs_efficiency",
    "reweighting_comparison",
    "roc_curves",
    "scaling_curve",
    "score_histograms",
    "sic_against_injection",
    "sic_curves",
    "unfolding_comparison",
    "working_point_figure",
}


def figure_functions():
    functions = {
        n: getattr(plotting, n) for n in plotting.__all__ if inspect.isfunction(getattr(plotting, n))
    }
    return {
        name
        for name, f in functions.items()
        if inspect.signature(f).return_annotation in ("Figure", "PaperFigure")
    }


def test_public_figure_functions_are_pinned():
    assert figure_functions() == FIGURES


def test_every_figure_function_takes_a_source():
    for name in FIGURES:
        assert "source" in inspect.signature(getattr(plotting, name)).parameters, name


def test_titles_split_into_name_and_unit():
    column = titled_column("Training time [s]", [1.0])
    assert (column.name, column.unit) == ("Training time", "s")
    assert titled_column("AUC", [1.0]).unit == ""


SEEDS = [([1, 2, 3], [0.5, 0.4, 0.3]), ([1, 2, 3], [0.6, 0.4, 0.3])]


def figures():
    axis = HistogramAxis("Jet mass", [0, 50, 100], "GeV")
    worse = ([1, 2], [0.9, 0.9])
    return [
        loss_curves({"scratch": SEEDS, "never / there": worse}, baseline="scratch"),
        observable_distributions({"QCD": [1.0, 60.0], "top": [70.0]}, axis, ratio_to="QCD"),
        confusion_matrix([[8, 2], [1, 9]], class_names=["QCD", "top"]),
    ]


@pytest.mark.parametrize("index", range(3))
def test_export_reads_back(tmp_path, index):
    figure = figures()[index]
    export_figure_data(figure, tmp_path)
    before, after = figure_data(figure).tables, read_figure_data(tmp_path).tables
    for old, new in zip(before, after, strict=True):
        assert (old.name, len(old.independent)) == (new.name, len(new.independent))
        for a, b in zip((*old.independent, *old.dependent), (*new.independent, *new.dependent), strict=True):
            assert (a.name, a.unit) == (b.name, b.unit)
            np.testing.assert_array_equal(a.values, b.values)
            assert {k: v.tolist() for k, v in a.errors.items()} == {
                k: v.tolist() for k, v in b.errors.items()
            }


def test_yaml_follows_the_submission_format(tmp_path):
    export_figure_data(figures()[1], tmp_path)
    header, qcd, _ = yaml.safe_load_all((tmp_path / "submission.yaml").read_text())
    assert "Jet mass" in header["comment"]
    assert {"name", "description", "keywords", "data_file"} == set(qcd)
    table = yaml.safe_load((tmp_path / qcd["data_file"]).read_text())
    assert table["independent_variables"][0]["header"] == {"name": "Jet mass", "units": "GeV"}
    assert table["independent_variables"][0]["values"][0] == {"low": 0.0, "high": 50.0}
    cell = table["dependent_variables"][0]["values"][0]
    assert cell["value"] == 0.01
    assert cell["errors"] == [{"symerror": 0.01, "label": "stat"}]


def test_asymmetric_errors_and_missing_values(tmp_path):
    figure = PaperFigure()
    value = Column("y", [1.0, np.nan], "GeV", {"total": [[0.1, 0.2], [0.3, 0.4]]})
    attach_data(figure, Table("t", (Column("x", [1, 2]),), (value,)))
    export_figure_data(figure, tmp_path)
    cells = yaml.safe_load((tmp_path / "t.yaml").read_text())["dependent_variables"][0]["values"]
    assert cells[0]["errors"][0]["asymerror"] == {"minus": -0.1, "plus": 0.2}
    assert cells[1]["value"] == "-"
    back = read_figure_data(tmp_path)["t"].dependent[0]
    np.testing.assert_array_equal(back.errors["total"], [[0.1, 0.2], [0.3, 0.4]])
    assert np.isnan(back.values[1])


def test_csv_has_units_and_errors_in_its_header(tmp_path):
    export_figure_data(figures()[1], tmp_path)
    rows = list(csv.reader((tmp_path / "QCD.csv").read_text().splitlines()))
    assert rows[0] == ["Jet mass [GeV] low", "Jet mass [GeV] high", "Density [1/GeV]", "Density [1/GeV] stat"]
    assert [float(x) for x in rows[1]] == [0, 50, 0.01, 0.01]


def test_names_become_safe_and_different_file_names(tmp_path):
    figure = PaperFigure()
    column = (Column("x", [1]),)
    for name in ("a/b", "a b", "submission", "../up", "ε"):
        attach_data(figure, Table(name, column, column))
    files = export_figure_data(figure, tmp_path)
    assert all(file.parent == tmp_path for file in files)
    assert len({file.name.lower() for file in files}) == 11
    assert read_figure_data(tmp_path).names == ("a/b", "a b", "submission", "../up", "ε")


def test_figures_from_elsewhere_carry_no_numbers(tmp_path):
    with pytest.raises(FigureError, match="carries no numbers"):
        figure_data(Figure())
    with pytest.raises(FigureError, match="no table"):
        export_figure_data(PaperFigure(), tmp_path)
    with pytest.raises(FigureError, match="no readable figure export"):
        read_figure_data(tmp_path)


def test_unknown_table_names_the_nearest():
    with pytest.raises(FigureError, match="did you mean 'scratch'"):
        figure_data(figures()[0])["scrach"]


def test_columns_must_fit():
    with pytest.raises(FigureError, match="different lengths"):
        Table("t", (Column("x", [1, 2]),), (Column("y", [1]),))
    with pytest.raises(FigureError, match="errors 'stat'"):
        Column("y", [1, 2], errors={"stat": [0.1]})


def test_saves_png_and_pdf_with_the_alt_text_and_no_date(tmp_path):
    figure = figures()[0]
    png, pdf = save_figure(figure, tmp_path / "deep" / "loss", dpi=50)
    assert Image.open(png).text["Description"] == figure.alt_text
    assert pdf.read_bytes().startswith(b"%PDF")
    assert b"CreationDate" not in pdf.read_bytes()
    first = pdf.read_bytes(), png.read_bytes()
    save_figure(figure, tmp_path / "deep" / "loss", dpi=50)
    assert (pdf.read_bytes(), png.read_bytes()) == first


def test_saves_plain_figures_too(tmp_path):
    figure = Figure()
    figure.add_subplot().plot([1, 2])
    (file,) = save_figure(figure, tmp_path / "plain", formats=["svg"])
    assert "<svg" in file.read_text()


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    figure = figures()[0]
    (file,) = save_figure(figure, tmp_path / "loss", formats=["png"], dpi=30)
    before = file.read_bytes()

    def full_disk(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figure, "savefig", full_disk)
    with pytest.raises(DataFileError, match="No space left"):
        save_figure(figure, tmp_path / "loss", formats=["png"])
    assert file.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["loss.png"]


def test_bad_formats_and_folders(tmp_path):
    with pytest.raises(FigureError, match="choose from png, pdf, svg"):
        save_figure(figures()[0], tmp_path / "loss", formats=["gif"])
    (tmp_path / "file").write_text("")
    with pytest.raises(DataFileError, match="cannot write"):
        save_figure(figures()[0], tmp_path / "file" / "loss")
