"""Make ``jetnet_reference.npz``: what the jetnet library answers on fixed toy jets.

Run in an environment of its own (jetnet 0.2.5, energyflow 1.4.0, numpy 1.26), from this folder:
``python make_jetnet_reference.py``. The library draws from an unseeded generator; it is seeded here.
"""

import warnings
from pathlib import Path

import numpy as np

SEED, N_JETS, N_PARTICLES = 42, 120, 12


def toy_jets(rng, spread):
    """Zero-padded (eta, phi, pt) with pt summing to one; no physics in them."""
    jets = rng.normal(0, spread, (N_JETS, N_PARTICLES, 3))
    jets[..., 2] = rng.exponential(1.0, jets.shape[:2]) * (
        np.arange(N_PARTICLES) < rng.integers(3, N_PARTICLES + 1, (N_JETS, 1))
    )
    jets[..., :2] *= jets[..., 2:] > 0
    jets[..., 2] /= jets[..., 2].sum(axis=1, keepdims=True)
    return jets


def seeded(gen_metrics, function, *arguments, **options):
    gen_metrics.rng = np.random.default_rng(SEED)
    return np.array(function(*arguments, **options))


def main():
    from energyflow.emd import emds
    from jetnet import utils
    from jetnet.evaluation import gen_metrics

    warnings.simplefilter("ignore")
    rng = np.random.default_rng(7)
    real, made = toy_jets(rng, 0.10), toy_jets(rng, 0.12)
    efps = [
        utils.efps(jets, efpset_args=[("n==", 4), ("d==", 4), ("p==", 1)], efp_jobs=1)
        for jets in (real, made)
    ]
    features = [gen_metrics.get_fpd_kpd_jet_features(jets, efp_jobs=1) for jets in (real, made)]
    answers = {
        "w1m": seeded(gen_metrics, gen_metrics.w1m, real, made, num_eval_samples=N_JETS),
        "w1p": seeded(gen_metrics, gen_metrics.w1p, real, made, num_eval_samples=N_JETS),
        "w1efp": seeded(gen_metrics, gen_metrics.w1efp, real, made, num_eval_samples=N_JETS, efp_jobs=1),
        "fpd": np.array(gen_metrics.fpd(*features, min_samples=48, max_samples=N_JETS)),
        "kpd": np.array(gen_metrics.kpd(*features, batch_size=N_JETS)),
        "cov_mmd": seeded(
            gen_metrics, gen_metrics.cov_mmd, real, made, num_eval_samples=40, num_batches=3, use_tqdm=False
        ),
        "emds": emds(made[:20][..., [2, 0, 1]], real[:20][..., [2, 0, 1]]),
    }
    inputs = {"real": real, "made": made}
    inputs |= {"mass_real": utils.jet_features(real)["mass"], "mass_made": utils.jet_features(made)["mass"]}
    inputs |= {"efps_real": efps[0], "efps_made": efps[1]}
    inputs |= {"features_real": features[0], "features_made": features[1]}
    np.savez_compressed(Path(__file__).parent / "jetnet_reference.npz", **inputs, **answers)


if __name__ == "__main__":
    main()
