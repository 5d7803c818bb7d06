"""Small files in the published layouts for the two searches."""

import numpy as np
import pandas as pd
from omnilearn_lab.jets import index_from_pid
from tests.readers.samples import write_h5

_SLOTS = 700


def write_lhco_events(path, n_events=900, seed=1):
    """Two massless sprays back to back, of masses all over the range; every fourth is labelled signal."""
    rng = np.random.default_rng(seed)
    table = np.zeros((n_events, 3 * _SLOTS + 1), dtype=np.float32)
    label = np.arange(n_events) % 4 == 0
    masses = np.where(label, rng.uniform(3350, 3650, n_events), rng.uniform(2350, 4900, n_events))
    for row, mass in enumerate(masses):
        pt = np.concatenate([rng.dirichlet(np.full(6, 5.0)) * mass / 2 for _ in range(2)])
        phi = rng.uniform(-np.pi, np.pi) + np.repeat([0, np.pi], 6) + rng.normal(0, 0.03, 12)
        particles = np.stack([pt, rng.normal(0, 0.03, 12), np.angle(np.exp(1j * phi))], axis=1)
        table[row, : particles.size] = particles.ravel()
    table[:, -1] = label
    pd.DataFrame(table).to_hdf(path, key="df", mode="w")


def two_prongs(n_jets, seed):
    """Padded deta, dphi, pt and the masses of jets of two prongs of 300 GeV each, 100 to 250 GeV heavy."""
    rng = np.random.default_rng(seed)
    distance = 0.35 + rng.exponential(0.15, n_jets) % 0.45
    shares = rng.dirichlet(np.full(5, 5.0), (n_jets, 2))
    side = np.repeat([-0.5, 0.5], 5)
    deta = side * distance[:, None] + rng.normal(0, 0.01, (n_jets, 10))
    return deta, rng.normal(0, 0.01, (n_jets, 10)), 300 * shares.reshape(n_jets, 10), 300 * distance


def write_aspen_jets(path, n_jets, seed):
    """Collision data: four-vectors relative to the beam, soft-drop mass, no labels."""
    deta, dphi, pt, mass = two_prongs(n_jets, seed)
    columns = [pt * np.cos(dphi), pt * np.sin(dphi), pt * np.sinh(deta), pt * np.cosh(deta)]
    zero = np.zeros_like(pt)
    columns += [zero, zero, zero, zero, zero + 1, zero + 211, zero + 1]
    cloud = np.zeros((n_jets, 150, 11), dtype=np.float32)
    cloud[:, :10] = np.stack(columns, axis=2)
    kinematics = np.stack([np.full(n_jets, 600.0), np.zeros(n_jets), np.zeros(n_jets), mass], axis=1)
    tagging = np.ones((n_jets, 13))
    event = np.arange(3 * n_jets).reshape(n_jets, 3)
    write_h5(path, PFCands=cloud, jet_kinematics=kinematics, event_info=event, jet_tagging=tagging)


def write_cms_qcd(path, n_jets, seed):
    """OmniLearned's layout with the label of simulated QCD; the mass follows from the particles."""
    deta, dphi, pt, _ = two_prongs(n_jets, seed)
    data = np.zeros((n_jets, 150, 9), dtype=np.float32)
    columns = [deta, dphi, np.log(pt), np.log(pt * np.cosh(deta))]
    columns.append(np.broadcast_to(index_from_pid(np.array([211])), pt.shape))
    data[:, :10, :5] = np.stack(columns, axis=2)
    write_h5(path, data=data, pid=np.full(n_jets, 201.0, dtype=np.float32))
