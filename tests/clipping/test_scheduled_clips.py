"""Rules made from statistics whose number is a schedule."""

import numpy as np
import pytest
from gradcore import ArgumentError, Trainer, clipping, optimizers, schedules
from oracle import clipping as rc
from support import assert_same
from support.clip_problem import batch, network


def trained(clip, threads=1):
    return Trainer(network((8,), threads=threads), "mse", optimizers.SGD(1e-3), clip=clip)


@pytest.mark.parametrize("kind", ["auto", "z"])
def test_the_number_of_a_statistic_may_be_a_schedule(kind, tmp_path):
    """The factor is that of a rule with the step's number; fit, any threads and a resume agree."""
    line = schedules.Linear(*((90.0, 5.0) if kind == "auto" else (3.0, 0.2)), 30)
    make = clipping.AutoClip if kind == "auto" else lambda bound: clipping.ZClip(bound, warmup=4)
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((120, 9)), rng.standard_normal((120, 2))
    y[::17] *= 20
    trainer = trained(make(line))
    oracle, seen = make(line).statistic(), []
    for step, at in enumerate(range(0, 120, 3)):
        before = trainer.net.parameters()
        _, gradients = trainer.gradients(x[at : at + 3], y[at : at + 3])
        trainer.step(x[at : at + 3], y[at : at + 3])
        size = rc.norm(gradients.values())
        oracle.bound = line(step)
        seen.append(oracle(size))
        moved = rc.norm([before[name] - w for name, w in trainer.net.parameters().items()])
        assert moved / size / 1e-3 == pytest.approx(seen[-1], rel=1e-9)
    assert 0 < np.mean(np.array(seen) < 1) < 1
    fits = []
    for threads in (1, 3):
        whole = trained(make(line), threads)
        whole.fit(x, y, 2, 3, shuffle=False, progress=False)
        half = trained(make(line), threads)
        half.fit(x, y, 1, 3, shuffle=False, progress=False)
        assert_same(half.net.parameters(), trainer.net.parameters())
        half.save(tmp_path / "half.gradcore")
        resumed = Trainer.load(tmp_path / "half.gradcore")
        resumed.fit(x, y, 1, 3, shuffle=False, progress=False)
        fits += [whole.net.parameters(), resumed.net.parameters()]
    for other in fits[1:]:
        assert_same(other, fits[0])


def test_a_percentile_out_of_range_ends_the_step_before_the_update():
    x, y = batch()
    trainer = trained(clipping.AutoClip(lambda step: 50 + 60 * step))
    trainer.step(x, y)
    before = trainer.net.parameters()
    with pytest.raises(ArgumentError, match=r"clip.percentile: .* in \[0, 100\] .* got 110.0 at step 1"):
        trainer.step(x, y)
    assert_same(trainer.net.parameters(), before)
