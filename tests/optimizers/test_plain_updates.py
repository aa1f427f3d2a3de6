"""`Optimizer.update` of the same arrays again and again, which the binding does without a look at names.

Strided arrays take the other way; both have to give the same bits.
"""

import copy
import functools
import pickle

import numpy as np
import pytest
from gradcore import errors, optimizers

NAMES = sorted(
    name
    for name in optimizers.__all__
    if isinstance(getattr(optimizers, name), type)
    and issubclass(getattr(optimizers, name), optimizers.FirstOrder)
    and not getattr(optimizers, name).__dict__.get("abstract", False)
)


def arrays(dtype, seed=0):
    rng = np.random.default_rng(seed)
    return {"weight": rng.normal(size=(5, 7)).astype(dtype), "bias": rng.normal(size=7).astype(dtype)}


def strided(values):
    """Equal ones that are not contiguous."""
    made = {}
    for key, value in values.items():
        made[key] = np.zeros((*value.shape, 2), value.dtype)[..., 0]
        made[key][...] = value
    return made


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_it_has_the_bits_of_strided_arrays(name, dtype):
    kind = functools.partial(getattr(optimizers, name), lr=0.01)
    plain, other, listed = kind(), kind(), kind()
    w = arrays(dtype)
    v, u = strided(w), list(arrays(dtype).values())
    for step in range(6):
        g = arrays(dtype, step + 1)
        plain.update(w, g)
        other.update(v, strided(g))
        listed.update(u, list(g.values()))
        for i, key in enumerate(w):
            assert w[key].tobytes() == v[key].tobytes() == u[i].tobytes(), (key, step)


def test_arrays_may_be_others_of_the_same_shape():
    once, again = optimizers.Adam(0.1), optimizers.Adam(0.1)
    w = arrays("float64")
    u = arrays("float64")
    for step in range(4):
        g = arrays("float64", step)
        once.update(w, g)
        moved = {key: value.copy() for key, value in reversed(u.items())}  # other memory, other order
        again.update(moved, {key: value.copy() for key, value in g.items()})
        u = {key: moved[key] for key in u}
    assert all(np.array_equal(w[key], u[key]) for key in w)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (lambda w, g: (w[:1], g), errors.ArgumentError, "expected one gradient for each"),
        (lambda w, g: (w, g[:1]), errors.ArgumentError, "expected one gradient for each"),
        (lambda w, g: (w, [g[0], g[1][:3]]), errors.ShapeError, r"grads\[1\]: expected shape \(7,\)"),
        (lambda w, g: (w, [g[0], g[1].astype("f4")]), errors.DTypeError, r"grads\[1\]: expected float64"),
        (lambda w, g: ([w[0], w[1][:3]], [g[0], g[1][:3]]), errors.ShapeError, "call reset"),
        (lambda w, g: ([w[0].T, w[1]], [g[0].T, g[1]]), errors.ShapeError, "call reset"),
        (lambda w, g: ([w[0][None], w[1]], [g[0][None], g[1]]), errors.ShapeError, "call reset"),
        (lambda w, g: ([w[0], w[1].newbyteorder()], g), errors.DTypeError, "native byte order")
        if hasattr(np.ndarray, "newbyteorder")
        else (lambda w, g: ([w[0], w[1].astype(">f8")], g), errors.DTypeError, "native byte order"),
        (lambda w, g: ([w[0], list(w[1])], g), errors.DTypeError, r"params\[1\]: expected a NumPy array"),
        (lambda w, g: ([w[0], None], g), errors.DTypeError, r"params\[1\]"),
        (lambda w, g: (dict(enumerate(w)), g), errors.DTypeError, "expected a dict"),
        (lambda w, g: (w, None), errors.DTypeError, "grads: expected a list"),
        (lambda w, g: (None, g), errors.DTypeError, "params: expected a list"),
    ],
)
def test_what_is_not_as_before_is_refused_and_changes_nothing(change, error, text):
    rule, fresh = optimizers.Adam(0.1), optimizers.Adam(0.1)
    w, g = list(arrays("float64").values()), list(arrays("float64", 1).values())
    u = [value.copy() for value in w]
    for one, values in ((rule, w), (fresh, u)):
        one.update(values, g)
        one.update(values, g)
    with pytest.raises(error, match=text):
        rule.update(*change(w, g))
    rule.update(w, g)
    fresh.update(u, g)
    assert all(np.array_equal(a, b) for a, b in zip(w, u, strict=True))


def test_read_only_arrays_are_refused():
    rule, w, g = optimizers.SGD(0.1), np.ones(3), np.ones(3)
    rule.update([w], [g])
    before = w.copy()
    w.flags.writeable = g.flags.writeable = False
    with pytest.raises(errors.ArgumentError, match="writable"):
        rule.update([w], [g])
    assert np.array_equal(w, before)
    w.flags.writeable = True
    rule.update([w], [g])  # gradients are only read
    assert np.allclose(w, before - 0.1)


def test_a_schedule_is_asked_once_an_update():
    asked = []

    def rate(step):
        asked.append(step)
        return 0.1 / (step + 1)

    rule, w = optimizers.SGD(rate), np.zeros(2)
    for _ in range(3):
        rule.update([w], [np.ones(2)])
    rule.update((w,), (np.ones(2),))  # a tuple takes the other way
    assert asked == [0, 1, 2, 3]
    assert np.allclose(w, -0.1 * (1 + 1 / 2 + 1 / 3 + 1 / 4))


def test_settings_of_groups_stay():
    rule = optimizers.SGD(0.1, groups=[("bias", {"lr_factor": 10.0})])
    frozen = optimizers.SGD(0.1, groups=[("bias", {"frozen": True})])
    for one, factor in ((rule, 10), (frozen, 0)):
        w = {"weight": np.zeros(2), "bias": np.zeros(2)}
        for _ in range(3):
            one.update(w, {"weight": np.ones(2), "bias": np.ones(2)})
        assert np.allclose(w["weight"], -0.3)
        assert np.allclose(w["bias"], -0.3 * factor)


def test_empty_arrays_and_no_arrays():
    rule = optimizers.SGD(0.1)
    for _ in range(3):
        rule.update([], [])
    rule = optimizers.SGD(0.1)
    w = np.ones(2)
    for _ in range(3):
        rule.update([np.empty(0), w], [np.empty(0), np.ones(2)])
    assert np.allclose(w, 0.7)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda rule: pickle.loads(pickle.dumps(rule))])
def test_copies_have_a_state_of_their_own(copied):
    rule, w, g = optimizers.Adam(0.1), np.ones(4), np.arange(4.0)
    for _ in range(3):
        rule.update([w], [g])
    other, u = copied(rule), w.copy()
    for _ in range(3):
        rule.update([w], [g])
    for _ in range(3):
        other.update([u], [g])
    assert np.array_equal(w, u)


def test_averages_take_every_update():
    rule, w = optimizers.EMA(optimizers.SGD(0.1), decay=0.5), np.zeros(1)
    rule.update([w], [np.ones(1)])
    mean = w[0]
    for _ in range(3):
        rule.update([w], [np.ones(1)])
        mean = 0.5 * mean + 0.5 * w[0]
    assert np.allclose(rule.averaged([w])[0], mean)


@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("nesterov", [False, True])
def test_what_is_no_matrix_for_muon_takes_adamw_or_nadamw(nesterov, corrected):
    rng = np.random.default_rng(3)
    w, eps, beta1, beta2 = rng.normal(size=9), 1e-6, 0.8, 0.97
    options = {"nesterov": nesterov, "corrected": corrected, "weight_decay": 0.0}
    muon = optimizers.Muon(0.1, adam_lr=0.03, betas=(beta1, beta2), eps=eps, **options)
    expected, m, v = w.copy(), np.zeros(9), np.zeros(9)
    for t in range(1, 7):
        g = rng.normal(size=9)
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
        step = m / (1 - beta1**t)
        if nesterov and corrected:  # Dozat 2016, with a constant momentum
            step = beta1 * m / (1 - beta1 ** (t + 1)) + (1 - beta1) * g / (1 - beta1**t)
        expected -= 0.03 * step / (np.sqrt(v / (1 - beta2**t)) + eps)
        muon.update([w], [g])
        np.testing.assert_allclose(w, expected, rtol=1e-12)


def test_a_schedule_may_update_and_change_the_list():
    w, u, g = [np.zeros(4)], [np.zeros(4)], [np.ones(4)]
    inner = []

    def rate(step):
        if inner:
            inner.pop()
            rule.update(u, [np.full(4, 2.0)])
            w.clear()  # what is at work is held
        return 0.5

    rule = optimizers.SGD(rate)
    kept = w[0]
    rule.update(w, g)
    inner.append(1)
    rule.update(w, g)
    assert np.allclose(kept, -1.0)
    assert np.allclose(u[0], -1.0)
