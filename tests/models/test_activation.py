import pytest
import torch

from spikequant.errors import SpecError
from spikequant.models import Activation
from spikequant.quantizers import Binary, Uniform

X = torch.tensor([[-2.0, -0.5, 0.0, 0.5, 2.0]])


def test_relu_and_clip() -> None:
    assert Activation("relu")(X).tolist() == [[0.0, 0.0, 0.0, 0.5, 2.0]]
    assert Activation("clip")(X).tolist() == [[-1.0, -0.5, 0.0, 0.5, 1.0]]


def test_with_a_quantizer_answers_are_on_its_grid() -> None:
    clip, relu = Activation("clip"), Activation("relu")
    clip.quantizer = Binary(scale="one").build((1, 5), 1)
    relu.quantizer = Uniform(bits=1, low=0.0, high=1.0).build((1, 5), 1)
    assert clip(X).tolist() == [[-1.0, -1.0, 1.0, 1.0, 1.0]]
    assert set(relu(X).flatten().tolist()) == {0.0, 1.0}


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(SpecError, match="'relu' or 'clip', got 'tanh'"):
        Activation("tanh")  # type: ignore[arg-type]
