"""The engine's kernels by instruction set and dtype, with a product of plain arrays on top."""

import numpy as np
from gradcore import _testing


class Kernels(_testing.Kernels):
    """gradcore._testing.Kernels; every method takes the arguments of the kernel in C."""

    def product(self, a, b, init=None, panels=False):
        """init + A B for a (m, k) of any strides and b (k, n), n a multiple of the panel. With `panels` B
        is packed first, as weights are."""
        (m, k), n = a.shape, b.shape[1]
        assert n % self.panel == 0
        item = a.itemsize
        a_row, a_col = (stride // item for stride in a.strides)
        b_row, b_panel = n, self.panel
        b = np.ascontiguousarray(b)
        if panels:
            b = np.ascontiguousarray(b.reshape(k, n // self.panel, self.panel).transpose(1, 0, 2))
            b_row, b_panel = self.panel, self.panel * k
        c = np.full((m, n), np.nan, a.dtype)
        self.gemm(m, n, k, a, a_row, a_col, b, b_row, b_panel, c, n, self.panel, init)
        return c
