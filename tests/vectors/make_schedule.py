"""Writes vectors/schedules.npz: schedules of PyTorch 2.13 and optax 0.2.8 at 1,000 steps in float64.

python -m tests.vectors schedule
"""

from pathlib import Path

import numpy as np

STEPS = 1000
PATH = Path(__file__).parent / "schedules.npz"

# name: (the engine's schedule as an expression, the peer's: "torch" class and options for a rate of 0.3, or
# "optax" function and arguments). Lengths divide 1,000 or not, so that boundary steps of both kinds are seen.
PEERS = {
    "step": ("Step(0.3, 70, 0.5)", "torch", "StepLR", {"step_size": 70, "gamma": 0.5}),
    "multi_step": ("MultiStep(0.3, [100, 101, 999], 0.3)", "torch", "MultiStepLR",
                   {"milestones": [100, 101, 999], "gamma": 0.3}),
    "piecewise": ("Piecewise([250, 600], [0.3, 0.03, 0.06])", "optax", "piecewise_constant_schedule",
                  (0.3, {250: 0.1, 600: 2.0})),
    "piecewise_linear": ("Piecewise([250, 600], [0.3, 0.03, 0.06], 'linear')", "optax",
                         "piecewise_interpolate_schedule", ("linear", 0.3, {250: 0.1, 600: 2.0})),
    "piecewise_cosine": ("Piecewise([250, 600], [0.3, 0.03, 0.06], 'cosine')", "optax",
                         "piecewise_interpolate_schedule", ("cosine", 0.3, {250: 0.1, 600: 2.0})),
    "exponential": ("Exponential(0.3, 0.8, 33)", "optax", "exponential_decay", (0.3, 33, 0.8)),
    "exponential_staircase": ("Exponential(0.3, 0.8, 33, True, 40, 0.05)", "optax", "exponential_decay",
                              (0.3, 33, 0.8, 40, True, 0.05)),
    "exponential_up": ("Exponential(1e-5, 10.0, 100, begin=7, end_value=0.1)", "optax", "exponential_decay",
                       (1e-5, 100, 10.0, 7, False, 0.1)),
    "exponential_torch": ("Exponential(0.3, 0.99, 1)", "torch", "ExponentialLR", {"gamma": 0.99}),
    "linear": ("Linear(0.3, 0.01, 333, 50)", "optax", "linear_schedule", (0.3, 0.01, 333, 50)),
    "linear_up": ("Linear(0.1, 0.3, 5)", "torch", "LinearLR", {"start_factor": 1 / 3, "total_iters": 5}),
    "polynomial": ("Polynomial(0.3, 0.02, 400, 2.5, begin=30)", "optax", "polynomial_schedule",
                   (0.3, 0.02, 2.5, 400, 30)),
    "polynomial_torch": ("Polynomial(0.3, 0.0, 500, 1.5)", "torch", "PolynomialLR",
                         {"total_iters": 500, "power": 1.5}),
    "cosine": ("Cosine(0.3, 640, 0.03)", "optax", "cosine_decay_schedule", (0.3, 640, 0.1)),
    "warm_restarts": ("WarmRestarts(0.3, 90, 0.01)", "torch", "CosineAnnealingWarmRestarts",
                      {"T_0": 90, "eta_min": 0.01}),
    "warm_restarts_longer": ("WarmRestarts(0.3, 9, 0.01, multiplier=2)", "torch",
                             "CosineAnnealingWarmRestarts", {"T_0": 9, "T_mult": 2, "eta_min": 0.01}),
    "one_cycle": ("OneCycle(0.3, 1000)", "torch", "OneCycleLR", {"max_lr": 0.3, "total_steps": 1000}),
    "one_cycle_linear": ("OneCycle(0.3, 1000, 0.123, 10.0, 100.0, 'linear')", "torch", "OneCycleLR",
                         {"max_lr": 0.3, "total_steps": 1000, "pct_start": 0.123, "div_factor": 10.0,
                          "final_div_factor": 100.0, "anneal_strategy": "linear"}),
    "one_cycle_three": ("OneCycle(0.3, 1000, 0.25, three_phases=True)", "torch", "OneCycleLR",
                        {"max_lr": 0.3, "total_steps": 1000, "pct_start": 0.25, "three_phase": True}),
    "cyclic": ("Cyclic(0.05, 0.3, 40, 60)", "torch", "CyclicLR",
               {"base_lr": 0.05, "max_lr": 0.3, "step_size_up": 40, "step_size_down": 60}),
    "cyclic_half": ("Cyclic(0.05, 0.3, 45, mode='triangular2')", "torch", "CyclicLR",
                    {"base_lr": 0.05, "max_lr": 0.3, "step_size_up": 45, "mode": "triangular2"}),
    "cyclic_exp": ("Cyclic(0.05, 0.3, 30, 7, 'exp_range', 0.995)", "torch", "CyclicLR",
                   {"base_lr": 0.05, "max_lr": 0.3, "step_size_up": 30, "step_size_down": 7,
                    "mode": "exp_range", "gamma": 0.995}),
    "warmup_cosine": ("Warmup(Cosine(0.3, 700, 0.003), 100, 0.01)", "optax", "warmup_cosine_decay_schedule",
                      (0.01, 0.3, 100, 800, 0.003)),
    "join": ("Join([Linear(0, 1, 50), 0.5, Cosine(0.5, 300)], [50, 200])", "optax", "join_schedules",
             ("linear_schedule(0.0, 1.0, 50)", "constant_schedule(0.5)", "cosine_decay_schedule(0.5, 300)")),
}  # fmt: skip
# The momentum of PyTorch's own cycle: (its options, the engine's).
MOMENTUM = {
    "one_cycle_momentum": ("OneCycle(0.3, 1000).momentum()", {}),
    "one_cycle_momentum_three": (
        "OneCycle(0.3, 1000, 0.25, three_phases=True).momentum(0.9, 0.7)",
        {"pct_start": 0.25, "three_phase": True, "max_momentum": 0.9, "base_momentum": 0.7},
    ),
}
EPOCHS = 400
PLATEAUS = {
    "plateau": ("ReduceOnPlateau(0.3, 0.7, 3)", {"factor": 0.7, "patience": 3}),
    "plateau_cooldown": (
        "ReduceOnPlateau(0.3, 0.5, 2, cooldown=4, threshold=0.02, lowest=0.001)",
        {"factor": 0.5, "patience": 2, "cooldown": 4, "threshold": 0.02, "min_lr": 0.001},
    ),
    "plateau_absolute": (
        "ReduceOnPlateau(0.3, 0.9, 0, threshold=0.01, relative=False)",
        {"factor": 0.9, "patience": 0, "threshold": 0.01, "threshold_mode": "abs"},
    ),
    "plateau_rising": (
        "ReduceOnPlateau(0.3, 0.8, 2, monitor='accuracy')",
        {"factor": 0.8, "patience": 2, "mode": "max"},
    ),
    "plateau_optax": (
        "ReduceOnPlateau(0.3, 0.8, 3, cooldown=2, style='optax')",
        {"factor": 0.8, "patience": 3, "cooldown": 2},
    ),
}


def metrics():
    """A noisy metric that falls ever more slowly, with an infinity and a NaN."""
    rng = np.random.default_rng(20260103)
    out = 1.0 / (1.0 + 0.02 * np.arange(EPOCHS)) + 0.02 * rng.standard_normal(EPOCHS) + 0.2
    out[0], out[17], out[60] = np.inf, np.nan, np.inf
    return out


def torch_rates(torch, kind, options, key="lr"):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3, momentum=0.9)
    scheduler = getattr(torch.optim.lr_scheduler, kind)(optimizer, **options)
    rates = []
    for step in range(STEPS):
        rates.append(optimizer.param_groups[0][key])
        if step + 1 < STEPS:
            optimizer.step()
            scheduler.step()
    return rates


def optax_rates(jax, optax, kind, arguments):
    if kind == "join_schedules":
        schedule = optax.join_schedules([eval(text, vars(optax)) for text in arguments], [50, 200])
    else:
        schedule = getattr(optax, kind)(*arguments)
    return jax.vmap(schedule)(jax.numpy.arange(STEPS, dtype=jax.numpy.float64))


def plateau_rates(torch, jnp, optax, name, options):
    """The rate of every epoch, after its metric was seen."""
    rates, values = [], metrics()
    if name.endswith("optax"):
        rule = optax.contrib.reduce_on_plateau(**options)
        state = rule.init(jnp.zeros(1))
        for value in values:
            _, state = rule.update(jnp.zeros(1), state, value=jnp.asarray(value))
            rates.append(0.3 * float(state.scale))
        return rates
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **options)
    for value in -values if options.get("mode") == "max" else values:
        scheduler.step(float(value))
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


def main():
    import warnings

    import jax

    jax.config.update("jax_enable_x64", True)
    warnings.simplefilter("ignore")
    import jax.numpy as jnp
    import optax
    import optax.contrib
    import torch

    vectors = {}
    for name, (_, peer, kind, options) in PEERS.items():
        if peer == "torch":
            alone = {"cycle_momentum": False} if kind in ("OneCycleLR", "CyclicLR") else {}
            vectors[name] = np.array(torch_rates(torch, kind, {**alone, **options}))
        else:
            vectors[name] = np.array(optax_rates(jax, optax, kind, options))
    for name, (_, options) in MOMENTUM.items():
        cycle = {"max_lr": 0.3, "total_steps": STEPS, **options}
        vectors[name] = np.array(torch_rates(torch, "OneCycleLR", cycle, "momentum"))
    for name, (_, options) in PLATEAUS.items():
        vectors[name] = np.array(plateau_rates(torch, jnp, optax, name, options))
    assert all(value.dtype == np.float64 for value in vectors.values())
    np.savez_compressed(PATH, torch_version=torch.__version__.split("+")[0], **vectors)
    print(f"{PATH}: {len(vectors)} schedules, {PATH.stat().st_size} bytes, torch {torch.__version__}")
