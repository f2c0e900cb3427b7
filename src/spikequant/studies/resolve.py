"""From the words of a command to the things that they mean: models, recipes, data."""

import importlib
import inspect
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from spikequant.data import DataSet
from spikequant.data import load as load_data
from spikequant.errors import SpecError, nearest
from spikequant.models import Network, build, names
from spikequant.quantizers import QuantizerSpec
from spikequant.recipes import Recipe, load


def resolve_model(word: str, seed: int = 0) -> Network:
    """A network from a name of ``spikequant ls models``, a folder that ``save`` made, or ``package.module:factory``.

    A factory is code of the user's own, imported because the user named it, from the working directory as well. It returns a
    ``spikequant.models.Network``: built here, or another library's network through ``spikequant.models.adopt``. Torch is seeded
    while it runs.

    Raises:
        SpecError: nothing of the kind is found.

    >>> resolve_model("digits").wiring.name
    'digits'
    """
    if word in names():
        return build(word, seed=seed)
    if is_folder(word):
        return load(word)
    if ":" in word:
        return _made(word, seed)
    raise SpecError(
        f"model {word!r} is neither a name ({', '.join(names())}), nor a folder, nor package.module:factory{nearest(word, names())}"
    )


def is_folder(word: str | Path) -> bool:
    """Whether a word of a command names a folder; none may be longer than the system's names are."""
    try:
        return Path(word).is_dir()
    except OSError:
        return False


def is_file(word: str | Path) -> bool:
    """Whether a word of a command names a file."""
    try:
        return Path(word).is_file()
    except OSError:
        return False


def _made(word: str, seed: int) -> Network:
    factory: Callable[[], object] = _imported(word, "model", "factory")
    _refuse_uncallable(word, factory)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = factory()
    if isinstance(network, Network):
        return network
    said = f"model {word!r}: the factory returned {type(network).__name__}, not a spikequant.models.Network"
    if isinstance(network, nn.Module) or type(network).__module__.partition(".")[0] == "nir":
        said += "; let it return spikequant.models.adopt(network, input_shape, time=...)"
    raise SpecError(said)


def _refuse_uncallable(word: str, factory: object) -> None:
    try:
        inspect.signature(factory).bind()  # type: ignore[arg-type]
    except TypeError as error:
        raise SpecError(f"model {word!r}: {error}; a factory is a function that is called without arguments") from None
    except ValueError:  # some functions that are built in tell of no arguments
        return


def resolve_method(word: str) -> type[QuantizerSpec]:
    """A user's own spec by ``package.module:Spec``, imported from the working directory as well because the user named it.

    Raises:
        SpecError: there is none, it is no spec, or its kind is another than its address.
    """
    spec = _imported(word, "method", "Spec")
    if not (isinstance(spec, type) and issubclass(spec, QuantizerSpec)):
        raise SpecError(f"method {word!r} is {spec!r:.80}, not a class below spikequant.quantizers.QuantizerSpec")
    kind = spec.model_fields["kind"].default
    if kind != word:
        raise SpecError(f"method {word!r}: its kind is {kind!r}; let it say kind: Literal[{word!r}] = {word!r}")
    return spec


def _imported(word: str, what: str, attribute_name: str) -> Any:
    module, _, attribute = word.partition(":")
    if not all(part.isidentifier() for part in module.split(".")):
        raise SpecError(f"{what} {word!r}: {module!r} is no module's name; give package.module:{attribute_name}, importable from here")
    if not {"", str(Path.cwd())} & set(sys.path):  # an installed command does not look where it is called
        sys.path.insert(0, str(Path.cwd()))
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, SyntaxError, ValueError) as error:
        raise SpecError(f"{what} {word!r}: {error}; give package.module:{attribute_name}, importable from here") from None


def resolve_recipe(word: str) -> Recipe:
    """A recipe from a TOML file, or from Q-SpiNN's notation.

    Raises:
        SpecError: neither.

    >>> resolve_recipe("W(Q1.6)-N(FP32)").weights.label()
    'Q1.6'
    """
    if word.startswith("W("):
        return Recipe.parse(word)
    path = Path(word)
    if not is_file(word):
        raise SpecError(f"recipe {word!r} is neither a TOML file nor a notation such as W(Q1.6)-N(Q11.6)")
    try:
        return Recipe.from_toml(path.read_text(encoding="utf-8"))
    except (SpecError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: {error}") from None


def resolve_data(name: str, network: Network) -> DataSet:
    """A data set that fits the network.

    Raises:
        SpecError: its samples have another shape than the network takes.
    """
    data = load_data(name)
    if data.shape != network.wiring.input_shape:
        raise SpecError(f"data {name!r} has samples of shape {data.shape}, {network.wiring.name} takes {network.wiring.input_shape}")
    return data


@lru_cache(maxsize=2)
def cached_data(name: str) -> DataSet:
    """A data set that stays in memory, for the many trials that one process runs on it."""
    return load_data(name)
