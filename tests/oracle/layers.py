"""The oracle of layers beyond the basic ones: LAYERS maps a kind to (forward, backward), which Net
calls as forward(net, layer, name, x) and backward(net, layer, name, d). What backward needs, and the
gradients, they leave in net.kept and net.gradients under the layer's name.
"""

import numpy as np

from .activations import activation, alpha_of, d_activation


def _scaled(net, name, h):
    """h gamma + beta, as far as they are there."""
    y = h * net.parameters.get(f"{name}.gamma", 1.0)
    return y + net.parameters.get(f"{name}.beta", 0.0)


def _scaled_backward(net, name, h, d):
    """Gradients of gamma and beta, and the derivative by h."""
    if f"{name}.gamma" in net.parameters:
        net.gradients[f"{name}.gamma"] = (d * h).sum(axis=0)
    if f"{name}.beta" in net.parameters:
        net.gradients[f"{name}.beta"] = d.sum(axis=0)
    return d * net.parameters.get(f"{name}.gamma", 1.0)


def _normalised(net, layer, name, x, mean, variance, default):
    eps = layer.get("eps", default)
    deviation = np.sqrt(variance + eps)
    h = (x - mean) / deviation
    net.kept[name] = h, deviation
    return _scaled(net, name, h)


def layer_norm(net, layer, name, x):
    mean = x.mean(axis=1, keepdims=True)
    return _normalised(net, layer, name, x, mean, ((x - mean) ** 2).mean(axis=1, keepdims=True), 1e-5)


def layer_norm_backward(net, layer, name, d):
    h, deviation = net.kept[name]
    e = _scaled_backward(net, name, h, d)
    return (e - e.mean(axis=1, keepdims=True) - h * (e * h).mean(axis=1, keepdims=True)) / deviation


def rms_norm(net, layer, name, x):
    return _normalised(net, layer, name, x, 0.0, (x**2).mean(axis=1, keepdims=True), 1e-6)


def rms_norm_backward(net, layer, name, d):
    h, deviation = net.kept[name]
    e = _scaled_backward(net, name, h, d)
    return (e - h * (e * h).mean(axis=1, keepdims=True)) / deviation


def batch_norm(net, layer, name, x):
    """Statistics of the batch in training; what a step would make of the running ones is left in net.kept."""
    mean, variance = net.parameters[f"{name}.running_mean"], net.parameters[f"{name}.running_var"]
    own = net.training and len(x) > 1
    if own:
        momentum = layer.get("momentum", 0.1)
        if momentum is None:
            momentum = 1 / (net.parameters[f"{name}.batches"][0] + 1)
            net.kept[f"{name}.batches"] = net.parameters[f"{name}.batches"] + 1
        net.kept[f"{name}.running_mean"] = (1 - momentum) * mean + momentum * x.mean(axis=0)
        net.kept[f"{name}.running_var"] = (1 - momentum) * variance + momentum * x.var(axis=0, ddof=1)
        mean = x.mean(axis=0)
        variance = ((x - mean) ** 2).mean(axis=0)
    y = _normalised(net, layer, name, x, mean, variance, 1e-5)
    net.kept[name] = (*net.kept[name], own)
    return y


def batch_norm_backward(net, layer, name, d):
    h, deviation, own = net.kept[name]
    e = _scaled_backward(net, name, h, d)
    return (e - e.mean(axis=0) - h * (e * h).mean(axis=0)) / deviation if own else e / deviation


def layer_scale(net, layer, name, x):
    net.kept[name] = x
    return x * net.parameters[f"{name}.gamma"]


def layer_scale_backward(net, layer, name, d):
    net.gradients[f"{name}.gamma"] = (d * net.kept[name]).sum(axis=0)
    return d * net.parameters[f"{name}.gamma"]


def residual(net, layer, name, x, block):
    """gain block(x) + x P; `block` is the output of the inner layers."""
    net.kept[name] = x, block
    skip = x @ net.parameters[f"{name}.projection"] if f"{name}.projection" in net.parameters else x
    return block * net.parameters.get(f"{name}.gain", 1.0) + skip


def residual_backward(net, layer, name, d):
    """The derivatives by the block's output and, on the skip's way, by the input."""
    x, block = net.kept[name]
    skip = d
    if f"{name}.projection" in net.parameters:
        net.gradients[f"{name}.projection"] = x.T @ d
        skip = d @ net.parameters[f"{name}.projection"].T
    if f"{name}.gain" in net.parameters:
        net.gradients[f"{name}.gain"] = np.array([(d * block).sum()])
    return d * net.parameters.get(f"{name}.gain", 1.0), skip


def alpha_dropout(net, layer, name, x):
    """net.masks[name] is dropout's, scaled by 1 / (1 - rate)."""
    if name not in net.masks:
        return x
    rate, limit = layer["rate"], -1.7580993408473766
    a = ((1 - rate) * (1 + rate * limit**2)) ** -0.5
    return a * np.where(net.masks[name] > 0, x, limit) - a * limit * rate


def alpha_dropout_backward(net, layer, name, d):
    if name not in net.masks:
        return d
    rate, limit = layer["rate"], -1.7580993408473766
    return d * (net.masks[name] > 0) * ((1 - rate) * (1 + rate * limit**2)) ** -0.5


def gaussian_noise(net, layer, name, x):
    return x + layer["std"] * net.masks[name] if name in net.masks else x


def gaussian_noise_backward(net, layer, name, d):
    return d


def _halves(x):
    return x[:, : x.shape[1] // 2], x[:, x.shape[1] // 2 :]


def _gate(layer):
    name, alpha = layer.get("activation", "sigmoid"), alpha_of(layer)
    return lambda b: activation(name, b, alpha), lambda b: d_activation(name, b, alpha)


def glu(net, layer, name, x):
    net.kept[name] = x
    a, b = _halves(x)
    return a * _gate(layer)[0](b)


def glu_backward(net, layer, name, d):
    a, b = _halves(net.kept[name])
    value, slope = _gate(layer)
    return np.hstack([d * value(b), d * a * slope(b)])


def maxout(net, layer, name, x):
    z = x @ net.parameters[f"{name}.weight"] + net.parameters.get(f"{name}.bias", 0.0)
    pieces = z.reshape(len(x), layer["pieces"], layer["units"])
    net.kept[name] = x, pieces.argmax(axis=1)
    return pieces.max(axis=1)


def maxout_backward(net, layer, name, d):
    x, winner = net.kept[name]
    chosen = np.arange(layer["pieces"])[None, :, None] == winner[:, None, :]
    dz = (chosen * d[:, None, :]).reshape(len(d), -1)
    net.gradients[f"{name}.weight"] = x.T @ dz
    if f"{name}.bias" in net.parameters:
        net.gradients[f"{name}.bias"] = dz.sum(axis=0)
    return dz @ net.parameters[f"{name}.weight"].T


def prelu(net, layer, name, x):
    net.kept[name] = x
    return np.where(x > 0, x, net.parameters[f"{name}.alpha"] * x)


def prelu_backward(net, layer, name, d):
    x = net.kept[name]
    by_slope = np.where(x > 0, 0.0, d * x).sum(axis=0)
    net.gradients[f"{name}.alpha"] = by_slope if layer.get("units", 0) == 0 else by_slope.sum(keepdims=True)
    return np.where(x > 0, d, net.parameters[f"{name}.alpha"] * d)


def effective_weight(net, layer, name):
    """What a dense layer multiplies with."""
    w = net.parameters[f"{name}.weight"]
    if layer.get("weight_norm"):
        return w * net.parameters[f"{name}.magnitude"] / np.sqrt((w**2).sum(axis=0))
    if layer.get("spectral_norm"):
        return w / (net.parameters[f"{name}.left"] @ w @ net.parameters[f"{name}.right"])
    return w


def effective_weight_backward(net, layer, name, d):
    """The gradients of weight and magnitude from that of what effective_weight returns."""
    w = net.parameters[f"{name}.weight"]
    if layer.get("weight_norm"):
        norm = np.sqrt((w**2).sum(axis=0))
        unit = w / norm
        along = (d * unit).sum(axis=0)
        net.gradients[f"{name}.magnitude"] = along
        d = (d - along * unit) * net.parameters[f"{name}.magnitude"] / norm
    if layer.get("spectral_norm"):
        left, right = net.parameters[f"{name}.left"], net.parameters[f"{name}.right"]
        sigma = left @ w @ right
        d = d / sigma - (d * w).sum() / sigma**2 * np.outer(left, right)
    net.gradients[f"{name}.weight"] = d


def power_iteration(w, left):
    """One iteration: the new left and right vectors."""
    right = left @ w
    right = right / np.linalg.norm(right)
    left = w @ right
    return left / np.linalg.norm(left), right


def embedding(net, layer, name, x):
    """`columns` maps a column to (cardinality, width); tables are named by the column."""
    parts = []
    for column in range(x.shape[1]):
        if column in layer["columns"]:
            parts.append(net.parameters[f"{name}.{column}.table"][x[:, column].astype(int)])
        else:
            parts.append(x[:, column : column + 1])
    net.kept[name] = x
    return np.concatenate(parts, axis=1)


def embedding_backward(net, layer, name, d):
    x, at = net.kept[name], 0
    d_x = np.zeros_like(x)
    for column in range(x.shape[1]):
        if column not in layer["columns"]:
            d_x[:, column] = d[:, at]
            at += 1
            continue
        cardinality, width = layer["columns"][column]
        table = np.zeros((cardinality, width))
        np.add.at(table, x[:, column].astype(int), d[:, at : at + width])
        net.gradients[f"{name}.{column}.table"] = table
        at += width
    return d_x


LAYERS = {
    "embedding": (embedding, embedding_backward),
    "weight_norm": effective_weight,
    "spectral_norm": effective_weight,
    "alpha_dropout": (alpha_dropout, alpha_dropout_backward),
    "gaussian_noise": (gaussian_noise, gaussian_noise_backward),
    "layer_scale": (layer_scale, layer_scale_backward),
    "batch_norm": (batch_norm, batch_norm_backward),
    "glu": (glu, glu_backward),
    "maxout": (maxout, maxout_backward),
    "prelu": (prelu, prelu_backward),
    "layer_norm": (layer_norm, layer_norm_backward),
    "rms_norm": (rms_norm, rms_norm_backward),
}
# Options of the layers that nets for tests have, where the defaults will not do: kind -> options.
EXAMPLES = {}
# What no other library has with the same numbers: random ones are drawn otherwise, others are mere products.
ALONE = ("dense", "residual", "heads", "standardize", "layer_scale")
ALONE += ("dropout", "alpha_dropout", "gaussian_noise")
