"""PyTorch: default or fused optimizer, eager or with forward and loss through torch.compile.

Labels are int64 tensors and batches are views made before timing; the loss is not read back, which
spares PyTorch a little that gradcore's step() pays. Threads stay at PyTorch's default, one a core.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from nets import BETA1, BETA2, EPS, MOMENTUM, NORM_EPS, Array, Weights

from peers import Contender


class Torch(Contender):
    def __init__(self, fused: bool, compiled: bool = False) -> None:
        self.torch: Any = import_module("torch")
        self.fused, self.compiled = fused, compiled

    def setup(self, weights: Weights) -> None:
        torch, nn = self.torch, self.torch.nn
        torch.manual_seed(4)
        layers: list[Any] = []
        for i, (weight, bias) in enumerate(weights):
            dense = nn.Linear(*weight.shape)
            fill(torch, dense, weight.T, bias)
            if i == len(weights) - 1:
                layers.append(dense)
                continue
            act = nn.ReLU() if self.net.activation == "relu" else nn.Tanh()
            if i in self.norms:
                norm = nn.LayerNorm(len(weight), eps=NORM_EPS)
                fill(torch, norm, *self.norms[i])
                layers.append(residual(nn, norm, dense, act))
            else:
                layers += [dense, act]
        self.model = nn.Sequential(*layers)
        criterion = nn.MSELoss() if self.net.loss == "mse" else nn.CrossEntropyLoss()
        model = self.model

        def objective(x: Any, y: Any) -> Any:
            return criterion(model(x), y)

        self.objective = torch.compile(objective) if self.compiled else objective
        self.parameters = list(model.parameters())
        options: dict[str, Any] = {"lr": self.rule.lr, "fused": self.fused or None}
        if self.rule.optimizer == "adam":
            self.optimizer = torch.optim.Adam(self.parameters, betas=(BETA1, BETA2), eps=EPS, **options)
        else:
            momentum = MOMENTUM if self.rule.optimizer == "momentum" else 0.0
            self.optimizer = torch.optim.SGD(self.parameters, momentum=momentum, **options)
        self.x, self.y = torch.from_numpy(self.data.x), torch.from_numpy(self.data.y)
        batch = self.net.batch
        self.batches = list(zip(self.x.split(batch), self.y.split(batch), strict=True))
        self.position = 0

    def update(self, x: Any, y: Any) -> None:
        self.optimizer.zero_grad()
        self.objective(x, y).backward()
        if self.rule.clip is not None:
            self.torch.nn.utils.clip_grad_norm_(self.parameters, self.rule.clip)
        self.optimizer.step()

    def step(self) -> None:
        self.update(*self.batches[self.position])
        self.position = (self.position + 1) % len(self.batches)

    def epoch(self) -> None:
        if self.net.shuffle:
            for index in self.torch.randperm(len(self.x)).split(self.net.batch):
                self.update(self.x[index], self.y[index])
        else:
            for x, y in self.batches:
                self.update(x, y)

    def predict(self, x: Array) -> Array:
        with self.torch.inference_mode():
            result: Array = self.model(self.torch.from_numpy(x)).numpy()
        return result

    def about(self) -> dict[str, Any]:
        return {
            "version": str(self.torch.__version__),
            "threads": self.torch.get_num_threads(),
            "cpu_capability": self.torch.backends.cpu.get_cpu_capability(),
        }


def fill(torch: Any, module: Any, weight: Array, bias: Array) -> None:
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(weight))
        module.bias.copy_(torch.from_numpy(bias))


def residual(nn: Any, *inner: Any) -> Any:
    """x + inner(x) as a module; a class of its own would import torch when this file is imported."""

    class Residual(nn.Sequential):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return x + super().forward(x)

    return Residual(*inner)
