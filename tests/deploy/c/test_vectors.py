import numpy as np

from spikequant.deploy import Program
from spikequant.deploy.c.emit import SEED
from spikequant.deploy.c.vectors import activity, drawn, first, hashes, inputs
from spikequant.deploy.machine import encode, moments


def test_hash_by_hand(residual: Program) -> None:
    images = drawn(residual, 2)
    layers = dict.fromkeys(("lif1", "lif2", "lif3"), SEED)
    for moment in moments(residual, images[1:]):
        for name in layers:
            v, z = moment.membranes[name].v[0], moment.values[name][0]
            if v.ndim == 3:
                v, z = v.transpose(1, 2, 0), z.transpose(1, 2, 0)
            for state, spike in zip(v.flat, z.flat, strict=True):
                for x in (int(state), int(spike)):
                    layers[name] = (layers[name] * 16777619 + x) % 2**32
    total = 0
    for each in layers.values():
        total = (total * 16777619 + each) % 2**32
    assert hashes(residual, images)[1] == total
    assert len(set(hashes(residual, images))) == 2


def test_images_whose_spikes_are_drawn_become_codes_before_they_are_cut(competing: Program) -> None:
    images = np.random.default_rng(0).random((7, 1, 3, 3))
    shown = inputs(competing, images)
    assert shown.shape == (6, 7, 1, 3, 3)
    assert np.array_equal(first(competing, shown, 4), encode(competing, images)[:, :4])
    assert np.array_equal(inputs(competing, shown), shown)


def test_activity_is_the_share_of_active_inputs(residual: Program) -> None:
    images = drawn(residual, 3)
    found = activity(residual, images)
    assert found["conv1"] == np.mean(images != 0)
    spikes = [moment.values["lif1"].mean() for moment in moments(residual, images)]
    assert found["conv2"] == np.mean(spikes)
