import torch

from spikequant.studies.demo import cases, demo


def test_every_variant_has_a_name_of_its_own() -> None:
    names = [case.name() for case in cases()]
    assert len(names) == len(set(names)) >= 16


def test_the_demo_shows_like_accuracy_with_unlike_firing() -> None:
    """The whole demo: its promise is what this project is about."""
    threads, said = torch.get_num_threads(), []
    document = demo(seed=0, progress=said.append)
    assert torch.get_num_threads() == threads
    assert len(said) == 1 + len(document["variants"])
    assert document["float"]["accuracy"] > 0.95
    near = [variant for variant in document["variants"] if variant["accuracy"] > document["float"]["accuracy"] - 0.01]
    drifts = sorted(variant["emd"] / variant["emd_floor"] for variant in near)
    assert drifts[0] < 2
    assert drifts[-1] > 20
    assert {variant["scheme"] for variant in near} >= {"ptq", "qat"}
    origins = {(variant["scheme"], variant["start"], variant["pairing"]) for variant in document["variants"]}
    assert origins == {("ptq", None, None), ("qat", "float", None), ("scratch", "scratch", "same")}
    assert all(variant["memory_bits"] < document["float"]["memory_bits"] for variant in document["variants"])
    narrow, wide = (
        next(v for v in document["variants"] if v["weights"].startswith(f"uniform {clip}") and v["bits"] == 4)
        for clip in ("narrow", "wide")
    )
    assert wide["emd"] > narrow["emd"]
