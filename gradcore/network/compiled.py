"""A network as the files of this package and of training share it: layers compiled, with values and names.

`Network` is what users hold; `compiled_of` gives its compiled one. Nothing here is for users.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import _core
from ..errors import ArgumentError, DTypeError, ShapeError
from ..layers import embedding, heads
from ..layers.base import Layer, check_layers
from ..layers.dense import Dense
from ..layers.rates import rates_of
from ..layers.standardize import Standardize
from ..schedules.rows import Hypers
from ..validation.arrays import Array, as_array, as_dtype, check_finite
from ..validation.by_head import by_head
from ..validation.checks import choice, dtype_name, flag, integer
from ..validation.class_names import ByEnd, check_names
from ..validation.frames import Label, check_columns
from . import scaling
from .penalties import schedule_penalties, set_strengths
from .sharing import Turns

if TYPE_CHECKING:
    from .._core import HeadLoss

UINT64 = 2**64 - 1


class Keeper(Protocol):
    """Who trained a network last: it keeps what masks and constraints promise of the weights."""

    def write(self, values: Mapping[int, Array]) -> None:
        """Parameters from outside into the network, as masks and constraints allow them."""


class Compiled:
    """Layers compiled for one input width, with their parameters.

    Attributes
    ----------
    core : _core.CoreNetwork
    turns : Turns
        Who may use the core now.
    places : dict of str to Layer
        The layers, those inside others included, by position.
    infos : list of ParameterInfo
        Of all parameters; `index` has the place of each name in it.
    scheduled, strengths
        Rates of layers that are schedules, as columns; where the strengths of penalties begin among them.
    standardized : bool
        Whether there is no Standardize layer that lacks its mean and deviation.
    centre : ndarray (inputs,), optional
        See scaling.py; 0 where a column has none.
    tables : tuple
        Columns of codes: (column, cardinality, name of the table).
    direct, plain : bool
        Whether a plain X is what the core takes: in training; in prediction, where there are no heads.
    columns, classes
        Names that the network was trained with.
    keeper : weakref, optional
        Who trained it last, while that lives.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        inputs: int,
        seed: int,
        dtype: DTypeLike,
        threads: int | None,
        isa: str | None,
        flush_denormals: bool,
    ) -> None:
        self.layers = check_layers(layers, "layers")
        self.seed = integer(seed, "seed", 0, UINT64)
        self.asked_threads = None if threads is None else integer(threads, "threads", 1, 2**31 - 1)
        self.asked_isa = None if isa is None else choice(isa, "isa", _core.names("isa"))
        self.flush_denormals = flag(flush_denormals, "flush_denormals")
        width = inputs = integer(inputs, "inputs", 1)
        heads.check_position(self.layers)
        embedding.check_position(self.layers)
        self.widths = []
        for index, layer in enumerate(self.layers):
            width = layer.width_after(width, str(index))
            self.widths.append(width)
        self.core = _core.CoreNetwork(
            [spec for layer in self.layers for spec in layer.specs()],
            inputs,
            dtype=dtype_name(dtype),
            threads=self.asked_threads or 0,
            isa=self.asked_isa,
            flush_denormals=self.flush_denormals,
        )
        self.places = dict(place for i, layer in enumerate(self.layers) for place in layer.walk(str(i)))
        self.scheduled = rates_of(self.places.items())
        self.infos = self.core.parameters
        self.inputs, self.outputs, self.dtype = self.core.inputs, self.core.outputs, self.core.dtype
        self.heads = self.core.heads
        self.index = {info["name"]: i for i, info in enumerate(self.infos)}
        penalized = {
            self.index[f"{position}.weight"]: (position, layer.penalty)
            for position, layer in self.places.items()
            if isinstance(layer, Dense) and layer.penalty is not None
        }
        self.penalized = bool(penalized)
        self.strengths = schedule_penalties(self.core, penalized, self.scheduled)
        if self.strengths:
            first = Hypers(self.scheduled, len(self.scheduled)).row(0)
            set_strengths(self.core, self.strengths, first)
        self.standardized = not isinstance(self.layers[0], Standardize)
        self.centre: NDArray[np.float64] | None = None
        self.tables = embedding.tables(self.layers)
        self.columns: tuple[Label, ...] | None = None
        self.classes: ByEnd = {}
        self.metadata: dict[str, str] = {}
        self.turns = Turns()
        self.keeper: weakref.ref[Keeper] | None = None
        self._look()

    def again(self, layers: Sequence[Layer]) -> Compiled:
        """Other layers for the same inputs, with the same options; without initial values."""
        options = self.asked_threads, self.asked_isa, self.flush_denormals
        return Compiled(layers, self.inputs, self.seed, self.dtype, *options)

    def twin(self, core: _core.CoreNetwork) -> Compiled:
        """The same around a twin of the core."""
        made = Compiled.__new__(Compiled)
        made.__dict__.update(self.__dict__)
        made.core, made.turns, made.keeper = core, Turns(), None
        made.classes, made.metadata = dict(self.classes), dict(self.metadata)
        return made

    def _look(self) -> None:
        """See what small calls may leave out, after a change of scaling."""
        bare = self.centre is None and not self.tables
        self.direct, self.plain = bare and self.standardized, bare and not self.heads

    @property
    def elements(self) -> int:
        """Trainable numbers."""
        return self.core.elements

    @property
    def has_norms(self) -> bool:
        """Whether a layer has running averages."""
        return any(layer.keeps_averages for layer in self.places.values())

    # ---- What it computes ----

    def predict(self, x: Array, call: str = "predict") -> Array:
        """Outputs for arrays as the core takes them; `call` is who asks, for messages."""
        return self.turns.read(self.core, lambda: self.core.predict(x), call)

    def evaluate(
        self, loss: str, x: Array, target: Array, weight: Any, options: _core.LossOptions
    ) -> tuple[float, float, float, float]:
        """Weighted mean loss, accuracy, and what each was divided by."""
        return self.turns.read(
            self.core, partial(self.core.evaluate, loss, x, target, weight, options), "evaluate"
        )

    def evaluate_heads(
        self, losses: list[HeadLoss], x: Array, target: Any, weight: Any
    ) -> list[tuple[float, float, float, float]]:
        """The same for each head."""
        call = partial(self.core.evaluate_heads, losses, x, target, weight)
        return self.turns.read(self.core, call, "evaluate")

    def log_variances(self) -> Array | None:
        """Learned logarithms of the variances of heads; None without."""
        name = f"{len(self.layers) - 1}.log_variance"
        return self.read(name) if self.heads and name in self.index else None

    def penalty(self) -> float:
        """The penalties of all parameters."""
        return self.turns.read(self.core, self.core.penalty, "evaluate") if self.penalized else 0.0

    def warn_unless_standardized(self, call: str) -> None:
        """Warn whoever called `call` that Standardize passes its input on as it is."""
        if not self.standardized:
            warnings.warn(
                f"{call}: Standardize has no mean and deviation yet and passes its input on as it is; call "
                "net.standardize(X) with the training rows first, as fit does by itself",
                RuntimeWarning,
                stacklevel=3,
            )

    # ---- Its parameters ----

    def trainable(self, read: Callable[[int], Array]) -> dict[str, Array]:
        """What `read` gives for every trainable parameter, by name."""
        return {info["name"]: read(i) for i, info in enumerate(self.infos) if info["trainable"]}

    def parameters(self) -> dict[str, Array]:
        """Copies of all parameters by name, in layer order."""
        values = self.core_parameters()
        if self.centre is not None:  # the core's mean is 0 where a column has a centre
            values["0.mean"] = np.where(self.centre != 0, self.centre, values["0.mean"]).astype(self.dtype)
        return values

    def core_parameters(self) -> dict[str, Array]:
        """The parameters that go with inputs as the core takes them."""
        with self.turns.steady("parameters"):
            return {name: self.read(name) for name in self.index}

    def read(self, name: str) -> Array:
        """A copy of one parameter as the core has it."""
        index = self.index[name]
        return self.turns.read(self.core, lambda: self.core.read(index), "parameters")

    def write(self, values: Mapping[int, Array]) -> None:
        """Parameters by their places, whatever a trainer promises of them."""
        self.turns.write(self.core, lambda: self.core.write(values))

    def set_parameters(self, parameters: Mapping[str, Any]) -> None:
        """See `Network.set_parameters`."""
        values = self.checked(parameters)
        centre = self.centre
        if "0.mean" in parameters and "0.mean" in self.index:
            centre = self._centre_of(parameters, values)
        keeper = None if self.keeper is None else self.keeper()
        if keeper is None:
            self.write(values)
        else:
            keeper.write(values)
        self.centre = centre
        if any(name in parameters for name in ("0.mean", "0.inverse_std")):
            self.standardized = True
            self._look()

    def _centre_of(
        self, parameters: Mapping[str, Any], values: dict[int, Array]
    ) -> NDArray[np.float64] | None:
        """The centres after a mean is set; `values`, as the core will take them, have 0 where there is one.

        A mean that is the one in force keeps its centre with all digits: they come back from `parameters`
        rounded.
        """
        at = self.index["0.mean"]
        given = as_array(parameters["0.mean"], "0.mean")
        centre = np.zeros(self.inputs)
        if np.result_type(given.dtype, self.dtype) != self.dtype:
            inverse = values.get(self.index["0.inverse_std"])
            inverse = self.read("0.inverse_std") if inverse is None else inverse
            centre = scaling.centres(given.astype(np.float64), inverse.astype(np.float64))
        if self.centre is not None:
            same = values[at] == self.parameters()["0.mean"]
            centre = np.where(same & (self.centre != 0), self.centre, centre)
        values[at] = np.where(centre != 0, 0, values[at]).astype(self.dtype)
        return centre if centre.any() else None

    def checked(self, parameters: Mapping[str, Any]) -> dict[int, Array]:
        """Parameters from outside, whole and finite, by their places."""
        if not isinstance(parameters, Mapping):
            raise DTypeError(f"parameters: expected a dict of arrays, got a {type(parameters).__name__}")
        unknown = [name for name in parameters if name not in self.index]
        if unknown:
            raise ArgumentError(
                f"parameters: expected names among {', '.join(self.index)}, "
                f"got {', '.join(map(repr, unknown))}"
            )
        values = {}
        for name, value in parameters.items():
            index = self.index[name]
            array = as_array(value, name)
            if array.shape != self.infos[index]["shape"]:
                raise ShapeError(f"{name}: expected shape {self.infos[index]['shape']}, got {array.shape}")
            array = np.ascontiguousarray(as_dtype(array, name, self.dtype))
            check_finite(array, name)
            if self.infos[index]["role"] == "running_var" and array.min() < 0:
                raise ArgumentError(f"{name}: expected numbers of at least 0, got {array.min()}")
            values[index] = array if array.flags.aligned else array.copy()
        return values

    # ---- What it was trained with ----

    def set_scaling(self, found: scaling.Scaling) -> None:
        """Let Standardize have a mean and a deviation."""
        mean = found.mean if found.centre is None else np.where(found.centre != 0, 0, found.mean)
        values = {
            self.index["0.mean"]: mean.astype(self.dtype),
            self.index["0.inverse_std"]: found.inverse_std.astype(self.dtype),
        }
        self.write(values)
        self.centre, self.standardized = found.centre, True
        self._look()

    def forget_scaling(self) -> None:
        """As it was before `set_scaling`, for a first step that failed."""
        self.set_scaling(scaling.Scaling(np.zeros(self.inputs), np.ones(self.inputs)))
        self.standardized = False
        self._look()

    def read_scaling(self, centre: NDArray[np.float64] | None, standardized: bool) -> None:
        """What a file says of it, its parameters written."""
        self.centre, self.standardized = centre, standardized
        self._look()

    def remember(self, columns: tuple[Label, ...] | None, classes: ByEnd | None = None) -> None:
        """Take the names of columns and classes that the network is trained on, unless it has some."""
        if self.columns is None and columns is not None:
            self.columns = columns
        if classes:
            self.classes = {**classes, **self.classes}

    def take_inputs(self, other: Compiled) -> None:
        """Take what is known of `other`, whose inputs and outputs are the same: scaling and names."""
        scaled = [name for name in ("0.mean", "0.inverse_std") if name in self.index]
        self.write({self.index[name]: other.read(name) for name in scaled})
        self.columns, self.classes = other.columns, dict(other.classes)
        self.read_scaling(other.centre, other.standardized)

    def set_columns(self, names: Sequence[Label] | None) -> None:
        """Names of the inputs' columns, or None."""
        self.columns = None if names is None else check_columns(names, self.inputs, "columns")

    def set_classes(self, names: Any) -> None:
        """Classes that are texts, with heads a dict of such, or None."""
        if names is None:
            self.classes = {}
        elif self.heads:
            given = by_head(names, [name for name, _, _ in self.heads], "classes", some=True)
            self.classes = {
                name: check_names(given[name], columns, f"classes[{name!r}]")
                for name, _, columns in self.heads
                if name in given
            }
        else:
            self.classes = {"": check_names(names, self.outputs, "classes")}
