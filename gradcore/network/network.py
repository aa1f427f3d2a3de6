"""Networks: layers compiled for one input width, with their parameters."""

from __future__ import annotations

import copy
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .. import _core
from ..errors import ArgumentError, DTypeError, FormatError, ShapeError, StateError
from ..layers import embedding, heads
from ..layers.base import Layer, check_layers
from ..layers.dense import Dense
from ..layers.rates import rates_of
from ..layers.standardize import Standardize
from ..schedules.rows import Hypers
from ..validation import class_names
from ..validation.arrays import Array, as_array, as_dtype, as_matrix, as_weights, check_finite
from ..validation.checks import choice, dtype_name, flag, integer
from ..validation.frames import Label
from . import effective, files, inputs, outputs, scaling
from .curvature_methods import CurvatureProducts
from .describe import build, check_weights, describe
from .penalties import schedule_penalties, set_strengths
from .sharing import Turns

if TYPE_CHECKING:
    from ..training.trainer import Trainer

__all__ = ["Network"]

_UINT64 = 2**64 - 1


class Network(CurvatureProducts):
    """A dense network: a list of layers with parameters, for inputs of a fixed number of columns.

    Parameters
    ----------
    layers : sequence of Layer
    inputs : int
        Columns of X.
    seed : int, default 0
        Of the initial parameters, and of the dropout masks of `forward`.
    dtype : {"float32", "float64"}, default "float32"
        Of parameters and of all arithmetic.
    threads : int, optional
        Default: GRADCORE_NUM_THREADS, else what the machine allows; bits do not depend on it.
    isa : str, optional
        Instruction set, one of ``gradcore.names("isa")``; bits do not depend on it.
    flush_denormals : bool, default False
        Take denormal numbers as zero, which is faster where there are many and changes bits.

    Examples
    --------
    >>> import numpy as np
    >>> from gradcore import Dense, Network
    >>> net = Network([Dense(8, "relu"), Dense(3)], inputs=4, seed=1)
    >>> net.predict(np.zeros((2, 4))).shape
    (2, 3)
    >>> list(net.parameters())
    ['0.weight', '0.bias', '1.weight', '1.bias']
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        inputs: int,
        *,
        seed: int = 0,
        dtype: DTypeLike = "float32",
        threads: int | None = None,
        isa: str | None = None,
        flush_denormals: bool = False,
    ) -> None:
        self._setup(layers, inputs, seed, dtype, threads, isa, flush_denormals)
        self._core.write(self._initial_values())

    def _setup(
        self,
        layers: Sequence[Layer],
        inputs: int,
        seed: int,
        dtype: DTypeLike,
        threads: int | None,
        isa: str | None,
        flush_denormals: bool,
    ) -> None:
        self._layers = check_layers(layers, "layers")
        self._seed = integer(seed, "seed", 0, _UINT64)
        self._threads = None if threads is None else integer(threads, "threads", 1, 2**31 - 1)
        self._isa = None if isa is None else choice(isa, "isa", _core.names("isa"))
        self._flush_denormals = flag(flush_denormals, "flush_denormals")
        width = inputs = integer(inputs, "inputs", 1)
        heads.check_position(self._layers)
        embedding.check_position(self._layers)
        self._widths = []
        for index, layer in enumerate(self._layers):
            width = layer.width_after(width, str(index))
            self._widths.append(width)
        self._core = _core.CoreNetwork(
            [spec for layer in self._layers for spec in layer.specs()],
            inputs,
            dtype=dtype_name(dtype),
            threads=self._threads or 0,
            isa=self._isa,
            flush_denormals=self._flush_denormals,
        )
        self._places = dict(place for i, layer in enumerate(self._layers) for place in layer.walk(str(i)))
        self._scheduled = rates_of(self._places.items())
        self._info = self._core.parameters
        self._inputs, self._dtype = self._core.inputs, self._core.dtype
        self._heads = self._core.heads
        self._index = {info["name"]: i for i, info in enumerate(self._info)}
        penalized = {
            self._index[f"{position}.weight"]: (position, layer.penalty)
            for position, layer in self._places.items()
            if isinstance(layer, Dense) and layer.penalty is not None
        }
        self._penalized = bool(penalized)
        self._strengths = schedule_penalties(self._core, penalized, self._scheduled)
        if self._strengths:
            first = Hypers(self._scheduled, len(self._scheduled)).row(0)
            set_strengths(self._core, self._strengths, first)
        self._standardized = not isinstance(self._layers[0], Standardize)
        self._centre: NDArray[np.float64] | None = None  # see scaling.py; 0 where a column has none
        self._tables = embedding.tables(self._layers)
        self._direct = self._standardized and not self._tables
        self._columns: tuple[Label, ...] | None = None
        self._classes: class_names.ByEnd = {}
        self.metadata: dict[str, str] = {}
        self._turns = Turns()
        self._pass: _core.Pass | None = None
        self._has_gradients = False
        self._training_forwards = 0
        self._keeper: weakref.ref[Trainer] | None = None  # who trained it last, while that trainer lives

    def _initial_values(self) -> dict[int, Array]:
        values: dict[int, Array] = {}
        trained: str | None = None  # position of the first layer with something to train
        for index, info in enumerate(self._info):
            position = info["name"].rpartition(".")[0]
            if info["trainable"]:
                trained = trained or position
            rule = self._places[position].initializer(info["role"])
            if rule is None:  # the core has set it, or it is that of the weight before it
                if info["role"] == "magnitude":
                    values[index] = np.linalg.norm(values[index - 1], axis=0)
                    if not values[index].all():  # a column of zeros trains from a direction and no length
                        weight = {self._info[index - 1]["name"]: values[index - 1]}
                        parts = effective.stored_weights(self, weight, weight)
                        values[index - 1] = parts[self._info[index - 1]["name"]]
                continue
            initial = rule.placed(position == trained).values(info["shape"], self._seed, index)
            value = as_dtype(initial, f"{info['name']}: initial values", self.dtype)
            check_finite(value, f"{info['name']}: initial values")
            values[index] = value
        return values

    # ---- What it is ----

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers it was made of."""
        return self._layers

    @property
    def inputs(self) -> int:
        """Columns of X."""
        return self._core.inputs

    @property
    def outputs(self) -> int:
        """Columns of the prediction."""
        return self._core.outputs

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
        return self._core.dtype

    @property
    def seed(self) -> int:
        """The seed it was made with."""
        return self._seed

    @property
    def threads(self) -> int:
        """Threads that large batches are computed with."""
        return self._core.threads

    @property
    def isa(self) -> str:
        """The instruction set in use."""
        return self._core.isa

    @property
    def elements(self) -> int:
        """Trainable numbers."""
        return self._core.elements

    @property
    def columns(self) -> tuple[Label, ...] | None:
        """The names of the inputs' columns; None where there are none.

        The first table with named columns that the network is trained on gives them. Later tables are put
        into this order by their names, and refused where a column is missing, unknown or there twice; arrays
        without names are taken as they are. They travel with files and copies. Set them to None to let the
        next training give others.
        """
        return self._columns

    @columns.setter
    def columns(self, names: Sequence[Label] | None) -> None:
        self._columns = None if names is None else inputs.check_columns(names, self.inputs, "columns")

    @property
    def classes(self) -> tuple[str, ...] | dict[str, tuple[str, ...]] | None:
        """The classes of targets that are texts, in the order of their numbers; None where there are none.

        The first training on labels that are texts gives them in sorted order, one for each output, or two
        for a single output of a loss of yes and no. Later labels are looked up here, and refused where they
        are others; numbers are taken as they are. With `Heads` they are a dict of such by head. They travel
        with files and copies. Set them beforehand where the data do not have all of them, or not in this
        order; set them to None to let the next training give others.

        Examples
        --------
        >>> import numpy as np
        >>> from gradcore import Dense, Network, Trainer, optimizers
        >>> net = Network([Dense(2)], inputs=2)
        >>> trainer = Trainer(net, "cross_entropy", optimizers.Adam(0.1))
        >>> history = trainer.fit(np.eye(2), ["dog", "cat"], epochs=50)
        >>> net.classes
        ('cat', 'dog')
        >>> net.predict(np.eye(2), output="label").tolist()
        ['dog', 'cat']
        """
        if not self._classes:
            return None
        return dict(self._classes) if self._heads else self._classes[""]

    @classes.setter
    def classes(self, names: Sequence[str] | Mapping[str, Sequence[str]] | None) -> None:
        if names is None:
            self._classes = {}
        elif self._heads:
            given = heads.by_head(names, [name for name, _, _ in self._heads], "classes", some=True)
            self._classes = {
                name: class_names.check_names(given[name], columns, f"classes[{name!r}]")
                for name, _, columns in self._heads
                if name in given
            }
        else:
            self._classes = {"": class_names.check_names(names, self.outputs, "classes")}

    def __repr__(self) -> str:
        options = f", seed={self._seed}" if self._seed else ""
        if self.dtype == np.float64:
            options += ", dtype='float64'"
        if self._threads is not None:
            options += f", threads={self._threads}"
        if self._isa is not None:
            options += f", isa={self._isa!r}"
        if self._flush_denormals:
            options += ", flush_denormals=True"
        return f"Network([{', '.join(map(repr, self._layers))}], inputs={self.inputs}{options})"

    def summary(self) -> str:
        """A table of the layers: position, description, columns of the output, trainable numbers.

        Examples
        --------
        >>> from gradcore import Dense, Network
        >>> print(Network([Dense(8, "relu"), Dense(3)], inputs=4).summary())
        layer  description       outputs  parameters
        0      Dense(8, 'relu')        8          40
        1      Dense(3)                3          27
        4 inputs, 3 outputs, 67 trainable numbers, float32
        """
        from . import summary

        return summary.table(self)

    @property
    def _has_norms(self) -> bool:
        """Whether a layer has running averages."""
        return any(layer.keeps_averages for layer in self._places.values())

    # ---- What it computes ----

    def predict(self, X: ArrayLike, *, output: str | Mapping[str, str] = "raw") -> Any:
        """Outputs in evaluation mode.

        Any number of threads may call it at a time. During another thread's fit or step a call waits for its
        turn between two steps, for 10 s at most. A row with NaN or an infinity gives what the arithmetic
        gives and does not disturb other rows; a row's bits do not depend on the rows beside it.

        Parameters
        ----------
        X : array-like (rows, inputs)
        output : {"raw", "softmax", "sigmoid", "class", "label"}, default "raw"
            With `Heads` also a dict of such names by head.
            "raw" is what the last layer gives, to both cross entropies logits; "softmax" makes them the
            probabilities of exclusive classes, "sigmoid" those of each output by itself, "class" the index
            of the largest, for a single output whether it is above 0; "label" the text of that class, see
            `classes`.

        Returns
        -------
        ndarray (rows, outputs), for "class" integers (rows,), for "label" texts (rows,); with `Heads` a dict
        of such by head

        Raises
        ------
        ShapeError, DTypeError, ArgumentError
            If X is not such an array, `output` none of these, or "softmax" that of a single column.
        StateError
            If `output` is "label" and there are no `classes`.
        BusyError
            If another thread has been changing the network for 10 s on end, or a step calls this.

        Examples
        --------
        >>> from gradcore import Activation, Network
        >>> Network([Activation("identity")], inputs=2).predict([[2, 2]], output="softmax")
        array([[0.5, 0.5]], dtype=float32)
        """
        if self._heads:
            kinds = heads.check_output(output, self._heads, self._classes)
            parts = heads.split(self._predict(self._matrix(X)), self._heads)
            names = self._classes
            return {name: outputs.transform(y, kinds[name], names.get(name)) for name, y in parts.items()}
        if isinstance(output, str) and output == "raw":
            if self._centre is None and not self._tables:
                found = self._core.predict_now(X, self._turns)
                if found is not None:
                    return found
            return self._predict(self._matrix(X))
        own = self._classes.get("")
        kind = outputs.check(output, self.outputs, own)
        return outputs.transform(self._predict(self._matrix(X)), kind, own)

    def _predict(self, x: Array) -> Array:
        return self._turns.read(self._core, lambda: self._core.predict(x), "predict")

    def forward(self, X: ArrayLike, training: bool = False, *, step: int | None = None) -> Any:
        """Outputs, keeping what `backward` needs.

        Parameters
        ----------
        X : array-like (rows, inputs)
        training : bool, default False
            Whether dropout is active, and BatchNorm takes the batch's statistics (moving none).
        step : int, optional
            With the network's seed, the key of the dropout masks. Default: the number of training forwards so
            far, so that every one gets new masks.

        Returns
        -------
        ndarray (rows, outputs), with `Heads` a dict of such by head
        """
        x = self._matrix(X)
        training = flag(training, "training")
        if training:
            self._warn_unless_standardized("forward")
        key = self._training_forwards if step is None else integer(step, "step", 0, _UINT64)
        if self._pass is None or self._pass.capacity < len(x):
            self._pass = _core.Pass(self._core, len(x))
        self._has_gradients = False
        if training and self._scheduled:
            self._pass.set_rates(key, Hypers(self._scheduled, len(self._scheduled)).rows(key, 1))
        work = self._pass
        y = self._turns.read(self._core, lambda: work.forward(x, training, self._seed, key), "forward")
        if training and step is None:
            self._training_forwards += 1
        return heads.split(y, self._heads) if self._heads else y

    def backward(self, d_out: ArrayLike | Mapping[str, ArrayLike]) -> Array:
        """Gradients of a loss of your own, from its derivative by the outputs of the last `forward`.

        Fills `gradients`; may be called once after each forward.

        Parameters
        ----------
        d_out : array-like (rows, outputs), with `Heads` a dict of such for all heads

        Returns
        -------
        ndarray (rows, inputs)
            The derivative by X.
        """
        if self._pass is None:
            raise StateError("backward: expected a forward before it")
        if self._heads:
            slope = heads.joined(d_out, self._heads, self._dtype, "d_out")
        else:
            slope = as_matrix(d_out, "d_out", self.dtype, self.outputs)
        work = self._pass
        d_x: Array = self._turns.read(self._core, lambda: work.backward(slope), "backward")
        self._has_gradients = True
        return d_x

    def gradients(self) -> dict[str, Array]:
        """Copies of the gradients that the last `backward` filled, under the names of the parameters."""
        if self._pass is None or not self._has_gradients:
            raise StateError("gradients: expected a forward and a backward before it")
        return self._trainable(self._pass.gradient)

    def activations(self, X: ArrayLike) -> dict[str, Array]:
        """Outputs in evaluation mode by position, of every layer, blocks and those inside them included."""
        x = self._matrix(X)
        work = _core.Pass(self._core, len(x))
        self._turns.read(self._core, lambda: work.forward(x, False, 0, 0), "activations")
        return work.activations()

    def _matrix(self, X: object) -> Array:
        if self._centre is None and not self._tables:
            x = self._core.plain(X)
            if x is not None:
                return x
        return inputs.convert(self, X, "X")

    def _warn_unless_standardized(self, call: str) -> None:
        if not self._standardized:
            warnings.warn(
                f"{call}: Standardize has no mean and deviation yet and passes its input on as it is; call "
                "net.standardize(X) with the training rows first, as fit does by itself",
                RuntimeWarning,
                stacklevel=3,
            )

    def _trainable(self, read: Callable[[int], Array]) -> dict[str, Array]:
        return {info["name"]: read(i) for i, info in enumerate(self._info) if info["trainable"]}

    # ---- Its parameters ----

    def parameters(self) -> dict[str, Array]:
        """Copies of all parameters by name, in layer order."""
        values = self._core_parameters()
        if self._centre is not None:  # the core's mean is 0 where a column has a centre
            values["0.mean"] = np.where(self._centre != 0, self._centre, values["0.mean"]).astype(self.dtype)
        return values

    def _core_parameters(self) -> dict[str, Array]:
        """The parameters that go with inputs as `_matrix` makes them."""
        with self._turns.steady("parameters"):
            return {name: self._read(name) for name in self._index}

    def effective_weights(self) -> dict[str, Array]:
        """Copies of the matrices that multiply x, by the name of the stored parameter.

        They are the parameters themselves but in layers with `weight_norm`, which multiply x by
        ``weight * magnitude / |weight|``, column by column, and with `spectral_norm`, by
        ``weight / (left @ weight @ right)``. This is the weight that pruning, whole-network initial values,
        rules on weights and `health` see.

        Examples
        --------
        >>> import numpy as np
        >>> from gradcore import Dense, Network
        >>> net = Network([Dense(3, weight_norm=True)], inputs=2, dtype="float64")
        >>> net.set_parameters({"0.magnitude": [1.0, 2.0, 3.0]})
        >>> np.linalg.norm(net.effective_weights()["0.weight"], axis=0).round(12)
        array([1., 2., 3.])
        """
        return effective.of_network(
            self, [info["name"] for info in self._info if info["role"] in ("weight", "projection")]
        )

    def _read(self, name: str) -> Array:
        index = self._index[name]
        return self._turns.read(self._core, lambda: self._core.read(index), "parameters")

    def _write(self, values: Mapping[int, Array]) -> None:
        self._turns.write(self._core, lambda: self._core.write(values))

    def set_parameters(self, parameters: Mapping[str, ArrayLike]) -> None:
        """Set some or all parameters; all of them are checked before the first is changed.

        They are what is stored: see `effective_weights` for what that multiplies x by. Of a layer with
        `spectral_norm` the vectors stay as they are unless they are given; a `left` of zeros makes the layer
        find both anew.

        What the trainer that trained the network last promises of its weights holds for the new ones too, as
        long as that trainer lives: what its masks hold at 0 stays 0, and once it has made an update, its
        constraints are applied. A `clone` is bound by nothing.

        During a fit its callbacks alone may do so; other threads get a BusyError.

        Parameters
        ----------
        parameters : dict of name to array-like
            Names as in `parameters`; exact shapes, finite values. Of ``0.mean`` in a wider type all digits
            count where a column's values are to be centred with them.
        """
        values = self._checked(parameters)
        centre = self._centre
        if "0.mean" in parameters and "0.mean" in self._index:
            centre = self._centre_of(parameters, values)
        keeper = None if self._keeper is None else self._keeper()
        if keeper is None:
            self._write(values)
        else:
            keeper._write(values)
        self._centre = centre
        if any(name in parameters for name in ("0.mean", "0.inverse_std")):
            self._set_standardized()

    def _centre_of(
        self, parameters: Mapping[str, Any], values: dict[int, Array]
    ) -> NDArray[np.float64] | None:
        """The centres after a mean is set; `values`, as the core will take them, have 0 where there is one.

        A mean that is the one in force keeps its centre with all digits: they come back from `parameters`
        rounded.
        """
        at = self._index["0.mean"]
        given = as_array(parameters["0.mean"], "0.mean")
        centre = np.zeros(self.inputs)
        if np.result_type(given.dtype, self.dtype) != self.dtype:
            inverse = values.get(self._index["0.inverse_std"])
            inverse = self._read("0.inverse_std") if inverse is None else inverse
            centre = scaling.centres(given.astype(np.float64), inverse.astype(np.float64))
        if self._centre is not None:
            same = values[at] == self.parameters()["0.mean"]
            centre = np.where(same & (self._centre != 0), self._centre, centre)
        values[at] = np.where(centre != 0, 0, values[at]).astype(self.dtype)
        return centre if centre.any() else None

    def _set_standardized(self) -> None:
        self._standardized = True
        self._direct = self._centre is None and not self._tables

    def _checked(self, parameters: Mapping[str, Any]) -> dict[int, Array]:
        if not isinstance(parameters, Mapping):
            raise DTypeError(f"parameters: expected a dict of arrays, got a {type(parameters).__name__}")
        unknown = [name for name in parameters if name not in self._index]
        if unknown:
            raise ArgumentError(
                f"parameters: expected names among {', '.join(self._index)}, "
                f"got {', '.join(map(repr, unknown))}"
            )
        values = {}
        for name, value in parameters.items():
            index = self._index[name]
            array = as_array(value, name)
            if array.shape != self._info[index]["shape"]:
                raise ShapeError(f"{name}: expected shape {self._info[index]['shape']}, got {array.shape}")
            array = np.ascontiguousarray(as_dtype(array, name, self.dtype))
            check_finite(array, name)
            if self._info[index]["role"] == "running_var" and array.min() < 0:
                raise ArgumentError(f"{name}: expected numbers of at least 0, got {array.min()}")
            values[index] = array if array.flags.aligned else array.copy()
        return values

    def standardize(self, X: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        """Set the mean and inverse standard deviation of the Standardize layer from the rows of X.

        The first fit() of a Trainer does it with its training rows and their sample weights, unless it has
        been done. A column that is constant, be it but for rounding, gets inverse_std 1; one of codes for an
        Embedding behind it stays as it is. Two passes in float64. Where the values of a column lie far from
        zero and close together, as times do, a network of float32 keeps the mean in float64 and takes it off
        before values in a wider type are rounded.

        Parameters
        ----------
        X : array-like (rows, inputs)
            Finite values.
        sample_weight : array-like (rows,), optional
            Weights >= 0 of the rows in mean and deviation.

        Examples
        --------
        >>> import numpy as np
        >>> from gradcore import Network, Standardize
        >>> net = Network([Standardize()], inputs=1)
        >>> net.standardize(np.array([[1.7e9], [1.7e9 + 2]]))
        >>> net.predict(np.array([[1.7e9 + 3]]))
        array([[2.]], dtype=float32)
        """
        if not isinstance(self._layers[0], Standardize):
            raise StateError("standardize: expected a network that begins with Standardize()")
        source = inputs.table(self, X, "X")
        inputs.cast(self, source, "X", finite=True, centre=None)
        rows = len(source.values)
        weight = None if sample_weight is None else as_weights(sample_weight, "sample_weight", rows)
        self._set_scaling(inputs.learn(self, source, None, weight))
        self._remember(source.labels)

    def _set_scaling(self, found: scaling.Scaling) -> None:
        mean = found.mean if found.centre is None else np.where(found.centre != 0, 0, found.mean)
        values = {
            self._index["0.mean"]: mean.astype(self.dtype),
            self._index["0.inverse_std"]: found.inverse_std.astype(self.dtype),
        }
        self._write(values)
        self._centre = found.centre
        self._set_standardized()

    def _forget_scaling(self) -> None:
        """As it was before `_set_scaling`, for a first step that failed."""
        self._set_scaling(scaling.Scaling(np.zeros(self.inputs), np.ones(self.inputs)))
        self._standardized = self._direct = False

    def _remember(self, columns: tuple[Label, ...] | None, classes: class_names.ByEnd | None = None) -> None:
        """Take the names of columns and classes that the network is trained on, unless it has some."""
        if self._columns is None and columns is not None:
            self._columns = columns
        if classes:
            self._classes = {**classes, **self._classes}

    def _take_inputs(self, other: Network) -> None:
        """Take what is known of `other`, whose inputs and outputs are the same: scaling and names."""
        scaled = [name for name in ("0.mean", "0.inverse_std") if name in self._index]
        self._write({self._index[name]: other._read(name) for name in scaled})
        self._centre, self._columns, self._classes = other._centre, other._columns, dict(other._classes)
        self._standardized = other._standardized
        self._direct = self._standardized and self._centre is None and not self._tables

    def refresh_norms(self, X: ArrayLike, *, batch_size: int | None = None) -> None:
        """Set the running averages of all BatchNorm layers to those that the rows of X give these weights.

        For weights that were not trained with them: means of several networks, or set by hand. It is one pass
        in training mode, batch by batch in the order of the rows, where each layer takes the plain means of
        the batches' means and unbiased variances, whatever its momentum; as
        ``torch.optim.swa_utils.update_bn`` has it. Dropout is active. Nothing else changes, and nothing at
        all in a network without BatchNorm. `Trainer.averaged` after a fit has been through it.

        Parameters
        ----------
        X : array-like (rows, inputs)
            The data that the weights were made for.
        batch_size : int, optional
            >= 2, better as in training; a last batch of one row is left out. Default: 1024, or all rows where
            there are fewer.

        Examples
        --------
        >>> import numpy as np
        >>> from gradcore import BatchNorm, Network
        >>> net = Network([BatchNorm()], inputs=1)
        >>> net.refresh_norms([[1.0], [3.0]])
        >>> {name: value.tolist() for name, value in net.parameters().items() if "running" in name}
        {'0.running_mean': [2.0], '0.running_var': [2.0]}
        """
        from . import refreshing

        x = inputs.convert(self, X, "X", finite=True)
        size = refreshing.BATCH if batch_size is None else integer(batch_size, "batch_size", 2)
        if not self._has_norms:
            return
        if len(x) < 2:
            raise ShapeError(f"X: expected at least 2 rows, which a variance needs, got {len(x)}")
        rates = Hypers(self._scheduled, len(self._scheduled)).row(0) if self._scheduled else None
        self.set_parameters(refreshing.refreshed(self, x, None, size, rates=rates, seed=self._seed))

    # ---- Files and copies ----

    def save(self, path: object, *, metadata: Mapping[str, str] | None = None) -> None:
        """Save architecture and parameters to one file, in the safetensors format, whole or not at all.

        Parameters
        ----------
        path : str or path
        metadata : dict of str to str, optional
            Strings of your own to keep in the file. Default: the attribute `metadata`, which `load` fills.
        """
        files.write(path, *self._file(self.metadata if metadata is None else metadata))

    @classmethod
    def load(cls, path: object, *, threads: int | None = None, isa: str | None = None) -> Network:
        """The network of a file that `save`, or a Trainer's `save`, wrote.

        Raises
        ------
        NotFoundError, FormatError
            If there is no such file, or it is damaged or of another kind.
        """
        return cls._from_file(*files.read(path), threads, isa)

    def clone(self) -> Network:
        """An independent copy."""
        return copy.deepcopy(self)

    def fold_batchnorm(self) -> Network:
        """A network that predicts the same up to rounding, without BatchNorm layers beside a Dense layer.

        One directly behind a linear Dense goes into that; another one directly before a Dense, into that one.

        Examples
        --------
        >>> from gradcore import Activation, BatchNorm, Dense, Network
        >>> net = Network([Dense(8), BatchNorm(), Activation("relu"), Dense(2)], inputs=4)
        >>> [type(layer).__name__ for layer in net.fold_batchnorm().layers]
        ['Dense', 'Activation', 'Dense']
        """
        from . import folding

        layers, values = folding.folded(self._layers, self.parameters())
        result = Network(
            layers,
            self.inputs,
            seed=self._seed,
            dtype=self.dtype,
            threads=self._threads,
            isa=self._isa,
            flush_denormals=self._flush_denormals,
        )
        result.set_parameters({name: value.astype(self.dtype) for name, value in values.items()})
        result._take_inputs(self)
        result.metadata = dict(self.metadata)
        return result

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (files.encode(*self._file(self.metadata)), self._threads, self._isa)

    def _file(self, metadata: Mapping[str, str]) -> tuple[files.Tensors, dict[str, str]]:
        own = files.check_strings(metadata, "metadata")
        return self._tensors(), files.header("network", network=self._description(), metadata=own)

    def _tensors(self) -> files.Tensors:
        centre: files.Tensors = [] if self._centre is None else [(inputs.CENTRE, self._centre)]
        return [*self.parameters().items(), *centre]

    def _description(self) -> dict[str, Any]:
        columns = {} if self._columns is None else {"columns": list(self._columns)}
        held = {head: list(names) for head, names in self._classes.items()}
        classes = {"classes": held if self._heads else held[""]} if held else {}
        return {
            "layers": describe(self._layers, "layers"),
            "inputs": self.inputs,
            "seed": self._seed,
            "dtype": str(self.dtype),
            "flush_denormals": self._flush_denormals,
            "standardized": self._standardized,
            **columns,
            **classes,
        }

    @classmethod
    def _from_file(
        cls, tensors: dict[str, Array], metadata: dict[str, str], threads: int | None, isa: str | None
    ) -> Network:
        network = cls.__new__(cls)
        with files.reading():
            parts = files.parts(metadata, ("network", "trainer"))
            about = parts["network"]
            layers = build(about["layers"])
            own = files.check_strings(parts.get("metadata", {}), "metadata")
        if threads is not None:
            integer(threads, "threads", 1, 2**31 - 1)
        if isa is not None:
            choice(isa, "isa", _core.names("isa"))
        with files.reading():
            check_weights(layers, about["inputs"], tensors)
            network._setup(
                layers, about["inputs"], about["seed"], about["dtype"], threads, isa, about["flush_denormals"]
            )
            values = {
                info["name"]: files.tensor(tensors, info["name"], info["shape"], network.dtype)
                for info in network._info
            }
            checked = network._checked(values)
            network._centre = inputs.centre_from(tensors, network)
            if network._centre is not None:
                at = network._index["0.mean"]
                checked[at] = np.where(network._centre != 0, 0, checked[at]).astype(network.dtype)
            network._core.write(checked)
            network._standardized = flag(about["standardized"], "standardized")
            if not network._standardized and "0.mean" not in network._index:
                raise FormatError("standardized: expected true for a network without Standardize, got false")
            network._direct = network._standardized and network._centre is None and not network._tables
            network.columns = about.get("columns")
            network.classes = about.get("classes")
            network.metadata = own
        return network


def _unpickle(data: bytes, threads: int | None, isa: str | None) -> Network:
    return Network._from_file(*files.decode(data), threads, isa if isa in _core.names("isa") else None)
