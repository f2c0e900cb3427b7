import pytest
import torch

from spikequant.data.dataset import DataSet, Split, paired
from spikequant.errors import DataError


def test_labels_become_int64_and_samples_stay_bytes():
    split = paired(torch.zeros(2, 1, 1, 1, dtype=torch.uint8), torch.tensor([0, 9], dtype=torch.uint8), 10, "here")
    assert split.x.dtype == torch.uint8
    assert split.y.dtype == torch.int64
    assert split.y.tolist() == [0, 9]


@pytest.mark.parametrize(("samples", "labels"), [(3, 2), (2, 3), (0, 0)])
def test_samples_and_labels_must_be_equally_many(samples, labels):
    with pytest.raises(DataError, match=f"here: {samples} samples and {labels} labels"):
        paired(torch.zeros(samples, 1, 1, 1), torch.zeros(labels, dtype=torch.uint8), 10, "here")


def test_a_label_out_of_range_is_named_with_its_place():
    with pytest.raises(DataError, match="here: label 10 of sample 1 must be at most 9"):
        paired(torch.zeros(3, 1, 1, 1), torch.tensor([9, 10, 255], dtype=torch.uint8), 10, "here")


def test_pixels_are_bytes_unless_the_reader_says_otherwise():
    empty = Split(torch.zeros(0), torch.zeros(0))
    assert DataSet("name", empty, empty, 10, (1, 8, 8), {}).scale == 255.0
