"""Training: a network, a loss and an optimizer, step by step or in whole fits."""
