from spikequant.views.wording import distance, duration, multiple, percent, plain, points, size


def test_fractions_become_percent_only_here() -> None:
    assert [percent(value) for value in (0.0, 0.9714, 1.0)] == ["0.0%", "97.1%", "100.0%"]
    assert [points(value) for value in (-0.0031, 0.01)] == ["0.3 points", "1.0 points"]


def test_what_was_not_measured_is_a_dash() -> None:
    assert [percent(None), distance(None), size(None)] == ["–", "–", "–"]


def test_sizes_take_the_largest_unit_of_1024_bytes_that_fits() -> None:
    assert [size(8 * amount) for amount in (0, 1023, 1024, 1024**2, 5 * 1024**3)] == ["0.0 B", "1023.0 B", "1.0 KiB", "1.0 MiB", "5.0 GiB"]


def test_time_spans() -> None:
    assert [duration(seconds) for seconds in (0.04, 59.94, 60, 3599.9, 86_400)] == [
        "0.0 s",
        "59.9 s",
        "1 min 0 s",
        "1 h 0 min",
        "24 h 0 min",
    ]


def test_multiples_lose_their_decimal_from_10_on() -> None:
    assert [multiple(value, 0.5) for value in (0.1, 4.96, 5.0)] == ["0.2 times", "9.9 times", "10 times"]


def test_control_characters_are_left_out() -> None:
    assert plain("a\x1b]0;title\x07b\nc\u202ed") == "a]0;titlebcd"
