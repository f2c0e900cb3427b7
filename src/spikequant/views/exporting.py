"""The verbs that take a network out of Python: export, verify."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from spikequant import files
from spikequant.views.making import MODEL
from spikequant.views.verbs import BROKEN, GOOD, Answer, Debug, Json


def export(
    form: Annotated[
        Literal["c", "nir", "onnx", "program"],
        typer.Argument(help="C99 (a folder), NIR (a view in floats), ONNX, or the program's own file."),
    ],
    origin: Annotated[str, typer.Argument(metavar="MODEL_OR_PROGRAM", help="A program's file, or a network. " + MODEL)],
    out: Annotated[Path, typer.Option(help="Folder of the C, or the file.")],
    data: Annotated[str | None, typer.Option(help="Data set whose training images calibrate, and become test vectors.")] = None,
    reader: Annotated[
        Literal["norse", "snntorch", "spikingjelly"] | None,
        typer.Option(help="NIR: the library that the view is for, spikingjelly unless said."),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> Answer:
    """Write a network as an integer program: C99, ONNX, NIR, or the file that verify reads."""
    from spikequant.studies import export as written

    files.refuse_unwritable(out if form == "c" else out.parent)
    document = written(form, origin, out, data, reader)
    sizes = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in document.items() if isinstance(value, int))
    said = f"{out}: {form} of program {document['program'][:12]}, {sizes}"
    if form == "nir":
        said += f", as {document['reader']} reads it; {' and '.join(document['other_readers'])} take a file of their own: --reader"
    return Answer(document, said)


def verify(
    program: Annotated[str, typer.Argument(help="A program's file, as 'spikequant export program' makes it.")],
    data: Annotated[str, typer.Option(help="Data set whose test images are shown; see 'spikequant ls datasets'.")],
    images: Annotated[int, typer.Option(min=1, help="Test images to show.")] = 200,
    model: Annotated[str | None, typer.Option(help="Compare with this network instead of the other forms. " + MODEL)] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> Answer:
    """Run a program in torch, onnxruntime and C, and compare every spike and score with the interpreter; exits with 1 where one differs."""
    from spikequant.studies import verify_saved

    document = verify_saved(program, data, images, model)
    lines = []
    for row in document["forms"]:
        scores = "" if row["scores"] is None else f" and {row['scores']} scores"
        lines.append(f"{row['form']}: {row['different']} of {row['spikes']} spikes{scores} differ")
    lines += [f"{row['form']}: first at {row['said']}" for row in document["forms"] if row["said"]]
    broken = any(row["different"] or row["scores"] for row in document["forms"])
    return Answer(document, "\n".join(lines), BROKEN if broken else GOOD)
