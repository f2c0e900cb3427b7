"""One page for each method of the registry: equation, picture, lines that run, fields, source."""

import inspect
import re
from pathlib import Path

import spikequant as sq
from pages.examples import Example, example
from pages.pictures import picture
from spikequant.errors import SpecError
from spikequant.quantizers import QuantizerSpec
from spikequant.quantizers.table import SPECS

WRITTEN = Path(__file__).parents[1] / "methods"
LINES = """\
{imports}
from spikequant.data import Batches, load

digits = load("digits")
train = Batches(digits.train, 64, digits.scale, seed=0)
test = Batches(digits.test, 64, digits.scale)
model = sq.models.build("digits")
sq.fit(model, train, sq.Training(epochs=1))
small = sq.quantize(model, sq.Recipe({part}={text}{beside}), calibration=train)
print(sq.evaluate(model, test), sq.evaluate(small, test), sq.compare(model, small, test).emd)
"""


def pages() -> dict[str, str]:
    """A page for each kind, and the list of them."""
    found = {f"methods/{kind}.md": page(kind, spec) for kind, spec in SPECS.items()}
    return found | {"methods/index.md": index()}


def page(kind: str, spec: type[QuantizerSpec]) -> str:
    """What is written by hand about a method (or, where nothing is yet, what its code says), and all that follows from the spec."""
    shown = example(spec)
    return (
        "\n\n".join(
            [
                f"# {spec.__name__}",
                f'`{shown.text}`, in TOML `{{ kind = "{kind}", … }}`.',
                about(kind, spec),
                "## Its grid",
                "```{raw} html\n" + picture(spec) + "\n```",
                _caption(spec),
                "## Lines that run",
                "```python\n" + code(shown) + "```",
                "## Its fields",
                _fields(spec),
            ]
        )
        + "\n"
    )


def about(kind: str, spec: type[QuantizerSpec]) -> str:
    """The equation and the source of a method."""
    path = WRITTEN / f"{kind}.md"
    return path.read_text(encoding="utf-8").strip() if path.exists() else from_docstring(spec)


def from_docstring(spec: type[QuantizerSpec]) -> str:
    """What the docstring says, without its doctest, its source under a heading of its own."""
    text = re.split(r"^>>>", inspect.getdoc(spec) or "", flags=re.MULTILINE)[0].replace("``", "`").strip()
    what, _, source = text.partition("Source:")
    return f"## Equation\n\n{what.strip()}\n\n## Source\n\n{source.strip()}"


def code(shown: Example) -> str:
    """Ten lines: train, quantize with this method, judge."""
    name = shown.text.partition("(")[0]
    imports, prefix = ("import spikequant as sq", "sq.") if name in sq.__all__ else (_imports(name), "")
    return LINES.format(imports=imports, part=shown.part, text=prefix + shown.text, beside=shown.beside)


def index() -> str:
    """The table of all methods."""
    rows = [f"| [{spec.__name__}]({kind}.md) | {_first(spec)} |" for kind, spec in SPECS.items()]
    listed = "```{toctree}\n:hidden:\n\n" + "\n".join(SPECS) + "\n```"
    head = (
        "Every method is a way to choose a grid: the few numbers that a weight or a membrane may be. These are all that the package knows."
    )
    return "\n\n".join(["# Methods", head, "\n".join(["| method | what it is |", "| :--- | :--- |", *rows]), listed]) + "\n"


def _imports(name: str) -> str:
    return f"import spikequant as sq\nfrom spikequant.quantizers import {name}"


def _first(spec: type[QuantizerSpec]) -> str:
    return " ".join(re.split(r"\n\s*\n", inspect.getdoc(spec) or "")[0].split()).replace("``", "`").replace("|", "\\|")


def _caption(spec: type[QuantizerSpec]) -> str:
    try:
        example(spec).spec.grid()
    except SpecError:
        return "Levels follow the values: here those of a channel of 2000 normal weights of deviation 0.4."
    return f"Levels of `{example(spec, 3).text}` and of its neighbors in width."


def _fields(spec: type[QuantizerSpec]) -> str:
    rows = [f"| `{name}` | {_default(field)} |" for name, field in spec.model_fields.items() if name not in ("kind", "version")]
    return "\n".join(["| field | default |", "| :--- | :--- |", *rows])


def _default(field: object) -> str:
    required = getattr(field, "is_required", lambda: False)()
    return "required" if required else f"`{getattr(field, 'default', None)!r}`"
