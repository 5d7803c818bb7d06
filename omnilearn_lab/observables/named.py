"""The six observables of the papers, one function each."""

from __future__ import annotations

import numpy as np

from omnilearn_lab.jets import Jets
from omnilearn_lab.observables.compute import observables
from omnilearn_lab.observables.config import ObservableConfig, SoftDrop

__all__ = ["ln_rho", "mass", "multiplicity", "tau_21", "width", "z_g"]


def mass(jets: Jets) -> np.ndarray:
    r"""Return the jet mass, particle masses included.

    .. math:: m^2 = \Big(\sum_i E_i\Big)^2 - \Big|\sum_i \vec p_i\Big|^2

    Parameters
    ----------
    jets : Jets
        N jets.

    Returns
    -------
    float64 array, shape (N,)
        [GeV]. A jet of one particle has the particle's mass, 0 if that is below the precision
        of single-precision columns (E / 1000).

    References
    ----------
    OmniFold, arXiv:1911.09107, section "Case study".

    Examples
    --------
    >>> mass(Jets.from_four_momenta([[3, 0, 0, 3], [0, 4, 0, 4]], [0, 2])).round(4)
    array([4.899])
    """
    return observables(jets, ["mass"])["mass"]


def multiplicity(jets: Jets) -> np.ndarray:
    """Return the number of particles held, without threshold.

    For truncated jets ``jets.jet["multiplicity"]`` remembers the number before.

    Parameters
    ----------
    jets : Jets
        N jets.

    Returns
    -------
    float64 array, shape (N,)

    References
    ----------
    OmniFold, arXiv:1911.09107, section "Case study" (there M).

    Examples
    --------
    >>> multiplicity(Jets.from_four_momenta([[3, 0, 0, 3], [0, 4, 0, 4]], [0, 2]))
    array([2.])
    """
    return observables(jets, ["multiplicity"])["multiplicity"]


def width(jets: Jets, *, jet_radius: float | None = None) -> np.ndarray:
    r"""Return the jet width, in units of the jet radius.

    .. math:: w = \frac{\sum_i p_{T,i}\,\Delta R_i}{R \sum_i p_{T,i}}

    with the distance in rapidity and azimuth to the vector sum.

    Parameters
    ----------
    jets : Jets
        N jets.
    jet_radius : float, optional
        R; None takes ``jets.provenance["jet_radius"]``.

    Returns
    -------
    float64 array, shape (N,)
        0 for one particle.

    Raises
    ------
    ConfigError
        When R is not known.

    References
    ----------
    OmniFold, arXiv:1911.09107, section "Case study".

    Examples
    --------
    >>> jets = Jets.from_four_momenta([[80, 0, 0, 80], [19.6, 4, 0, 20.004]], [0, 2])
    >>> width(jets, jet_radius=0.4).round(2)
    array([0.16])
    """
    return observables(jets, ["width"], jet_radius=jet_radius)["width"]


def ln_rho(jets: Jets, *, soft_drop: SoftDrop | None = None, ungroomed: str = "exclude") -> np.ndarray:
    r"""Return the logarithm of the groomed mass over the ungroomed transverse momentum.

    .. math:: \ln\rho = \ln\frac{m_\mathrm{SD}^2}{p_T^2}

    No jet radius enters.

    Parameters
    ----------
    jets : Jets
        N jets.
    soft_drop : SoftDrop, optional
        None: z_cut = 0.1, beta = 0.
    ungroomed : str
        The value where m_SD = 0: ``"exclude"`` gives -inf, which no histogram counts;
        ``"published"`` gives OmniLearn's 0; ``"omnifold"`` gives ln(1e-100).

    Returns
    -------
    float64 array, shape (N,)

    Raises
    ------
    ConfigError
        For another value of ``ungroomed``.

    References
    ----------
    OmniFold, arXiv:1911.09107, section "Case study"; OmniLearn, arXiv:2404.16091.

    Examples
    --------
    >>> ln_rho(Jets.from_four_momenta([[3, 0, 0, 3]], [0, 1]))
    array([-inf])
    """
    config = ObservableConfig(soft_drop=soft_drop or SoftDrop(), ungroomed=ungroomed)
    return observables(jets, ["ln_rho"], config=config)["ln_rho"]


def tau_21(jets: Jets, *, axes: str = "kt") -> np.ndarray:
    r"""Return the N-subjettiness ratio tau_2 / tau_1 with beta = 1.

    Parameters
    ----------
    jets : Jets
        N jets.
    axes : str
        ``"kt"`` takes the exclusive kT subjets as they are, like the published arrays; tau_1 is
        then the width. Minimised and winner-take-all axes (``"one_pass_kt"``, ``"wta_kt"``,
        ``"one_pass_wta_kt"``) give a visibly different observable.

    Returns
    -------
    float64 array, shape (N,)
        0 for one or two particles. The jet radius cancels.

    Raises
    ------
    ConfigError
        For unknown axes.
    MissingDependencyError
        When the axes need FastJet and it is absent.

    References
    ----------
    Thaler and Van Tilburg, Eq. 2.1, arXiv:1011.2268.

    Examples
    --------
    >>> tau_21(Jets.from_four_momenta([[3, 0, 0, 3], [3, 1, 0, 3.2]], [0, 2]))
    array([0.])
    """
    return observables(jets, ["tau_21"], config=ObservableConfig(axes=axes))["tau_21"]


def z_g(jets: Jets, *, soft_drop: SoftDrop | None = None) -> np.ndarray:
    r"""Return the momentum sharing of the first splitting that passes soft drop.

    .. math:: z_g = \frac{\min(p_{T1}, p_{T2})}{p_{T1} + p_{T2}}

    Parameters
    ----------
    jets : Jets
        N jets.
    soft_drop : SoftDrop, optional
        None: z_cut = 0.1, beta = 0.

    Returns
    -------
    float64 array, shape (N,)
        In (z_cut, 0.5]; 0 where no splitting passes (FastJet says -1, the published arrays 0).
        A splitting at exactly z_cut fails.

    References
    ----------
    Larkoski, Marzani and Thaler, arXiv:1502.01719; soft drop: arXiv:1402.2657.

    Examples
    --------
    >>> z_g(Jets.from_four_momenta([[80, 0, 0, 80], [19.6, 4, 0, 20.004]], [0, 2])).round(3)
    array([0.2])
    """
    return observables(jets, ["z_g"], config=ObservableConfig(soft_drop=soft_drop or SoftDrop()))["z_g"]
