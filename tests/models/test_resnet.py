import pytest
import torch

from spikequant.errors import SpecError
from spikequant.models import Network, build
from spikequant.models.resnet import resnet, resnet8, resnet18, resnet20, resnet50


def parameters(network: Network) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_depth_and_parameters_are_those_of_the_literature() -> None:
    """ResNet-20 for CIFAR-10: .27 M; ResNet-18 with a 3x3 stem: 11.17 M; ResNet-50: 23.5 M (10 classes)."""
    assert parameters(Network(resnet20())) == 272_474  # 1x1 projections where the literature pads with zeros
    assert parameters(Network(resnet18())) == 11_173_962
    assert parameters(Network(resnet50())) == 23_520_842
    for wiring, depth in ((resnet8(), 8), (resnet20(), 20), (resnet18(), 18), (resnet50(), 50)):
        main = [node for node in wiring.of_kind("conv2d", "linear") if "_short" not in node.name]
        assert len(main) == depth


def test_every_convolution_but_the_last_of_a_block_is_followed_by_an_activation() -> None:
    wiring = resnet8()
    acts = [node.name for node in wiring.of_kind("activation")]
    assert acts == ["stem_act", *(f"block{place}{part}_act" for place in (1, 2, 3) for part in ("_first", ""))]


def test_runs_once_and_answers_logits() -> None:
    network = build("resnet8", classes=7).eval()
    assert network(torch.rand(2, 3, 32, 32)).shape == (2, 7)
    assert network.wiring.time == 1


def test_no_block_is_refused() -> None:
    with pytest.raises(SpecError, match="nearest valid value"):
        resnet(())
