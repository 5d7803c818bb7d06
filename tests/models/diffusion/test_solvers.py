"""Explicit Runge-Kutta steps: order of convergence, errors."""

import math

import pytest
import torch
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.models.diffusion import SOLVERS, integrate


def error(method, n_steps):
    """dx/dt = x cos(t) from t = 0 to 2, against exp(sin 2)."""
    start = torch.tensor(1.0, dtype=torch.float64)
    times = [2 * i / n_steps for i in range(n_steps + 1)]
    found = integrate(lambda x, t: x * math.cos(t), start, times, method=method)
    return abs(found.item() - math.exp(math.sin(2)))


@pytest.mark.parametrize("method", SOLVERS)
def test_error_falls_with_the_order_of_the_method(method):
    ratio = error(method, 40) / error(method, 80)
    assert ratio == pytest.approx(2 ** SOLVERS[method].order, rel=0.25)


def test_backwards_is_the_inverse():
    start, times = torch.randn(3, dtype=torch.float64), [i / 50 for i in range(51)]
    there = integrate(lambda x, t: torch.sin(x + t), start, times, method="rk4")
    back = integrate(lambda x, t: torch.sin(x + t), there, times[::-1], method="rk4")
    torch.testing.assert_close(back, start, rtol=0, atol=1e-7)


def test_unknown_solvers_and_empty_grids_are_errors():
    with pytest.raises(ConfigError, match="did you mean 'heun'"):
        integrate(lambda x, t: x, torch.zeros(1), [0, 1], method="huen")
    with pytest.raises(ConfigError, match="no step"):
        integrate(lambda x, t: x, torch.zeros(1), [0])
