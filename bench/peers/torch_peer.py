"""PyTorch: eager with the default or the fused Adam, or forward and loss through torch.compile.

Labels are int64 tensors and batches are views made before timing; the loss is not read back, which
spares PyTorch a little that gradcore's step() pays. Threads stay at PyTorch's default, one a core.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from nets import BETA1, BETA2, EPS, LEARNING_RATE, Array, Weights

from peers import Contender


class Torch(Contender):
    def __init__(self, fused: bool, compiled: bool = False) -> None:
        self.torch: Any = import_module("torch")
        self.fused, self.compiled = fused, compiled

    def setup(self, weights: Weights) -> None:
        torch, nn = self.torch, self.torch.nn
        torch.manual_seed(4)
        layers: list[Any] = []
        for weight, bias in weights:
            dense = nn.Linear(*weight.shape)
            with torch.no_grad():
                dense.weight.copy_(torch.from_numpy(weight.T))
                dense.bias.copy_(torch.from_numpy(bias))
            layers += [dense, nn.ReLU() if self.net.activation == "relu" else nn.Tanh()]
        self.model = nn.Sequential(*layers[:-1])
        criterion = nn.MSELoss() if self.net.loss == "mse" else nn.CrossEntropyLoss()
        model = self.model

        def objective(x: Any, y: Any) -> Any:
            return criterion(model(x), y)

        self.objective = torch.compile(objective) if self.compiled else objective
        self.optimizer = torch.optim.Adam(
            model.parameters(), lr=LEARNING_RATE, betas=(BETA1, BETA2), eps=EPS, fused=self.fused or None
        )
        self.x, self.y = torch.from_numpy(self.data.x), torch.from_numpy(self.data.y)
        batch = self.net.batch
        self.batches = list(zip(self.x.split(batch), self.y.split(batch), strict=True))
        self.position = 0

    def update(self, x: Any, y: Any) -> None:
        self.optimizer.zero_grad()
        self.objective(x, y).backward()
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
