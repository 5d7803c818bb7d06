"""Network inputs computed from jets: PET's 13 particle features and 4 jet features, standardised.

The particle features are those of OmniLearn (arXiv:2404.16091, appendix), in the order of its code:

====== =============================== ===================================================
column name                            definition
====== =============================== ===================================================
0      deta                            eta - eta_jet
1      dphi                            phi - phi_jet, in (-pi, pi]
2      log_pt_fraction                 ln(1e-6 + 1 - pt / pt_jet)
3      log_pt                          ln(pt / GeV)
4      log_energy_fraction             ln(1e-6 + 1 - E / E_jet)
5      log_energy                      ln(E / GeV)
6      delta_r                         hypot(deta, dphi)
7      charge                          in units of e
8-12   is_charged_hadron, is_neutral_hadron, is_photon, is_electron, is_muon
====== =============================== ===================================================

Columns 7 to 12 are zero when the particle species are unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from omnilearn_lab.errors import ConfigError, JetsError, nearest
from omnilearn_lab.jets import Jets, charge_of, index_from_pid, jet_condition

if TYPE_CHECKING:
    from omnilearn_lab.models import Batch

__all__ = [
    "JET_FEATURES",
    "PARTICLE_FEATURES",
    "STANDARDIZATIONS",
    "Standardization",
    "jet_features",
    "jets_from_features",
    "particle_features",
    "pet_batch",
    "pet_v2_batch",
]

PARTICLE_FEATURES: tuple[str, ...] = (
    "deta",
    "dphi",
    "log_pt_fraction",
    "log_pt",
    "log_energy_fraction",
    "log_energy",
    "delta_r",
    "charge",
    "is_charged_hadron",
    "is_neutral_hadron",
    "is_photon",
    "is_electron",
    "is_muon",
)
JET_FEATURES: tuple[str, ...] = ("pt", "eta", "mass", "multiplicity")

_SPECIES_FLAGS = (211, 130, 22, 11, 13)
_LOG_FLOOR = 1e-6
_FARTHEST = 10.0  # in pseudorapidity, of a generated particle from its jet: no energy overflows


@dataclass(frozen=True)
class Standardization:
    """Means and widths that bring features to order one: x -> (x - mean) / std.

    Parameters
    ----------
    particle_mean, particle_std : tuple of 6 float
        For particle columns 0 to 5; the others are left as they are.
    jet_mean, jet_std : tuple of 4 float
        For jet pt, eta, mass and multiplicity.
    """

    particle_mean: tuple[float, ...] = (0.0, 0.0, -0.0278, 1.8999407, -0.027, 2.244736)
    particle_std: tuple[float, ...] = (0.215, 0.215, 0.070, 1.2212526, 0.069, 1.2334691)
    jet_mean: tuple[float, ...] = (618.22492, 0.0, 120.64709, 39.4133173)
    jet_std: tuple[float, ...] = (106.71761, 0.88998157, 40.196922, 15.096386)

    def particles(self, features: np.ndarray) -> np.ndarray:
        """Standardise particle features, shape (T, 13)."""
        scaled = features.copy()
        scaled[:, :6] = (features[:, :6] - np.float32(self.particle_mean)) / np.float32(self.particle_std)
        return scaled

    def jets(self, features: np.ndarray) -> np.ndarray:
        """Standardise jet features, shape (N, 4)."""
        return (features - np.float32(self.jet_mean)) / np.float32(self.jet_std)


_BASE = Standardization()

STANDARDIZATIONS: dict[str, Standardization] = {
    "jetclass": _BASE,
    "atlas": Standardization(
        jet_mean=(1739.33684, 0.00049438087, 221.667582, 55.2376512),
        jet_std=(975.164004, 0.831232765, 203.67242, 25.1242747),
    ),
    "omnifold": Standardization(
        jet_mean=(225.826286, 0.00125739745, 18.396352, 18.8828832),
        jet_std=(90.39824296, 1.34598289, 10.73467645, 8.45697634),
    ),
    "jetnet30": Standardization(
        (0.0, 0.0, -0.035, 2.791, -0.035, 3.03),
        (0.09, 0.09, 0.067, 1.241, 0.067, 1.26),
        (1045.8962, 0.0036804923, 94.020386, 29.03636),
        (123.23525, 0.7678173, 43.103817, 2.76302),
    ),
    # the published constant of column 2 is -0.054; the sign only flips that input
    "jetnet150": Standardization(
        (0.0, 0.0, -0.0217, 1.895, -0.022, 2.13),
        (0.115, 0.115, 0.054, 1.549, 0.054, 1.57),
        (1045.8962, 0.0036804923, 94.020386, 49.398304),
        (123.23525, 0.7678173, 43.103817, 20.772703),
    ),
    "lhco": Standardization(
        (0.0, 0.0, -0.019, 1.83, -0.019, 2.068),
        (0.26, 0.26, 0.066, 1.452, 0.064, 1.46),
        (1287.24651, 0.0, 205.052711, 57.2253125),
        (244.15460668, 0.74111563, 151.10313677, 29.44343823),
    ),
    "h1": Standardization(
        (0.031, 0.0, -0.10, -0.23, -0.10, 0.27),
        (0.35, 0.35, 0.178, 1.2212526, 0.169, 1.17),
        (19.15986358, 0.57154217, 6.00354102, 11.730992),
        (9.18613789, 0.80465287, 2.99805704, 5.14910232),
    ),
}
"""Constants of the published loaders; ``jetclass`` serves JetClass, top, quark/gluon and CMS jets."""


def particle_features(jets: Jets, *, use_pid: bool = True) -> np.ndarray:
    """Return PET's 13 particle features, not standardised.

    Parameters
    ----------
    jets : Jets
    use_pid
        False leaves columns 7 to 12 at zero even when species are known.

    Returns
    -------
    float32 array, shape (T, 13)
        See the table at the top of this module.

    Notes
    -----
    A particle that carries all of the jet's pt, or more, gets ln(1e-6) in column 2, as in the
    published JetClass features. The other published loaders write 0 there and so lose the particle.

    References
    ----------
    OmniLearn, arXiv:2404.16091, appendix A.

    Examples
    --------
    >>> jets = Jets.build({"deta": [0.3], "dphi": [0.4], "pt": [1.0], "energy": [1.0]}, [0, 1],
    ...                   {"pt": [2.0], "eta": [0.0], "phi": [0.0], "mass": [0.0]})
    >>> particle_features(jets)[0, :7].round(3).tolist()
    [0.30000001192092896, 0.4000000059604645, -0.6930000185966492, 0.0, -0.6930000185966492, 0.0, 0.5]
    """
    deta, dphi, pt, energy = (jets.particles[n] for n in ("deta", "dphi", "pt", "energy"))
    jet_energy = np.sqrt((jets.jet["pt"] * np.cosh(jets.jet["eta"])) ** 2 + jets.jet["mass"] ** 2)
    features = np.zeros((jets.n_particles, len(PARTICLE_FEATURES)), dtype=np.float32)
    features[:, 0] = deta
    features[:, 1] = dphi
    features[:, 2] = _log_remainder(pt, jets.jet["pt"], jets.counts)
    features[:, 3] = np.log(pt)
    features[:, 4] = _log_remainder(energy, jet_energy, jets.counts)
    features[:, 5] = np.log(np.maximum(energy, _LOG_FLOOR))
    features[:, 6] = np.hypot(deta, dphi)
    if use_pid:
        features[:, 7:] = _species(jets)
    return features


def jet_features(jets: Jets) -> np.ndarray:
    """Return jet pt, eta, mass [GeV] and multiplicity, not standardised, shape (N, 4)."""
    return np.stack([jets.jet[name] for name in JET_FEATURES], axis=1).astype(np.float32)


def pet_batch(jets: Jets, *, standardization: str = "jetclass", use_pid: bool = True) -> Batch:
    """Return jets as one packed batch of standardised PET inputs.

    Parameters
    ----------
    jets : Jets
    standardization
        A key of `STANDARDIZATIONS`. The pretrained networks saw ``jetclass``.
    use_pid
        False hides the particle species.

    Returns
    -------
    Batch
        With ``label`` and ``weight`` when the jets carry them.

    Raises
    ------
    ConfigError
        For an unknown standardisation.
    """
    scale = _standardization(standardization)
    features = scale.particles(particle_features(jets, use_pid=use_pid))
    return _batch(features, jets, jet=scale.jets(jet_features(jets)))


def pet_v2_batch(jets: Jets, *, use_pid: bool = True, use_extra: bool = False) -> Batch:
    """Return jets as one packed batch of PET v2 inputs, which are not standardised.

    Features are deta, dphi, ln(pt / GeV) and ln(E / GeV); the condition of a jet is ln pt, eta,
    ln(1 + mass / GeV) and multiplicity / 100, as in our files' ``global``.

    Parameters
    ----------
    jets : Jets
    use_pid
        Add the species index of each particle when species are known.
    use_extra
        Add tanh d0, d0_err, tanh dz, dz_err (d in mm), the four additional columns of OmniLearned.

    Returns
    -------
    Batch
        ``particle_label`` holds the particles' ``origin`` when the jets carry it.

    Raises
    ------
    JetsError
        When ``use_extra`` is asked for and the jets have no impact parameters.

    References
    ----------
    OmniLearned, arXiv:2510.24066.

    Examples
    --------
    >>> jets = Jets.build({"deta": [0.3], "dphi": [0.4], "pt": [1.0], "energy": [1.0]}, [0, 1],
    ...                   {"pt": [2.0], "eta": [0.0], "phi": [0.0], "mass": [0.0]})
    >>> pet_v2_batch(jets).features.tolist()
    [[0.30000001192092896, 0.4000000059604645, 0.0, 0.0]]
    """
    columns = [jets.particles[n] for n in ("deta", "dphi")]
    columns += [np.log(np.maximum(jets.particles[n], _LOG_FLOOR)) for n in ("pt", "energy")]
    arrays = {"jet": np.zeros((len(jets), 0), np.float32), "condition": jet_condition(jets)}
    if use_pid and "pid" in jets.particles:
        arrays["pid"] = index_from_pid(jets.particles["pid"])
    if use_extra:
        arrays["extra"] = _displacement(jets)
    if "origin" in jets.particles:
        arrays["particle_label"] = jets.particles["origin"]
    return _batch(np.stack(columns, axis=1), jets, **arrays)


def _batch(features: np.ndarray, jets: Jets, **arrays: np.ndarray) -> Batch:
    """A batch of these inputs, with labels and weights where the jets carry them."""
    import torch

    from omnilearn_lab.models import Batch

    arrays |= {name: jets.jet[name] for name in ("label", "weight") if name in jets.jet}
    rows = torch.from_numpy(features)
    tensors = {name: torch.from_numpy(values) for name, values in arrays.items()}
    return Batch(rows, rows[:, :2], torch.from_numpy(jets.offsets), **tensors)


def _displacement(jets: Jets) -> np.ndarray:
    missing = [n for n in ("d0", "d0_err", "dz", "dz_err") if n not in jets.particles]
    if missing:
        raise JetsError(f"these jets have no {missing}; use_extra needs impact parameters [mm]")
    d0, d0_err, dz, dz_err = (jets.particles[n] for n in ("d0", "d0_err", "dz", "dz_err"))
    return np.stack([np.tanh(d0), d0_err, np.tanh(dz), dz_err], axis=1)


def jets_from_features(
    features: np.ndarray, jets: Jets, *, standardization: str = "jetclass", keep_jet: bool = False
) -> Jets:
    """Return jets whose particles come from generated features: the inverse of the inputs.

    Only the three generated columns are used. pt = pt_jet (1 + 1e-6 - exp(column 2)) and, for massless
    particles, E = pt cosh(eta_jet + deta).

    Parameters
    ----------
    features : float array, shape (T, >= 3)
        Standardised deta, dphi and log_pt_fraction.
    jets : Jets
        Gives offsets, jet axes and jet pt, labels and class names; its particles are replaced.
    standardization
        A key of `STANDARDIZATIONS`.
    keep_jet
        Keep pt, eta, phi and mass of ``jets`` and measure the particles from their axes, as JetNet's files
        and metrics do.

    Returns
    -------
    Jets
        Jet pt, eta, phi and mass are those of the sum of the generated particles, unless ``keep_jet``;
        ``multiplicity`` is counted. pt fractions outside (0, 1] and distances in pseudorapidity beyond 10
        are moved to these ends.

    Raises
    ------
    JetsError
        When the number of particles differs, or a feature is not finite.

    Examples
    --------
    >>> jets = Jets.build({"deta": [0.1], "dphi": [0.2], "pt": [40.0], "energy": [50.0]}, [0, 1],
    ...                   {"pt": [100.0], "eta": [0.5], "phi": [1.0], "mass": [5.0]})
    >>> again = jets_from_features(pet_batch(jets).features.numpy(), jets)
    >>> round(float(again.particles["pt"][0]), 3)
    40.0
    """
    rows = np.asarray(features, dtype=np.float64)[:, :3]
    if len(rows) != jets.n_particles or not np.isfinite(rows).all():
        raise JetsError(
            f"{len(rows)} generated particles for jets with {jets.n_particles}, or a feature that is not "
            "finite; use more sampler steps, and the counts of these jets"
        )
    scale = _standardization(standardization)
    rows = rows * np.array(scale.particle_std[:3]) + np.array(scale.particle_mean[:3])
    fraction = np.clip(1 + _LOG_FLOOR - np.exp(np.minimum(rows[:, 2], 0.0)), _LOG_FLOOR, 1.0)
    pt = fraction * np.repeat(jets.jet["pt"].astype(np.float64), jets.counts)
    rows[:, 0] = np.clip(rows[:, 0], -_FARTHEST, _FARTHEST)
    eta = rows[:, 0] + np.repeat(jets.jet["eta"], jets.counts)
    about = {"class_names": jets.class_names, "provenance": {"source": "generated"}}
    label = {"label": jets.label} if "label" in jets.jet else {}
    if keep_jet:
        cloud = {"deta": rows[:, 0], "dphi": rows[:, 1], "pt": pt, "energy": pt * np.cosh(eta)}
        axis = {name: jets.jet[name] for name in ("pt", "eta", "phi", "mass")}
        return Jets.build(cloud, jets.offsets, axis | label, **about)
    phi = rows[:, 1] + np.repeat(jets.jet["phi"], jets.counts)
    momenta = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta)], axis=1)
    return Jets.from_four_momenta(momenta, jets.offsets, jet=label, **about)


def _standardization(name: str) -> Standardization:
    if name not in STANDARDIZATIONS:
        raise ConfigError(f"no standardisation '{name}'; {nearest(name, STANDARDIZATIONS)}")
    return STANDARDIZATIONS[name]


def _log_remainder(part: np.ndarray, total: np.ndarray, counts: np.ndarray) -> np.ndarray:
    fraction = part.astype(np.float64) / np.repeat(total.astype(np.float64), counts)
    return np.log(_LOG_FLOOR + np.maximum(1 - fraction, 0))


def _species(jets: Jets) -> np.ndarray:
    """Charge and five flags, shape (T, 6); zeros where nothing is known."""
    columns = np.zeros((jets.n_particles, 6), dtype=np.float32)
    pid = jets.particles.get("pid")
    if pid is not None:
        columns[:, 0] = charge_of(pid)
        columns[:, 1:] = np.abs(pid)[:, None] == np.array(_SPECIES_FLAGS)
    if "charge" in jets.particles:
        columns[:, 0] = jets.particles["charge"]
    return columns
