"""The picture of a grid: its levels at 2, 3 and 4 bits, and the staircase from value to level."""

import torch

from pages.examples import example
from spikequant.numerics import Grid, levels
from spikequant.quantizers import QuantizerSpec
from spikequant.quantizers.specs import RangedSpec

WIDTHS = (2, 3, 4)
SIZE, ROW, LEFT = (640, 40), 44, 64
VALUES = 2000  # a channel of weights, for grids that follow their data


def grid_levels(spec: QuantizerSpec) -> list[float]:
    """The levels of a spec; of one that follows its data, for a channel of normal weights of deviation 0.4."""
    noise = torch.Generator().manual_seed(0)
    weights = 0.4 * torch.randn(1, VALUES, generator=noise)
    if spec.scope is not None and isinstance(spec, RangedSpec):
        return _distinct(spec.over(weights.min(), weights.max()))
    quantizer = spec.build((1, VALUES))
    with torch.no_grad():
        if quantizer.needs_data:
            quantizer.observe(weights)
            quantizer.fit()
        for _ in range(100):  # what is fitted anew at every reading settles
            quantizer.train()(weights * 1.0)
        return _distinct(quantizer.grid())


def _distinct(grid: Grid) -> list[float]:
    return sorted({round(float(level), 9) for level in levels(grid).flatten()})


def picture(spec: type[QuantizerSpec]) -> str:
    """An SVG of the levels at each width, in ink that follows the page."""
    rows = {width: grid_levels(example(spec, width).spec) for width in _widths(spec)}
    low, high = min(min(row) for row in rows.values()), max(max(row) for row in rows.values())
    reach = max(-low, high, 1e-9) * 1.05
    height = ROW * len(rows) + SIZE[1]
    lines = [_row(width, row, reach, ROW * index + 30) for index, (width, row) in enumerate(rows.items())]
    told = "; ".join(f"{width} bits: {len(row)} levels from {row[0]:.3g} to {row[-1]:.3g}" for width, row in rows.items())
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE[0]} {height}" role="img" aria-label="{told}"'
            ' style="max-width: 40em; width: 100%" font-family="sans-serif" font-size="13" fill="currentColor" stroke="currentColor">',
            f'<path d="M{_x(0, reach):.1f} 12V{height - 30}" stroke-dasharray="2 4" stroke-width="1" opacity=".6"/>',
            *lines,
            *(_label(value, reach, height - 12) for value in (low, 0.0, high)),
            "</svg>",
        ]
    )


def _widths(spec: type[QuantizerSpec]) -> tuple[int, ...]:
    return WIDTHS if {"bits", "fraction"} & set(spec.model_fields) else (example(spec).spec.width or 1,)


def _x(value: float, reach: float) -> float:
    return LEFT + (SIZE[0] - LEFT - 24) * (value / reach + 1) / 2


def _row(width: int, row: list[float], reach: float, y: int) -> str:
    marks = "".join(f'<path d="M{_x(level, reach):.1f} {y - 11}v22" stroke="#0072B2" stroke-width="2.5"/>' for level in row)
    axis = f'<path d="M{LEFT} {y}H{SIZE[0] - 24}" stroke-width="1" opacity=".5"/>'
    return f'<text x="4" y="{y + 5}" stroke="none">{width} bit{"s" * (width > 1)}</text>{axis}{marks}'


def _label(value: float, reach: float, y: int) -> str:
    return f'<text x="{_x(value, reach):.1f}" y="{y}" text-anchor="middle" stroke="none">{value:.3g}</text>'
