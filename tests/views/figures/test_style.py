import re

from spikequant.views.figures.style import chart, cycled, svg

ROWS = [{"x": 1.0, "y": 2.0, "name": "<script>alert(1)</script>"}, {"x": 2.0, "y": 1.0, "name": "b"}]
DRAWING = chart(ROWS).mark_point().encode(x="x:Q", y="y:Q", shape="name:N")


def test_a_drawing_takes_its_ink_from_the_page_and_has_no_background() -> None:
    drawn = svg(DRAWING)
    assert 'fill="currentColor"' in drawn
    assert 'fill="#000"' not in drawn
    assert 'fill="white"' not in drawn
    assert "style=" not in drawn


def test_a_drawing_names_no_address_and_scales_with_the_page() -> None:
    drawn = svg(DRAWING)
    assert "http" not in drawn
    assert re.match(r'<svg [^>]*viewBox="0 0 \d', drawn)


def test_text_is_escaped() -> None:
    assert "&lt;script&gt;" in svg(DRAWING)
    assert "<script" not in svg(DRAWING)


def test_the_same_chart_gives_the_same_drawing() -> None:
    assert svg(DRAWING) == svg(DRAWING)


def test_a_scale_begins_again_when_its_values_run_out() -> None:
    assert cycled(["a", "b", "c"], ["x", "y"]).to_dict() == {"domain": ["a", "b", "c"], "range": ["x", "y", "x"]}
