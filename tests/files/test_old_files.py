"""Files that an earlier version wrote: they load, mean the same, and their fits go on bit for bit."""

import json

import pytest
from gradcore import Network, Trainer
from support import assert_same
from vectors import make_old_files as old

RESULTS = json.loads((old.FOLDER / "results.json").read_text())
NETWORKS, TRAINERS = old.networks(), old.trainers()


@pytest.mark.quick
def test_every_file_is_read():
    files = [old.file_name(name, "network") for name in NETWORKS]
    files += [old.file_name(name, "trainer") for name in TRAINERS]
    assert sorted([*files, "results.json"]) == sorted(path.name for path in old.FOLDER.iterdir())
    assert sorted(files) == sorted(RESULTS)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.quick
def test_a_network_predicts_what_it_did(name):
    file, (want, x) = old.file_name(name, "network"), NETWORKS[name]
    net = Network.load(old.FOLDER / file)
    assert (net.layers, net.inputs, net.dtype) == (want.layers, want.inputs, want.dtype)
    assert (net.columns, net.classes, net.metadata) == (want.columns, want.classes, want.metadata)
    assert old.fingerprint(net, x) == RESULTS[file]["loaded"]
    assert_same(net.parameters(), want.parameters())


@pytest.mark.parametrize("name", TRAINERS)
@pytest.mark.quick
def test_a_checkpoint_goes_on_bit_for_bit(name):
    file, (want, x, y, options) = old.file_name(name, "trainer"), TRAINERS[name]
    trainer, results = Trainer.load(old.FOLDER / file), RESULTS[file]
    assert (trainer.loss, trainer.optimizer) == (want.loss, want.optimizer)
    assert (trainer.clip, trainer.constraint) == (want.clip, want.constraint)
    assert trainer.net.layers == want.net.layers
    assert list(trainer.masks()) == list(want.masks())
    assert old.fingerprint(trainer.net, x) == results["loaded"]
    found = old.resume(trainer, x, y, options)
    if "close" in results:
        assert found["close"] == pytest.approx(results["close"], rel=1e-6)
    else:
        assert found == {key: value for key, value in results.items() if key != "loaded"}
