"""Weight norm, spectral norm and embeddings against PyTorch's, by the vectors of vectors/make_rescale.py."""

import numpy as np
import pytest
from gradcore import Dense, Embedding, Network
from support import norm_error
from vectors import make_rescale as peer

VECTORS = np.load(peer.PATH)


@pytest.mark.parametrize("name", ["weight_norm", "spectral_norm"])
def test_values_and_gradients_are_pytorchs(isa, name):
    x, d, _ = peer.batch()
    net = Network([Dense(peer.FAN_OUT, **{name: True})], inputs=peer.FAN_IN, seed=0, dtype="float64", isa=isa)
    given = peer.arrays()
    net.set_parameters({key: given[key[2:]] for key in net.parameters()})
    assert norm_error(net.forward(x), VECTORS[f"{name}.y"]) < 1e-12
    assert norm_error(net.backward(d), VECTORS[f"{name}.dx"]) < 1e-12
    gradients = net.gradients()
    assert {f"{name}.{key[2:]}" for key in gradients} >= {
        key for key in VECTORS.files if key.startswith(name) and not key.endswith((".y", ".dx"))
    }
    for key, gradient in gradients.items():
        if f"{name}.{key[2:]}" in VECTORS:  # u and v are moved by an iteration, not by gradients
            assert norm_error(gradient, VECTORS[f"{name}.{key[2:]}"]) < 1e-12, key


def test_an_embedding_is_pytorchs(isa):
    _, d, codes = peer.batch()
    net = Network([Embedding({0: (peer.CODES, peer.FAN_OUT)})], inputs=1, seed=0, dtype="float64", isa=isa)
    net.set_parameters({"0.0.table": peer.arrays()["table"]})
    y = net.forward(codes[:, None].astype(np.float64))
    assert np.array_equal(y, VECTORS["embedding.y"])
    net.backward(d)
    assert norm_error(net.gradients()["0.0.table"], VECTORS["embedding.table"]) < 1e-12
