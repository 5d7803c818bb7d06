"""Small synthetic jets shared by all tests, and where the reference fixtures lie."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from omnilearn_lab.jets import Jets

settings.register_profile("no_deadline", deadline=None)  # a busy machine is not a failure
settings.load_profile("no_deadline")

SHARED = Path(__file__).parents[2] / "shared" / "fixtures"


def random_jets(n_jets: int = 50, *, seed: int = 0, mean: float = 20.0, n_classes: int = 2) -> Jets:
    """Jets of random multiplicity with all optional particle columns; no physics in them."""
    rng = np.random.default_rng(seed)
    counts = 1 + rng.poisson(mean, n_jets)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    total = int(offsets[-1])
    pt = rng.exponential(10.0, total) + 0.5
    eta = rng.normal(0.0, 0.2, total) + np.repeat(rng.uniform(-1.5, 1.5, n_jets), counts)
    phi = rng.normal(0.0, 0.2, total) + np.repeat(rng.uniform(-3, 3, n_jets), counts)
    energy = pt * np.cosh(eta)
    momenta = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), energy], axis=1)
    pid = rng.choice([-211, -13, -11, 11, 13, 22, 130, 211], total)
    displaced = np.abs(pid) != 22
    columns = {"pid": pid, "charge": np.sign(pid) * (np.abs(pid) == 211)}
    columns |= {n: rng.normal(0, 0.1, total) * displaced for n in ("d0", "dz")}
    columns |= {n: np.full(total, 0.05) * displaced for n in ("d0_err", "dz_err")}
    return Jets.from_four_momenta(
        momenta,
        offsets,
        particles=columns,
        jet={"label": rng.integers(0, n_classes, n_jets)},
        class_names=tuple(f"class {i}" for i in range(n_classes)),
        provenance={"source": "random", "seed": seed},
    )


@pytest.fixture
def jets() -> Jets:
    return random_jets()


@pytest.fixture
def one_core():
    """Where tests run side by side, keep this one and the processes that it starts on a core of its own.

    Small trainings then run in the kernel, not in workers that each import torch and share the cores anyway.
    """
    process = os.environ.get("PYTEST_XDIST_WORKER", "")
    if not process or not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(cores)[int(process.removeprefix("gw")) % len(cores)]})
    yield
    os.sched_setaffinity(0, cores)


@pytest.fixture(scope="session")
def shared_fixtures() -> Path:
    """Folder of numbers made with the original implementations."""
    if not SHARED.is_dir():
        pytest.skip(
            f"reference fixtures are not at {SHARED.name}: parity with the originals is NOT tested here"
        )
    return SHARED
