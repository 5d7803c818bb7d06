"""Are files what they should be, and stand-ins like the published data?"""

from __future__ import annotations

import hashlib
import json

import pytest
import yaml
from omnilearn_lab.catalog import MeanCheck, StandInCheck
from omnilearn_lab.catalog.stand_ins import StandIn
from omnilearn_lab.errors import CatalogError, ConfigError

CONTENT = b"jets"
ENTRY = {
    "title": "Tiny", "physics": "none", "selection": "none", "kind": "simulation", "availability": "public",
    "licence": "CC0", "citations": ["tiny"], "splits": {"train": {"jets": 1}, "val": {"jets": 1}},
    "format": "h5_plain", "reader": "ml_ready", "classes": ["a"],
}  # fmt: skip


@pytest.fixture
def tiny(data_dir, tmp_path, monkeypatch):
    """A dataset of two files; the one of the training split is here."""
    known = {"checksum": f"md5:{hashlib.md5(CONTENT).hexdigest()}", "size": len(CONTENT)}
    files = [
        {"name": f"{s}.h5", "split": s, "url": f"https://example.org/{s}.h5", **known}
        for s in ("train", "val")
    ]
    own = {
        "version": 1,
        "datasets": {"tiny": ENTRY | {"files": files}},
        "citations": {"tiny": {"text": "Tiny"}},
    }
    (tmp_path / "catalog.yaml").write_text(yaml.safe_dump(own))
    monkeypatch.setenv("OMNILEARN_LAB_CATALOG", str(tmp_path / "catalog.yaml"))
    (data_dir / "tiny").mkdir(parents=True)
    (data_dir / "tiny" / "train.h5").write_bytes(CONTENT)
    return data_dir / "tiny"


def test_good_files_are_status_0(invoke, tiny):
    done = invoke("data", "verify", "tiny", "--split", "train")
    assert done.exit_code == 0 and "train.h5" in done.output and "ok" in done.output


def test_missing_files_are_status_1(invoke, tiny):
    done = invoke("data", "verify", "tiny", "--json")
    assert done.exit_code == 1
    assert {row["name"]: row["state"] for row in json.loads(done.output)} == {
        "train.h5": "ok",
        "val.h5": "missing",
    }


def test_a_changed_file_is_status_1(invoke, tiny):
    (tiny / "train.h5").write_bytes(b"jest")
    done = invoke("data", "verify", "tiny", "--split", "train")
    assert done.exit_code == 1 and "wrong" in done.output


def test_unknown_names_are_refused(invoke, tiny):
    with pytest.raises(CatalogError, match="did you mean 'tiny'"):
        invoke("data", "verify", "tinny")


@pytest.mark.parametrize("arguments", [(), ("jetclass", "--all")])
def test_a_name_or_all(invoke, arguments):
    with pytest.raises(ConfigError, match="or give --all"):
        invoke("data", "verify", *arguments)


GOOD = StandInCheck(
    StandIn("quark_gluon", "herwig", "quark_gluon_herwig"), 20, 99.6, 0.5,
    (
        MeanCheck("pt", 618.2, 8.0, 600.0),
        MeanCheck("mass", 100.0, 1.0),
        MeanCheck("multiplicity", 39.0, 1.0, 40.0),
    ),
)  # fmt: skip
FAILED = StandInCheck(StandIn("lhco", "", "lhco"), problem="no jet passes")


def test_all_prints_every_stand_in(invoke, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "omnilearn_lab.catalog.check_stand_ins", lambda *a, **o: asked.append((a, o)) or [GOOD]
    )
    done = invoke("data", "verify", "--all", "--n-jets", 20, "--seed", 5)
    assert done.exit_code == 0 and asked == [((None, 20), {"seed": 5, "profile": "quick"})]
    row = next(line for line in done.output.splitlines() if "herwig" in line)
    cells = ("quark_gluon (herwig)", "100", "0.50", "618.2 ± 8.0 (600)", "100.0 ± 1.0 ", "39.0 ± 1.0 (40)")
    assert all(cell in row for cell in cells)


def test_a_stand_in_that_fails_is_status_1(invoke, monkeypatch):
    monkeypatch.setattr("omnilearn_lab.catalog.check_stand_ins", lambda *_, **__: [GOOD, FAILED])
    done = invoke("data", "verify", "--all")
    assert done.exit_code == 1 and "no jet passes" in done.output
    found = json.loads(invoke("data", "verify", "--all", "--json").output)
    assert [row["problem"] for row in found] == ["", "no jet passes"]
    assert (
        found[0]["means"]["pt"]["ratio"] == pytest.approx(618.2 / 600)
        and found[0]["what"]["variant"] == "herwig"
    )
