"""The verb that watches values: ranges."""

from typing import Annotated

import typer

from spikequant.views.making import MODEL
from spikequant.views.tables import Column, Table, text_table
from spikequant.views.verbs import Answer, Debug, Json


def _number(value: float) -> str:
    return f"{value:.6g}"


COLUMNS = (
    Column("layer", "layer", number=False),
    Column("parameter", "parameter", number=False),
    Column("low", "lowest", _number),
    Column("high", "highest", _number),
    Column("integer_bits", "integer bits"),
)


def ranges(
    model: Annotated[str, typer.Argument(help=MODEL)],
    data: Annotated[str, typer.Option(help="Data set whose training images are shown; see 'spikequant ls datasets'.")],
    images: Annotated[int, typer.Option(min=1, help="Training images to show.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the network, where it is made anew, and of what is drawn.")] = 0,
    as_json: Json = False,
    debug: Debug = False,
) -> Answer:
    """Run a workload and print which values the parameters take, and the integer bits that fixed point needs for them."""
    from spikequant.studies import ranges as observed

    rows = observed(model, data, images, seed)
    table = Table(COLUMNS, [[row[column.key] for column in COLUMNS] for row in rows])
    return Answer({"model": model, "data": data, "images": images, "ranges": rows}, text_table(table))
