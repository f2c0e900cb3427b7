import struct

import numpy as np
import pytest

from spikequant.data.aedat import polarity
from spikequant.errors import DataError

HEAD = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#Start-Time: 2016-10-25\r\n#!END-HEADER\r\n"


def packet(events: list[tuple[int, int, int, int, int]], kind: int = 1, over: int = 0) -> bytes:
    """Events of (valid, on, y, x, microseconds), by the definition of the format."""
    head = struct.pack("<hhiiiiii", kind, 1, 8, 4, over, len(events), len(events), sum(e[0] for e in events))
    return head + b"".join(struct.pack("<Ii", valid | on << 1 | y << 2 | x << 17, t) for valid, on, y, x, t in events)


def test_events_by_hand() -> None:
    seen = polarity(HEAD + packet([(1, 1, 5, 127, 10), (1, 0, 127, 0, 20)]) + packet([(1, 1, 0, 64, 30)]))
    assert [each.tolist() for each in seen] == [[10, 20, 30], [127, 0, 64], [5, 127, 0], [1, 0, 1]]
    assert all(each.dtype == np.int64 for each in seen)


def test_invalid_events_and_other_packets_are_left_out() -> None:
    special = struct.pack("<hhiiiiii", 0, 1, 8, 4, 0, 1, 1, 1) + bytes(8)
    assert polarity(HEAD + special + packet([(0, 1, 1, 1, 5), (1, 1, 2, 3, 6)])).t.tolist() == [6]


def test_the_clock_running_over() -> None:
    assert polarity(HEAD + packet([(1, 0, 0, 0, 7)], over=2)).t.tolist() == [7 + (2 << 31)]


def test_a_file_without_events() -> None:
    assert polarity(HEAD).t.tolist() == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"#!AER-DAT2.0\r\n", "must begin with"),
        (b"#!AER-DAT3.1\r\n", "no '#!END-HEADER'"),
        (HEAD + bytes(10), "ends within the head of a packet"),
        (HEAD + packet([(1, 0, 0, 0, 0)])[:-1], "claims 1 events of 8 bytes, the file has 7"),
        (HEAD + struct.pack("<hhiiiiii", 1, 1, 8, 4, 0, 2**30, 2**30, 0), "claims 1073741824 events"),
        (HEAD + struct.pack("<hhiiiiii", 1, 1, 0, 4, 0, 1, 1, 0), "events of 0 bytes"),
        (HEAD + struct.pack("<hhiiiiii", 1, 1, 4, 4, 0, 1, 1, 0) + bytes(4), "polarity events of 4 bytes"),
    ],
)
def test_damage_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        polarity(content, "file user01.aedat")
