"""Second-order products of a network, as methods that `Network` inherits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast, overload

from numpy.typing import ArrayLike

from ..losses.lookup import get
from ..validation.arrays import Array

if TYPE_CHECKING:
    from ..losses.base import Loss
    from .network import Network


class CurvatureProducts:
    """`hvp` and `gnvp`; the work is done in `second_order.products`, which is imported on demand."""

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
        from . import curvature as products

        return products.product(cast("Network", self), X, y, get(loss), v, weight, kind)
