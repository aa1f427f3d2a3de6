"""Labels that are texts: the same training as with their numbers, whatever holds them, and back as texts."""

import pickle

import numpy as np
import pytest
from gradcore import Dense, Heads, Network, Trainer, errors, losses, optimizers, pruning, search
from oracle import exact
from support import cases

ROWS = 60
NAMES = ("cat", "dog", "eel")
RNG = np.random.default_rng(5)
X = cases.normal((ROWS, 4), "float32", "x")
NUMBERS = RNG.permutation(np.arange(ROWS) % 3)
TEXTS = np.array(NAMES)[NUMBERS]


def make(loss="cross_entropy", outputs=3, **more):
    net = Network([Dense(5, "tanh"), Dense(outputs)], inputs=4, seed=1)
    return Trainer(net, loss, optimizers.Adam(0.05), **more)


def fit(trainer, x=X, y=TEXTS, **more):
    return trainer.fit(x, y, epochs=3, batch_size=16, progress=False, **more)


def pandas():
    return pytest.importorskip("pandas")


FORMS = {
    "array": lambda: TEXTS,
    "list": TEXTS.tolist,
    "tuple": lambda: tuple(TEXTS.tolist()),
    "objects": lambda: TEXTS.astype(object),
    "column": lambda: TEXTS.reshape(-1, 1),
    "nested list": TEXTS.reshape(-1, 1).tolist,
    "every second": lambda: np.repeat(TEXTS, 2)[::2],
    "variable width": lambda: TEXTS.astype(np.dtypes.StringDType()),
    "series": lambda: pandas().Series(TEXTS, index=range(7, 7 + ROWS)),
    "pandas' texts": lambda: pandas().Series(TEXTS, dtype="string"),
    "categorical": lambda: pandas().Categorical(TEXTS, categories=["eel", "yak", "dog", "cat"]),
    "categories": lambda: pandas().Series(TEXTS).astype("category"),
    "frame": lambda: pandas().DataFrame({"kind": TEXTS}),
    "polars": lambda: pytest.importorskip("polars").Series(TEXTS.tolist()),
    "polars' categories": lambda: (lambda pl: pl.Series(TEXTS.tolist(), dtype=pl.Categorical))(
        pytest.importorskip("polars")
    ),
    "arrow": lambda: pytest.importorskip("pyarrow").array(TEXTS.tolist()),
    "arrow's dictionary": lambda: pytest.importorskip("pyarrow").array(TEXTS.tolist()).dictionary_encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_texts_train_as_their_numbers(form):
    labels, trainer, other = FORMS[form](), make(), make()
    fit(trainer, y=labels, validation=(X, labels))
    fit(other, y=NUMBERS, validation=(X, NUMBERS))
    assert trainer.net.classes == NAMES
    assert other.net.classes is None
    assert trainer.history.loss == other.history.loss
    assert trainer.history.val_loss == other.history.val_loss
    assert trainer.evaluate(X, labels) == other.evaluate(X, NUMBERS)
    assert trainer.gradients(X, labels)[0] == other.gradients(X, NUMBERS)[0]
    assert trainer.step(X, labels) == other.step(X, NUMBERS)
    assert trainer.evaluate(X[:9], labels[:9]) == other.evaluate(X[:9], NUMBERS[:9]), "some of the classes"
    assert trainer.step(X, NUMBERS) == other.step(X, NUMBERS), "numbers are taken as they are"
    v = np.ones(trainer.net.elements, np.float32)
    got, want = (t.net.hvp(X, y, losses.CrossEntropy(), v) for t, y in ((trainer, labels), (other, NUMBERS)))
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "binary_focal", "hinge", "squared_hinge"])
def test_two_texts_are_no_and_yes_for_a_single_output(loss):
    yes = NUMBERS > 0
    texts = np.where(yes, "spam", "ham")
    trainer, other = make(loss, 1), make(loss, 1)
    fit(trainer, y=texts, class_weight={"spam": 3.0})
    fit(other, y=yes.astype(int), class_weight={1: 3.0})
    assert trainer.history.loss == other.history.loss
    assert trainer.net.classes == ("ham", "spam")
    predicted = trainer.net.predict(X, output="label")
    assert (predicted == np.where(other.net.predict(X)[:, 0] > 0, "spam", "ham")).all()
    with pytest.raises(errors.ArgumentError, match=r"expected 2 different labels, got 3: 'cat'"):
        fit(make(loss, 1))
    with pytest.raises(errors.DTypeError, match="expected real numbers"):
        fit(make("binary_cross_entropy", 3))  # an answer for each output, not one class


WEIGHTS = {
    "dict": ({"cat": 2.0, "eel": 0.5}, {0: 2.0, 2: 0.5}),
    "list": ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]),
    "array": (np.array([1, 2, 3]), [1.0, 2.0, 3.0]),
    "numbers": ({1: 4.0}, {1: 4.0}),
    "both": ({1: 4.0, "eel": 2.0}, {1: 4.0, 2: 2.0}),
    "balanced": ("balanced", "balanced"),
    "series": (lambda: pandas().Series({"dog": 3.0}), {1: 3.0}),
}


@pytest.mark.parametrize("kind", WEIGHTS)
def test_class_weights_by_texts(kind):
    by_text, by_number = WEIGHTS[kind]
    by_text = by_text() if callable(by_text) else by_text
    uneven, numbers = TEXTS[NUMBERS != 1], NUMBERS[NUMBERS != 1]
    x = np.concatenate([X, X[NUMBERS != 1]])
    uneven, numbers = np.concatenate([TEXTS, uneven]), np.concatenate([NUMBERS, numbers])
    trainer, other = make(), make()
    fit(trainer, x, uneven, class_weight=by_text, validation=0.2)
    fit(other, x, numbers, class_weight=by_number, validation=0.2)
    assert trainer.history.loss == other.history.loss
    assert trainer.history.loss != fit(make(), x, numbers, validation=0.2).loss
    if kind == "series":
        return
    of_loss = make(losses.CrossEntropy(class_weight=by_text))
    same = make(losses.CrossEntropy(class_weight=by_number))
    fit(of_loss, x, uneven)
    fit(same, x, numbers)
    assert of_loss.history.loss == same.history.loss
    assert of_loss.loss == same.loss, "it has the numbers now"
    if kind != "balanced":
        focal, plain = make(losses.Focal(alpha=by_text)), make(losses.Focal(alpha=by_number))
        assert focal.step(X, TEXTS) == plain.step(X, NUMBERS)
        assert focal.loss == plain.loss


def test_weights_by_text_wait_for_the_classes(tmp_path):
    loss = losses.CrossEntropy(class_weight={"eel": 3.0})
    assert eval(repr(loss), vars(losses)) == loss
    trainer = make(loss)
    for call in (lambda: trainer.evaluate(X, NUMBERS), lambda: trainer.step(X, NUMBERS)):
        with pytest.raises(errors.StateError, match=r"net\.classes .*'eel'"):
            call()
    assert trainer.steps == 0
    trainer.save(tmp_path / "t")
    for waiting in (trainer, Trainer.load(tmp_path / "t"), pickle.loads(pickle.dumps(trainer))):
        waiting.net.classes = ["cat", "eel", "dog"]
        want = make(losses.CrossEntropy(class_weight={1: 3.0})).evaluate(X, NUMBERS)
        assert waiting.evaluate(X, NUMBERS) == want
        assert waiting.loss.class_weight == ((1, 3.0),)
    with pytest.raises(errors.ShapeError, match="at most 3 classes"):
        make(losses.CrossEntropy(class_weight=dict.fromkeys("abcd", 1.0)))


def test_heads_have_classes_of_their_own(tmp_path):
    def of(loss):
        net = Network([Dense(4, "tanh"), Heads({"kind": Dense(3), "yes": Dense(1), "size": Dense(1)})], 4)
        return Trainer(net, loss, optimizers.Adam(0.05))

    size = X[:, 0]
    texts = {"kind": TEXTS, "yes": np.where(NUMBERS == 2, "on", "off"), "size": size}
    numbers = {"kind": NUMBERS, "yes": (NUMBERS == 2).astype(int), "size": size}
    weighted = {"yes": "binary_cross_entropy", "size": "mse"}
    trainer = of({"kind": losses.CrossEntropy(class_weight={"eel": 2.0}), **weighted})
    other = of({"kind": losses.CrossEntropy(class_weight={2: 2.0}), **weighted})
    fit(trainer, y=texts, class_weight={"yes": {"on": 3.0}}, validation=0.25)
    fit(other, y=numbers, class_weight={"yes": {1: 3.0}}, validation=0.25)
    assert trainer.history.loss == other.history.loss
    assert trainer.evaluate(X, texts) == other.evaluate(X, numbers)
    assert trainer.net.classes == {"kind": NAMES, "yes": ("off", "on")}
    kinds = {"kind": "label", "yes": "label"}
    found, classes = (t.net.predict(X, output=o) for t, o in ((trainer, kinds), (other, "class")))
    assert (found["kind"] == np.array(NAMES)[classes["kind"]]).all()
    assert (found["yes"] == np.array(["off", "on"])[classes["yes"]]).all()
    with pytest.raises(errors.StateError, match=r"net\.classes"):
        trainer.net.predict(X, output="label")  # `size` has none
    trainer.net.save(tmp_path / "net")
    assert Network.load(tmp_path / "net").classes == trainer.net.classes
    with pytest.raises(errors.ArgumentError, match=r"^y\['yes'\]: expected one of the labels 'off', 'on'"):
        trainer.evaluate(X, {**texts, "yes": np.full(ROWS, "of")})


def test_classes_travel_with_files_and_copies(tmp_path):
    trainer = make()
    fit(trainer)
    net = trainer.net
    net.save(tmp_path / "net")
    trainer.save(tmp_path / "trainer")
    for other in (
        Network.load(tmp_path / "net"),
        Network.load(tmp_path / "trainer"),
        Trainer.load(tmp_path / "trainer").net,
        net.clone(),
        net.fold_batchnorm(),
        pruning.compact(net),
        pickle.loads(pickle.dumps(net)),
        pickle.loads(pickle.dumps(trainer)).net,
    ):
        assert other.classes == NAMES
        assert (other.predict(X, output="label") == np.array(NAMES)[net.predict(X, output="class")]).all()
    score = Trainer(net, "cross_entropy", optimizers.SGD(0.1)).evaluate(X, TEXTS)
    assert score == trainer.evaluate(X, TEXTS)
    assert (net.predict(X, output="label") == TEXTS).mean() == pytest.approx(score["accuracy"])


def test_a_fit_goes_on_with_texts(tmp_path):
    class Stop:
        def on_epoch_end(self, trainer, row):
            if row["epoch"] == 2:
                trainer.save(tmp_path / "middle")

    trainer = make()
    fit(trainer, callbacks=[Stop()])
    again = Trainer.load(tmp_path / "middle")
    fit(again)
    assert again.history.loss == trainer.history.loss
    assert exact.same_bits(again.net.predict(X), trainer.net.predict(X))


def test_a_first_step_learns_classes_and_one_that_fails_does_not():
    trainer = make(losses.CrossEntropy(class_weight={"eel": 2.0}))
    with pytest.raises(errors.ArgumentError, match=r"expected 3 different labels.* got 2: 'cat', 'dog'; net"):
        trainer.step(X[NUMBERS < 2], TEXTS[NUMBERS < 2])
    assert trainer.net.classes is None
    strict = make(losses.CrossEntropy(class_weight={"eel": 2.0}), nonfinite="raise")
    with pytest.raises(errors.NonFiniteError):
        strict.step(np.full((3, 4), np.nan), ["x", "eel", "y"])
    assert strict.net.classes is None
    assert strict.loss.class_weight == (("eel", 2.0),)
    for one in (trainer, strict):
        other = make(losses.CrossEntropy(class_weight={2: 2.0}))
        assert one.step(X, TEXTS) == other.step(X, NUMBERS)
        assert one.net.classes == NAMES
    assert trainer.step(X[NUMBERS < 2], TEXTS[NUMBERS < 2]) > 0


def test_classes_set_beforehand_decide_the_order():
    trainer, other = make(outputs=4), make(outputs=4)
    trainer.net.classes = ["yak", "eel", "dog", "cat"]
    fit(trainer)
    fit(other, y=3 - NUMBERS)
    assert trainer.history.loss == other.history.loss
    trainer.net.classes = None
    with pytest.raises(
        errors.ArgumentError, match=r"expected 4 different labels, one for each output, got 3"
    ):
        fit(trainer)


def test_a_label_that_is_missing_counts_only_with_weight_0():
    labels = TEXTS.astype(object)
    labels[[3, 8, 20]] = None, np.nan, np.float32("nan")
    weight = np.ones(ROWS)
    weight[[3, 8, 20]] = 0
    numbers = NUMBERS.astype(float)
    numbers[[3, 8, 20]] = np.nan
    trainer, other = make(), make()
    fit(trainer, y=labels, sample_weight=weight, class_weight="balanced")
    fit(other, y=numbers, sample_weight=weight, class_weight="balanced")
    assert trainer.history.loss == other.history.loss
    assert trainer.net.classes == NAMES
    with pytest.raises(errors.ArgumentError, match=r"^y: .* got nan at \[3\]"):
        fit(trainer, y=labels)
    marked = pandas().Series(labels, dtype="string")
    assert trainer.evaluate(X, marked, weight) == other.evaluate(X, numbers, weight)


A, D, S = errors.ArgumentError, errors.DTypeError, errors.ShapeError
REFUSED = {
    "unknown": (lambda t: t.evaluate(X, np.where(NUMBERS == 1, "ox", TEXTS)), A, r"'eel' that .* 'ox' at \["),
    "case": (lambda t: t.step(X, np.char.upper(TEXTS)), A, "got '[A-Z]{3}' at"),
    "in validation": (lambda t: fit(t, validation=(X, np.full(ROWS, "ox"))), A, "^validation y: .*'ox' at"),
    "numbers among them": (lambda t: t.evaluate(X[:3], ["cat", 1, "dog"]), D, r"got 1 at \[1\]"),
    "texts among numbers": (lambda t: t.evaluate(X[:3], [1, "cat", 0]), D, "expected real numbers"),
    "bytes": (lambda t: t.evaluate(X, TEXTS.astype("S")), D, "expected real numbers"),
    "one-hot texts": (lambda t: t.evaluate(X, np.tile(TEXTS[:, None], 3)), D, "expected real numbers"),
    "too few": (lambda t: t.evaluate(X, TEXTS[:5]), S, r"\(60,\), got \(5,\)"),
    "regression": (lambda t: make("mse", 1).fit(X, TEXTS, 1), D, "numpy.unique"),
    "weight of none": (lambda t: fit(t, class_weight={"ox": 1.0}), A, "'dog', 'eel', got 'ox'"),
    "weight twice": (lambda t: fit(t, class_weight={"dog": 1.0, 1: 2.0}), A, "got 'dog' and its number 1"),
    "weight without texts": (lambda t: fit(make(), y=NUMBERS, class_weight={"dog": 1.0}), A, "net.classes"),
    "surrogates": (lambda t: fit(make(), y=np.where(NUMBERS == 1, "\ud800", TEXTS)), A, "a file can hold"),
    "classes: text": (lambda t: setattr(t.net, "classes", "abc"), D, "list of texts"),
    "classes: number": (lambda t: setattr(t.net, "classes", [1, "b", "c"]), D, r"classes\[0\]: .* got 1"),
    "classes: two": (lambda t: setattr(t.net, "classes", ["b", "c"]), S, "3 texts, one for each .*, got 2"),
    "classes: twice": (lambda t: setattr(t.net, "classes", ["b", "c", "b"]), A, "'b' twice"),
    "classes: set": (lambda t: setattr(t.net, "classes", {"b", "c", "a"}), D, "list of texts"),
    "label": (lambda t: make().net.predict(X, output="label"), errors.StateError, r"net\.classes"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_label_is_refused(case):
    call, error, message = REFUSED[case]
    trainer = make()
    fit(trainer)
    before = trainer.net.predict(X), trainer.steps
    with pytest.raises(error, match=message):
        call(trainer)
    assert trainer.net.classes == NAMES
    assert exact.same_bits(trainer.net.predict(X), before[0])
    assert trainer.steps == before[1]


def test_searches_and_full_batch_methods_take_texts():
    options = {"steps": 20, "batch_size": 16, "repeats": 1, "class_weight": "balanced"}
    loss = losses.CrossEntropy(label_smoothing=0.1)
    texts, numbers = (search.range_test(make().net, X, y, loss=loss, **options) for y in (TEXTS, NUMBERS))
    assert np.array_equal(texts.losses, numbers.losses)
    newton = Trainer(Network([Dense(3)], inputs=4, seed=1), "cross_entropy", optimizers.LBFGS())
    newton.fit(X, TEXTS, epochs=3)
    assert newton.net.classes == NAMES
