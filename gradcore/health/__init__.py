"""How healthy a training is: how gradients flow through the layers."""

from .flow import GradientFlow, LayerFlow, gradient_flow

__all__ = ["GradientFlow", "LayerFlow", "gradient_flow"]
