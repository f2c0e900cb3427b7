"""The command ``spikequant``."""

import os
import sys
from collections.abc import Callable

import typer

from spikequant import __version__
from spikequant.surroundings import pages
from spikequant.views.claims import claims
from spikequant.views.differing import diff
from spikequant.views.exporting import export, verify
from spikequant.views.gating import check
from spikequant.views.installation import doctor, ls
from spikequant.views.judging import compare, demo, report
from spikequant.views.leaderboard import leaderboard
from spikequant.views.making import quantize, train
from spikequant.views.observing import ranges
from spikequant.views.running import run
from spikequant.views.searching import explore
from spikequant.views.verbs import INTERRUPTED, Answer, verb

app = typer.Typer(
    name="spikequant",
    epilog="Exit codes: 0 good, 1 a stated bound was broken, 2 usage, 3 some trials failed, 70 a bug of ours, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

EXAMPLES: dict[Callable[..., Answer], str] = {
    demo: "spikequant demo --out runs/demo",
    doctor: "spikequant doctor runs/small --data fashion-mnist",
    ls: "spikequant ls models",
    train: "spikequant train --model squat-fmnist --data fashion-mnist --epochs 3 --lr 5e-3 --out runs/float",
    quantize: "spikequant quantize runs/float --recipe 'W(Q1.6)-N(Q11.6)' --out runs/small",
    compare: "spikequant compare runs/float runs/small --data fashion-mnist --max-emd 0.02 --out runs/drift",
    explore: "spikequant explore runs/float --data fashion-mnist --space space.toml --max-drop 0.01 --out runs/search",
    ranges: "spikequant ranges stdp-net --data mnist --images 1000",
    export: "spikequant export onnx runs/small --data fashion-mnist --out net.onnx",
    verify: "spikequant verify net.sqp --data fashion-mnist",
    claims: "spikequant claims beyond-accuracy --rows results/beyond-accuracy-digits",
    leaderboard: "spikequant leaderboard --method my_method:Ternary",
    run: "spikequant run digits-smoke --out runs/smoke",
    diff: "spikequant diff runs/before runs/after",
    check: "spikequant check runs/drift --max-emd 0.02 --max-drop 0.01 --max-bytes 20000",
    report: "spikequant report runs/drift/drift.json --out report.html",
}
for work, example in EXAMPLES.items():
    app.command(work.__name__, epilog=f"Example: {example}")(verb(work))


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"spikequant {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Spiking neural networks from float to a few bits, in weights and neuron state, with their firing watched."""


def main() -> None:
    """Run the command; ends the process with its exit code."""
    os.environ.update(pages())
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
