"""How every benchmark measures: all variants in one process, in random order in every round, ratios taken within a round.

A ratio is the peer's time over ours in the same round: its median, and from the worst round to the best. Bandwidth is torch's
``copy_`` into existing memory, timed in the same rounds. Peak memory comes from one call more, untimed. Nothing asserts a time.
"""

import argparse
import contextlib
import importlib
import json
import os
import random
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from environment import environment
from memory import peak
from torch import Tensor

from spikequant.files import write
from spikequant.numerics.kernels.pool import keep_pages

COPY = "copy"
COLUMNS = ("work", "ours", "peer", "ratio", "worst..best", "aim", "ours ms", "peer ms", "ours MB", "peer MB", "note")


class Timed(NamedTuple):
    """The seconds of a variant in every round, and its peak memory in MB."""

    seconds: list[float]
    megabytes: float | None


class Bench:
    """One script's run: its options, its peers, its rows."""

    def __init__(self, name: str, about: str | None, **sizes: int) -> None:
        """``sizes`` are further options with their defaults."""
        warnings.simplefilter("ignore")  # peers warn, which is not our affair
        self.name, self.options = name, _options(about, sizes)
        torch.set_num_threads(self.options.threads)
        torch.manual_seed(0)
        if self.options.keep_pages:
            keep_pages()
        self.environment = environment()
        self.rows, self.absent, self.bandwidth = list[dict[str, Any]](), dict[str, str](), list[float]()

    def peer(self, package: str, *modules: str) -> Any:
        """A package with these modules of it imported; None, and noted as absent, where that cannot be."""
        try:
            with contextlib.redirect_stdout(sys.stderr):
                for module in modules:
                    importlib.import_module(f"{package}.{module}")
                return importlib.import_module(package)
        except ImportError as error:
            self.absent[package.partition(".")[0]] = str(error)
            return None

    def race(self, work: Mapping[str, Callable[[], object]], copied: Tensor) -> dict[str, Timed]:
        """Time every variant in every round; ``copied`` says how large the copy beside them is."""
        target = torch.empty_like(copied)
        work = {COPY: lambda: target.copy_(copied), **work}
        megabytes = dict[str, float | None]()
        for variant, run in work.items():
            self._say(f"{variant}: warm-up")
            run()
            megabytes[variant] = peak(run)
        seconds: dict[str, list[float]] = {variant: [] for variant in work}
        shuffled, order = random.Random(0), list(work)
        for index in range(self.options.rounds):
            self._say(f"round {index + 1}")
            shuffled.shuffle(order)
            for variant in order:
                seconds[variant].append(_seconds(work[variant]))
        self.bandwidth += [8e-9 * copied.numel() / each for each in seconds[COPY]]
        return {variant: Timed(seconds[variant], megabytes[variant]) for variant in work}

    def compare(self, timed: Mapping[str, Timed], names: tuple[str, str, str], aim: str = "", note: str = "", scale: float = 1.0) -> None:
        """Note one row, of work, ours and peer, where both were timed; ``scale`` is our share of useful bytes over the peer's."""
        work, ours, peer = names
        if ours not in timed or peer not in timed:
            return
        ratios = [scale * theirs / own for own, theirs in zip(timed[ours].seconds, timed[peer].seconds, strict=True)]
        self.rows.append({"work": work, "ours": ours, "peer": peer, "ratio": statistics.median(ratios)})
        self.rows[-1] |= {"worst": min(ratios), "best": max(ratios), "rounds": len(ratios), "aim": aim, "note": note}
        for side, each in (("ours", timed[ours]), ("peer", timed[peer])):
            self.rows[-1] |= {f"{side}_ms": statistics.median(each.seconds) * 1e3, f"{side}_mb": each.megabytes}

    def document(self) -> dict[str, Any]:
        """All that was measured, and on what."""
        options = {name: value for name, value in vars(self.options).items() if name not in ("json", "save")}
        copy = {"median": statistics.median(self.bandwidth), "best": max(self.bandwidth)} if self.bandwidth else None
        document = {"benchmark": self.name, "environment": self.environment, "options": options, "copy_gb_per_second": copy}
        return document | {"rows": self.rows, "absent": self.absent}

    def finish(self) -> None:
        """Print the table, or one JSON document, and save the document where asked."""
        document = self.document()
        text = json.dumps(document, indent=2)
        if self.options.save:
            target = Path(__file__).parent / "results" / f"{self.name}.json"
            target.parent.mkdir(exist_ok=True)
            write(target, f"{text}\n")
        print(text if self.options.json else _table(document))

    def _say(self, what: str) -> None:
        if sys.stderr.isatty():
            print(f"\033[2K{self.name}: {what}", end="\r", file=sys.stderr, flush=True)


def _options(about: str | None, sizes: Mapping[str, int]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--save", action="store_true", help="also write the document to benchmarks/results")
    parser.add_argument("--keep-pages", action="store_true", help="let glibc keep its memory, for all variants alike")
    for name, default in {"rounds": 5, "threads": torch.get_num_threads(), **sizes}.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=_positive, default=default, help=f"default {default}")
    return parser.parse_args()


def _positive(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return int(text)


def _seconds(run: Callable[[], object]) -> float:
    begun = time.perf_counter()
    kept = run()  # its memory is freed after the clock has stopped
    elapsed = time.perf_counter() - begun
    del kept
    return elapsed


def _table(document: Mapping[str, Any]) -> str:
    found = document["environment"]
    lines = [f"{document['benchmark']}: {found['cpu']}, {found['tier']}, {found['threads']} threads, load {found['load']}"]
    if document["copy_gb_per_second"]:
        lines.append(f"copy {document['copy_gb_per_second']['median']:.1f} GB/s in the median; kernels {found['kernels']}")
    cells = [COLUMNS, *(_cells(row) for row in document["rows"])]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return os.linesep.join([*lines, *(f"absent: {name} ({why})" for name, why in document["absent"].items())])


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    memory = ("-" if row[key] is None else f"{row[key]:.0f}" for key in ("ours_mb", "peer_mb"))
    span, wall = f"{row['worst']:.3g}..{row['best']:.3g}", (f"{row[key]:.3g}" for key in ("ours_ms", "peer_ms"))
    return (row["work"], row["ours"], row["peer"], f"{row['ratio']:.3g}", span, row["aim"], *wall, *memory, row["note"])
