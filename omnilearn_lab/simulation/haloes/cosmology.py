"""A flat universe of matter and a cosmological constant: expansion, linear growth, linear power spectrum.

Units throughout this room: comoving Mpc/h, km/s, solar masses / h; the Hubble constant is 100 h km/s/Mpc.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.integrate import simpson, solve_ivp

from omnilearn_lab.errors import SimulationError

RHO_CRITICAL = 2.77536627e11  # h^2 solar masses / Mpc^3
_FIRST = 1e-3  # scale factor at which growth begins, deep in matter domination
_CMB = 2.7255 / 2.7  # temperature of the background, in the unit of the fitting formula
_RADIUS = 8.0  # of the sphere in which sigma_8 is measured [Mpc/h]


@dataclass(frozen=True)
class Cosmology:
    """Parameters of a flat Lambda-CDM universe without radiation.

    Parameters
    ----------
    omega_m, sigma_8
        Matter density in units of the critical one, and standard deviation of the linear density contrast in
        spheres of 8 Mpc/h, both today.
    omega_b, h, n_s
        Baryon density, Hubble constant in 100 km/s/Mpc, slope of the primordial spectrum.

    Raises
    ------
    SimulationError
        For densities that are not 0 < omega_b < omega_m <= 1, or numbers that are not positive.

    Examples
    --------
    >>> universe = Cosmology(0.3175, 0.834)
    >>> round(universe.growth(0.5), 3), round(universe.growth_rate(1.0), 3), round(universe.sigma(8.0), 3)
    (0.606, 0.529, 0.834)
    """

    omega_m: float
    sigma_8: float
    omega_b: float = 0.049
    h: float = 0.6711
    n_s: float = 0.9624

    def __post_init__(self) -> None:
        if not (0 < self.omega_b < self.omega_m <= 1 and min(self.sigma_8, self.h, self.n_s) > 0):
            raise SimulationError(f"{self}: 0 < omega_b < omega_m <= 1 and positive numbers are needed")

    def expansion(self, a: float | np.ndarray) -> float | np.ndarray:
        """Return E(a) = H(a) / H(today)."""
        return np.sqrt(self.omega_m / a**3 + 1 - self.omega_m)

    def matter(self, a: float | np.ndarray) -> float | np.ndarray:
        """Return the matter density in units of the critical one at scale factor a."""
        return self.omega_m / a**3 / self.expansion(a) ** 2

    def growth(self, a: float) -> float:
        """Return the linear growth factor D(a), with D(1) = 1."""
        return float(np.interp(a, *self._growth[:2]))

    def growth_rate(self, a: float) -> float:
        """Return f(a) = d ln D / d ln a."""
        return float(np.interp(a, self._growth[0], self._growth[2]))

    def power(self, k: np.ndarray) -> np.ndarray:
        """Return the linear power spectrum today [(Mpc/h)^3] at k [h/Mpc]."""
        return self._amplitude * self._shape(k)

    def sigma(self, radius: float) -> float:
        """Return the standard deviation of the linear density contrast in spheres of a radius [Mpc/h]."""
        return float(np.sqrt(self._amplitude) * self._deviation(radius))

    def transfer(self, k: np.ndarray) -> np.ndarray:
        """Return the transfer function at k [h/Mpc], without acoustic wiggles.

        References
        ----------
        Eisenstein and Hu, astro-ph/9709112, eqs. 26 and 28 to 31.
        """
        matter, baryons = self.omega_m * self.h**2, self.omega_b * self.h**2
        share = self.omega_b / self.omega_m
        horizon = 44.5 * np.log(9.83 / matter) / np.sqrt(1 + 10 * baryons**0.75)  # [Mpc]
        alpha = 1 - 0.328 * np.log(431 * matter) * share + 0.38 * np.log(22.3 * matter) * share**2
        gamma = self.omega_m * self.h * (alpha + (1 - alpha) / (1 + (0.43 * k * self.h * horizon) ** 4))
        q = k * _CMB**2 / gamma
        logarithm = np.log(2 * np.e + 1.8 * q)
        return logarithm / (logarithm + (14.2 + 731 / (1 + 62.5 * q)) * q * q)

    def _shape(self, k: np.ndarray) -> np.ndarray:
        return k**self.n_s * self.transfer(k) ** 2

    def _deviation(self, radius: float) -> float:
        """Of a spectrum of amplitude one."""
        log_k = np.linspace(np.log(1e-4), np.log(1e2), 4001)
        k = np.exp(log_k)
        x = k * radius
        window = 3 * (np.sin(x) - x * np.cos(x)) / x**3
        return float(np.sqrt(simpson(k**3 * self._shape(k) * window**2 / (2 * np.pi**2), x=log_k)))

    @cached_property
    def _amplitude(self) -> float:
        return (self.sigma_8 / self._deviation(_RADIUS)) ** 2

    @cached_property
    def _growth(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Scale factors, D and f: D'' + (2 + dlnE/dlna) D' = 3/2 Omega_m(a) D, primes by ln a."""

        def slope(log_a: float, state: np.ndarray) -> list[float]:
            matter = self.matter(np.exp(log_a))
            return [state[1], 1.5 * matter * state[0] - (2 - 1.5 * matter) * state[1]]

        log_a = np.linspace(np.log(_FIRST), 0, 2000)
        start = [_FIRST, _FIRST]  # D = a
        growth, rate = solve_ivp(slope, (log_a[0], 0), start, t_eval=log_a, rtol=1e-8, atol=1e-12).y
        return np.exp(log_a), growth / growth[-1], rate / growth
