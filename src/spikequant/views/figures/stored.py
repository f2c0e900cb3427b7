"""What an integer program keeps: the numbers of each of its operations."""

from collections.abc import Mapping

import altair as alt

from spikequant.views.figures.style import COLORS, Figure, chart

ROW = 19


def stored(numbers: Mapping[str, int]) -> Figure:
    """A bar for each operation, in the order in which they run."""
    x = alt.X("numbers:Q", title="numbers stored", axis=alt.Axis(format="~s", tickCount=5))
    y = alt.Y("operation:N", sort=list(numbers), title=None, axis=alt.Axis(labelLimit=140))
    bars = chart([{"operation": name, "numbers": count} for name, count in numbers.items()])
    drawn = bars.mark_bar(height=11, color=COLORS[0], fillOpacity=0.25, stroke=COLORS[0], strokeWidth=1).encode(x=x, y=y)
    return Figure(
        key="stored",
        title="What the program stores",
        caption="A bar is what an operation stores: weights, biases, constants and tables, each a whole number.",
        alt="; ".join(f"{name}: {count} numbers" for name, count in numbers.items()),
        drawings=(drawn.properties(width=300, height=ROW * len(numbers) + 8),),
    )
