"""Networks: layers compiled for one input width, with their parameters."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .. import _core
from ..errors import ShapeError, StateError
from ..layers.base import Layer
from ..layers.standardize import Standardize
from ..losses.base import Loss
from ..losses.lookup import get as loss_from
from ..schedules.rows import Hypers
from ..validation.arrays import Array, as_matrix, as_weights
from ..validation.by_head import joined, split
from ..validation.checks import flag, integer
from ..validation.frames import Label
from . import effective, inputs, outputs
from .compiled import UINT64, Compiled
from .initial_values import initial_values

__all__ = ["Network"]


class Network:
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
        model = Compiled(layers, inputs, seed, dtype, threads, isa, flush_denormals)
        model.core.write(initial_values(model))
        self._begin(model)

    def _begin(self, model: Compiled) -> None:
        self._model, self._core = model, model.core
        self._pass: _core.Pass | None = None  # the last forward
        self._has_gradients = False
        self._training_forwards = 0

    @classmethod
    def _of(cls, model: Compiled) -> Network:
        network = cls.__new__(cls)
        network._begin(model)
        return network

    # ---- What it is ----

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers it was made of."""
        return self._model.layers

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
        return self._model.seed

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
        return self._model.columns

    @columns.setter
    def columns(self, names: Sequence[Label] | None) -> None:
        self._model.set_columns(names)

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
        model = self._model
        if not model.classes:
            return None
        return dict(model.classes) if model.heads else model.classes[""]

    @classes.setter
    def classes(self, names: Sequence[str] | Mapping[str, Sequence[str]] | None) -> None:
        self._model.set_classes(names)

    @property
    def metadata(self) -> dict[str, str]:
        """Strings of your own that `save` keeps in a file and `load` fills."""
        return self._model.metadata

    @metadata.setter
    def metadata(self, strings: dict[str, str]) -> None:
        self._model.metadata = strings

    def __repr__(self) -> str:
        model = self._model
        options = f", seed={model.seed}" if model.seed else ""
        if self.dtype == np.float64:
            options += ", dtype='float64'"
        if model.asked_threads is not None:
            options += f", threads={model.asked_threads}"
        if model.asked_isa is not None:
            options += f", isa={model.asked_isa!r}"
        if model.flush_denormals:
            options += ", flush_denormals=True"
        return f"Network([{', '.join(map(repr, model.layers))}], inputs={self.inputs}{options})"

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

        return summary.table(self._model)

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
        model = self._model
        if model.plain and isinstance(output, str) and output == "raw":
            found = self._core.predict_now(X, model.turns)
            if found is not None:
                return found
        if model.heads:
            kinds = outputs.check_by_head(output, model.heads, model.classes)
            parts = split(model.predict(self._matrix(X)), model.heads)
            names = model.classes
            return {name: outputs.transform(y, kinds[name], names.get(name)) for name, y in parts.items()}
        if isinstance(output, str) and output == "raw":
            return model.predict(self._matrix(X))
        own = model.classes.get("")
        kind = outputs.check(output, self.outputs, own)
        return outputs.transform(model.predict(self._matrix(X)), kind, own)

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
        x, model = self._matrix(X), self._model
        training = flag(training, "training")
        if training:
            model.warn_unless_standardized("forward")
        key = self._training_forwards if step is None else integer(step, "step", 0, UINT64)
        if self._pass is None or self._pass.capacity < len(x):
            self._pass = _core.Pass(self._core, len(x))
        self._has_gradients = False
        if training and model.scheduled:
            self._pass.set_rates(key, Hypers(model.scheduled, len(model.scheduled)).rows(key, 1))
        work = self._pass
        y = model.turns.read(self._core, lambda: work.forward(x, training, model.seed, key), "forward")
        if training and step is None:
            self._training_forwards += 1
        return split(y, model.heads) if model.heads else y

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
        model = self._model
        if model.heads:
            slope = joined(d_out, model.heads, model.dtype, "d_out")
        else:
            slope = as_matrix(d_out, "d_out", self.dtype, self.outputs)
        work = self._pass
        d_x: Array = model.turns.read(self._core, lambda: work.backward(slope), "backward")
        self._has_gradients = True
        return d_x

    def gradients(self) -> dict[str, Array]:
        """Copies of the gradients that the last `backward` filled, under the names of the parameters."""
        if self._pass is None or not self._has_gradients:
            raise StateError("gradients: expected a forward and a backward before it")
        return self._model.trainable(self._pass.gradient)

    def activations(self, X: ArrayLike) -> dict[str, Array]:
        """Outputs in evaluation mode by position, of every layer, blocks and those inside them included."""
        x = self._matrix(X)
        work = _core.Pass(self._core, len(x))
        self._model.turns.read(self._core, lambda: work.forward(x, False, 0, 0), "activations")
        return work.activations()

    def _matrix(self, X: object) -> Array:
        model = self._model
        if model.centre is None and not model.tables:
            x = self._core.plain(X)
            if x is not None:
                return x
        return inputs.convert(model, X, "X")

    # ---- Its curvature ----

    @overload
    def hvp(
        self,
        X: ArrayLike,
        y: ArrayLike,
        loss: Loss | str,
        v: Mapping[str, ArrayLike],
        sample_weight: ArrayLike | None = None,
    ) -> dict[str, Array]: ...

    @overload
    def hvp(
        self,
        X: ArrayLike,
        y: ArrayLike,
        loss: Loss | str,
        v: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> Array: ...

    def hvp(
        self, X: ArrayLike, y: ArrayLike, loss: Loss | str, v: Any, sample_weight: ArrayLike | None = None
    ) -> Any:
        """The Hessian of the loss by all trainable parameters, times a vector: exact, without the Hessian.

        In evaluation mode. Costs about two gradients. Of the kinked activations (relu, leaky_relu) the second
        derivative is taken as 0.

        Parameters
        ----------
        X : array-like (rows, inputs)
        y : array-like
            Targets as the loss takes them.
        loss : Loss or str
            "mse", "cross_entropy" or "binary_cross_entropy"; the mean over the rows.
        v : dict of name to array-like, or array-like (elements,)
            Every trainable parameter under its name, or all of them one after the other in layer order.
        sample_weight : array-like (rows,), optional
            Weights >= 0; the loss is the weighted mean.

        Returns
        -------
        dict of name to ndarray, or ndarray (elements,)
            As `v`.

        Raises
        ------
        ShapeError, DTypeError, ArgumentError
            If an argument is not as above, or the network has a layer without second derivatives here.

        References
        ----------
        Pearlmutter, "Fast exact multiplication by the Hessian", Neural Computation 6, 1994.

        Examples
        --------
        >>> import numpy as np
        >>> from gradcore import Dense, Network
        >>> net = Network([Dense(1, bias=False)], inputs=2, dtype="float64")
        >>> X = np.array([[1.0, 0.0], [1.0, 2.0]])
        >>> net.hvp(X, [0.0, 0.0], "mse", np.array([1.0, 0.0]))  # X^T X v, times 2 / rows
        array([2., 2.])
        """
        return self._product(X, y, loss, v, sample_weight, "hessian")

    @overload
    def gnvp(
        self,
        X: ArrayLike,
        y: ArrayLike,
        loss: Loss | str,
        v: Mapping[str, ArrayLike],
        sample_weight: ArrayLike | None = None,
    ) -> dict[str, Array]: ...

    @overload
    def gnvp(
        self,
        X: ArrayLike,
        y: ArrayLike,
        loss: Loss | str,
        v: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> Array: ...

    def gnvp(
        self, X: ArrayLike, y: ArrayLike, loss: Loss | str, v: Any, sample_weight: ArrayLike | None = None
    ) -> Any:
        """The generalised Gauss-Newton matrix of the loss, times a vector; arguments as in `hvp`.

        ``J^T H J``, J the Jacobian of the outputs by the parameters and H the Hessian of the loss by the
        outputs: the Hessian without the part that the layers' own curvature adds, and positive semidefinite.

        References
        ----------
        Schraudolph, "Fast curvature matrix-vector products for second-order gradient descent", Neural
        Computation 14, 2002.
        """
        return self._product(X, y, loss, v, sample_weight, "gauss_newton")

    def _product(self, X: object, y: object, loss: Loss | str, v: Any, weight: object, kind: str) -> Any:
        from . import curvature

        return curvature.product(self._model, X, y, loss_from(loss), v, weight, kind)

    # ---- Its parameters ----

    def parameters(self) -> dict[str, Array]:
        """Copies of all parameters by name, in layer order."""
        return self._model.parameters()

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
        names = [info["name"] for info in self._model.infos if info["role"] in ("weight", "projection")]
        return effective.of_network(self._model, names)

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
        self._model.set_parameters(parameters)

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
        model = self._model
        if not isinstance(model.layers[0], Standardize):
            raise StateError("standardize: expected a network that begins with Standardize()")
        source = inputs.table(model, X, "X")
        inputs.cast(model, source, "X", finite=True, centre=None)
        rows = len(source.values)
        weight = None if sample_weight is None else as_weights(sample_weight, "sample_weight", rows)
        model.set_scaling(inputs.learn(model, source, None, weight))
        model.remember(source.labels)

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

        model = self._model
        x = inputs.convert(model, X, "X", finite=True)
        size = refreshing.BATCH if batch_size is None else integer(batch_size, "batch_size", 2)
        if not model.has_norms:
            return
        if len(x) < 2:
            raise ShapeError(f"X: expected at least 2 rows, which a variance needs, got {len(x)}")
        rates = Hypers(model.scheduled, len(model.scheduled)).row(0) if model.scheduled else None
        model.set_parameters(refreshing.refreshed(model, x, None, size, rates=rates, seed=model.seed))

    # ---- Files and copies ----

    def save(self, path: object, *, metadata: Mapping[str, str] | None = None) -> None:
        """Save architecture and parameters to one file, in the safetensors format, whole or not at all.

        Parameters
        ----------
        path : str or path
        metadata : dict of str to str, optional
            Strings of your own to keep in the file. Default: the attribute `metadata`, which `load` fills.
        """
        from . import files, stored

        files.write(path, *stored.content(self._model, self.metadata if metadata is None else metadata))

    @classmethod
    def load(cls, path: object, *, threads: int | None = None, isa: str | None = None) -> Network:
        """The network of a file that `save`, or a Trainer's `save`, wrote.

        Raises
        ------
        NotFoundError, FormatError
            If there is no such file, or it is damaged or of another kind.
        """
        from . import files, stored

        return cls._of(stored.restored(*files.read(path), threads, isa))

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

        model = self._model
        layers, values = folding.folded(model.layers, self.parameters())
        result = model.again(layers)
        result.set_parameters({name: value.astype(self.dtype) for name, value in values.items()})
        result.take_inputs(model)
        result.metadata = dict(self.metadata)
        return self._of(result)

    def __reduce__(self) -> tuple[Any, ...]:
        from . import files, stored

        model = self._model
        data = files.encode(*stored.content(model, model.metadata))
        return _unpickle, (data, model.asked_threads, model.asked_isa)


def _unpickle(data: bytes, threads: int | None, isa: str | None) -> Network:
    from . import files, stored

    known = isa if isa in _core.names("isa") else None
    return network_of(stored.restored(*files.decode(data), threads, known))


def compiled_of(net: Network) -> Compiled:
    """What the package itself works with; for its own files only."""
    return net._model


def network_of(model: Compiled) -> Network:
    """The network that users hold of a compiled one."""
    return Network._of(model)
