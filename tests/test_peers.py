"""The comparisons with published programs: fair turns, and a way that fails is named, not fatal."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from benchmarks import peer_omnilearned as peers

ROOT = Path(__file__).parents[1]
SERVER = """
import os, sys
from benchmarks.peer_omnilearned import answer, program

def make(n_jets):
    return {"infer": lambda: [[1.0 * n_jets, 2.0]], "train": lambda: [[0.0]]}

def broken(n_jets):
    raise RuntimeError("in user code:\\n\\n  no C++ compiler")

def fatal(n_jets):
    os._exit(1)

answer({"fp32": program(make), "compiled": program(broken), "fatal": program(fatal)})
"""


@pytest.fixture
def server(tmp_path):
    script = tmp_path / "server.py"
    script.write_text(f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{SERVER}")
    with peers.peer([sys.executable, str(script)], ("fp32", "compiled", "fatal")) as ways:
        yield ways


def measured(programs, **options):
    settings = {"repeats": 2, "clock": "wall", "threads": 1} | options
    return {(row.task, row.program): row for row in peers.measure(programs, 4, **settings)}


def test_what_fails_in_the_other_program_is_named_and_the_others_go_on(server):
    ours = peers.program(lambda n: {"infer": lambda: [[4.0, 2.2]], "train": lambda: [[0.0]]})
    rows = measured({"peer fp32": server["fp32"], "peer compiled": server["compiled"], "ours fp32": ours})
    assert rows["train", "peer compiled"].error == "RuntimeError: no C++ compiler"
    assert rows["train", "peer compiled"].jets_per_second is None
    assert rows["infer", "ours fp32"].difference == pytest.approx(0.05)
    assert rows["train", "ours fp32"].difference is None and rows["train", "ours fp32"].jets_per_second > 0
    shown = peers.table(list(rows.values()))
    assert "left out: peer compiled, 1 threads, 4 jets: RuntimeError: no C++ compiler" in shown


def test_a_program_that_ends_is_told_apart(server):
    rows = measured({"a": server["fatal"], "b": server["fp32"]})
    assert "ended" in rows["infer", "a"].error and "ended" in rows["infer", "b"].error


def test_the_ratio_is_to_the_best_of_the_peer_and_not_to_its_bfloat16():
    rates = {"peer fp32": (10.0, 20.0), "peer bf16": (50.0, 50.0), "ours fp32": (100.0, 60.0)}
    rows = [
        peers.Row(threads, 64, "train", name, both[threads - 1], None)
        for threads in (1, 2)
        for name, both in rates.items()
    ]
    best = [line for line in peers.table(rows).splitlines() if "times" in line]
    assert [line.split("(")[0].split()[-2] for line in best] == ["1.0", "2.5", "5.0"]


def test_programs_take_turns_and_the_first_round_does_not_count():
    asked = []

    def take(name, seconds):
        def run(task, n_jets):
            asked.append((name, task))
            slow = 100.0 if len(asked) <= 4 else 1.0
            return {"wall": slow * seconds, "cpu": 1.0, "logits": [[1.0]]}

        return run

    rows = measured({"a": take("a", 1.0), "b": take("b", 2.0)})
    assert asked[:4] == [("a", "infer"), ("b", "infer"), ("a", "train"), ("b", "train")]
    assert {row.jets_per_second for (_, name), row in rows.items() if name == "b"} == {2.0}
    assert len(asked) == 12


def test_jets_are_those_of_both(tmp_path):
    jets = peers.realistic_jets(5, n_features=13)
    assert jets["x"].shape == (5, peers.SLOTS, 13) and not jets["x"][~jets["mask"]].any()
    assert np.array_equal(jets["x"], peers.realistic_jets(5, n_features=13)["x"])
    tasks = peers.our_tasks(_tiny(), jets, False, 3)
    before = np.asarray(tasks["infer"]())
    tasks["train"]()
    assert before.shape == (3, 2) and np.array_equal(
        before, np.asarray(tasks["infer"]())
    )  # steps of length zero
    out = tmp_path / "rows.json"
    peers.report([peers.Row(1, 4, "train", "a", 1.0, None)], out)
    assert json.loads(out.read_text())[0]["jets_per_second"] == 1.0


def _tiny():
    from omnilearn_lab.models import PlainTransformer, PlainTransformerConfig

    return PlainTransformer(PlainTransformerConfig(width=8, n_layers=1, n_heads=1)).eval()


def test_our_networks_beside_the_tensorflow_program_have_its_size(monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(str(peers.Path(peers.__file__).parent))
    v1 = pytest.importorskip("peer_omnilearn_v1")
    options = type("Options", (), {"size": "tiny", "code": tmp_path})
    networks = v1.prepare(tmp_path, {"x": np.zeros(1)}, options, 1)
    said = dict(line.rsplit(": ", 1) for line in capsys.readouterr().err.splitlines())
    numbers = {name: int(text.split()[0].replace(",", "")) for name, text in said.items()}
    assert set(numbers) == set(networks)
    assert all(abs(n / numbers["PET"] - 1) < 0.06 for n in numbers.values()), numbers
    assert (tmp_path / "model.weights.h5").is_file()
