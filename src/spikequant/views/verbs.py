"""What all verbs share: one answer, two ways to print it, exit codes that programs can rely on."""

import contextlib
import functools
import json
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ParamSpec

import typer

from spikequant.errors import SpikequantError

GOOD, BROKEN, USAGE, FAILED, BUG, INTERRUPTED = 0, 1, 2, 3, 70, 130
CALIBRATION = ("calibration=loader", "--data NAME")  # as it is said in Python, and as at the command line

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output; progress goes to standard error.")]
Debug = Annotated[bool, typer.Option("--debug", help="Print the traceback of an error.")]

P = ParamSpec("P")


@dataclass(frozen=True)
class Answer:
    """What a verb found: a document for programs, text for people, and its exit code."""

    document: Mapping[str, Any]
    text: str
    code: int = GOOD


def asked() -> str:
    """The command as it was given, for whoever repeats it."""
    return shlex.join(["spikequant", *sys.argv[1:]])


def verb(work: Callable[P, Answer]) -> Callable[P, None]:
    """The command of a function whose options include ``as_json`` and ``debug``.

    While it works, whatever prints to standard output (a user's module, a library) goes to standard error, so that
    standard output holds the answer alone.
    """

    @functools.wraps(work)
    def command(*args: P.args, **options: P.kwargs) -> None:
        with contextlib.redirect_stdout(sys.stderr), _told(bool(options["debug"])):
            answer = work(*args, **options)
            text = json.dumps(answer.document, allow_nan=False) if options["as_json"] else answer.text
        typer.echo(text)
        raise typer.Exit(answer.code)

    return command


@contextlib.contextmanager
def _told(debug: bool) -> Iterator[None]:
    """Tells an error on standard error and ends with its exit code."""
    try:
        yield
    except SpikequantError as error:
        if debug:
            traceback.print_exc()
        typer.echo(f"error: {error}".replace(*CALIBRATION), err=True)
        raise typer.Exit(USAGE) from None
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except Exception:
        traceback.print_exc()
        typer.echo("error: this is a bug in spikequant; please report the lines above", err=True)
        raise typer.Exit(BUG) from None
