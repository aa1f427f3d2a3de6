"""The optimizers that the tests go through: every class, its rates, the variants of its kernel."""

from dataclasses import fields

from gradcore import _core, errors, optimizers
from oracle.optimizers import RATES, USUAL_RATES


def classes():
    """Of rules, not of wrappers around them."""
    found = [(name, getattr(optimizers, name)) for name in optimizers.__all__]
    return [name for name, kind in found if hasattr(kind, "styles") and kind is not optimizers.FirstOrder]


def class_of(name):
    """The class of a row of the engine's table."""
    return next(kind for kind in (getattr(optimizers, one) for one in classes()) if kind.name == name)


def rates(name):
    """Of a class: options, and rates that suit a quadratic, Rosenbrock's valley and digits."""
    return RATES.get(name, USUAL_RATES)


def variants(name):
    """(flags, numbers) of a row: as the class has them, with each of its flags changed, and with all."""
    kind = class_of(name)
    own = [item for item in fields(kind) if item.name not in ("decay_bias", "maximize", "groups")]
    base = {"lr": 0.01, **({"momentum": 0.9} if any(item.name == "momentum" for item in own) else {})}
    switches = [item.name for item in own if item.type == "bool"]
    keys, plain = (_core.describe("optimizer", name, "hyperparameters") or "").split(), kind(**base)
    changed = [{}, *({key: not getattr(plain, key)} for key in switches)]
    changed.append({key: value for change in changed for key, value in change.items()})
    found = []
    for change in changed:
        try:
            made = kind(**base, **change)
        except errors.GradcoreError:  # flags that exclude each other
            continue
        row = made.flags(), [_number(made, key) for key in keys]
        found += [row] if row not in found else []
    return found


def _number(made, key):
    """A hyperparameter by its name in the core: `beta1` is the first of `betas`."""
    betas = {f"beta{i + 1}": beta for i, beta in enumerate(getattr(made, "betas", ()))}
    value = betas.get(key, getattr(made, key, None))
    return 0.0 if value is None else float(value)
