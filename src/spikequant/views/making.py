"""The verbs that make networks: train, quantize."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from spikequant import files
from spikequant.errors import SpecError
from spikequant.views.progress import draw, say
from spikequant.views.verbs import Answer, Debug, Json
from spikequant.views.wording import percent, size

RECIPE = "A TOML file, or Q-SpiNN's notation such as 'W(Q1.6)-N(Q11.6)'."
MODEL = "A name from 'spikequant ls models', a folder made by save, or package.module:factory."
FRESH = "A name from 'spikequant ls models', or package.module:factory; the network of --init if not given."

LOSSES = (
    "cross_entropy (if not given), cross_entropy_mean, cross_entropy_count, "
    "squat_ce, squat_ce_count, mse_count, squat_mse, squat_mse_count."
)


def train(  # noqa: PLR0913 - the options of the command line
    data: Annotated[str, typer.Option(help="Data set by name; see 'spikequant ls datasets'.")],
    out: Annotated[Path, typer.Option(help="Folder for the network; a run that was interrupted there goes on.")],
    model: Annotated[str | None, typer.Option(help=FRESH)] = None,
    init: Annotated[str | None, typer.Option(help="Folder of a trained float network, to train on from.")] = None,
    recipe: Annotated[str | None, typer.Option(help="Train with quantizers in place. " + RECIPE)] = None,
    start: Annotated[Literal["scratch", "float"] | None, typer.Option(help="Where to start; float if --init is given.")] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = 10,
    batch_size: Annotated[int, typer.Option(help="Images in a step.")] = 128,
    lr: Annotated[float | None, typer.Option(help="Highest learning rate; 0.001 if not given.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of initialization, data order and all else drawn.")] = None,
    loss: Annotated[str | None, typer.Option(help="What is minimized: " + LOSSES)] = None,
    optimizer: Annotated[Literal["adam", "sgd"] | None, typer.Option(help="How weights move; adam if not given.")] = None,
    momentum: Annotated[float | None, typer.Option(help="Of sgd.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="L2 penalty on weights.")] = None,
    schedule: Annotated[Literal["cosine", "constant"] | None, typer.Option(help="Course of the rate; cosine if not given.")] = None,
    warmup_steps: Annotated[int | None, typer.Option(help="Steps in which the learning rate rises.")] = None,
    grad_clip: Annotated[float | None, typer.Option(help="Bound on the norm of the gradient.")] = None,
    validation: Annotated[float | None, typer.Option(help="Share of the training images held out.")] = None,
    patience: Annotated[int | None, typer.Option(help="Stop after so many epochs without a better validation accuracy.")] = None,
    precision: Annotated[Literal["float32", "bfloat16"] | None, typer.Option(help="Of stateless layers; float32 if not given.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; torch's own choice if not given.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> Answer:
    """Train a network, in float or with quantizers in place, and save it."""
    from spikequant.studies import Session, resolve_recipe

    origin = model or init
    if origin is None:
        raise SpecError("train needs a network: give --model, or --init with the folder of a trained one")
    training: dict[str, Any] = {"epochs": epochs, "lr": lr, "seed": seed, "loss": loss, "optimizer": optimizer, "momentum": momentum}
    training |= {"weight_decay": weight_decay, "schedule": schedule, "warmup_steps": warmup_steps, "grad_clip": grad_clip}
    training |= {"patience": patience, "precision": precision, "start": start or ("float" if init else "scratch")}
    wanted = None if recipe is None else resolve_recipe(recipe).fields()
    session = {"model": origin, "data": data, "batch_size": batch_size, "validation": validation, "recipe": wanted, "init": init}
    checked = Session.read({**_given(session), "training": _given(training)})
    files.refuse_unwritable(out)
    return _trained(checked, out, threads)


def quantize(
    model: Annotated[str, typer.Argument(help="The float network. " + MODEL)],
    recipe: Annotated[str, typer.Option(help=RECIPE)],
    out: Annotated[Path, typer.Option(help="Folder for the quantized network.")],
    data: Annotated[str | None, typer.Option(help="Data set whose training images fit the ranges that the recipe leaves open.")] = None,
    calibration_batches: Annotated[int, typer.Option(min=1, help="Batches of 128 images to fit ranges on.")] = 8,
    as_json: Json = False,
    debug: Debug = False,
) -> Answer:
    """Quantize a trained network without training it on, and save it."""
    from spikequant.studies import quantize_saved, resolve_recipe

    wanted = resolve_recipe(recipe)
    files.refuse_unwritable(out)
    document = quantize_saved(model, wanted, out, data, calibration_batches)
    return Answer(document, f"{out}: {wanted.label()}, {size(document['total_bits'])}{_noted(document)}")


def _trained(session: Any, out: Path, threads: int | None) -> Answer:
    from spikequant.studies import train as run

    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    ended: list[Any] = []
    try:
        draw(_until_trained(run(session, out), ended), session.training.epochs)
    except KeyboardInterrupt:
        say(f"the same command goes on after the last whole epoch, from {out / 'checkpoint.safetensors'}")
        raise
    record = ended[0].record
    text = f"{out}: test accuracy {percent(record['test_accuracy'])}, {size(record['memory_bits'])}{_noted(record)}"
    return Answer({**record, "out": str(out)}, text)


def _until_trained(events: Iterable[Any], ended: list[Any]) -> Iterable[Any]:
    """The events to draw; the last one, which holds the record, goes to ``ended``."""
    for event in events:
        if hasattr(event, "record"):
            ended.append(event)
        else:
            yield event


def _noted(record: dict[str, Any]) -> str:
    return f"\nNote: {record['note']}" if "note" in record else ""


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    """The options that were given; the specification knows the defaults of the others."""
    return {name: value for name, value in fields.items() if value is not None}
