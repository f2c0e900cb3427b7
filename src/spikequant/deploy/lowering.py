"""lower: the integer program of a network."""

from spikequant.deploy.program import Program
from spikequant.deploy.transcribing import Pixels, transcribed
from spikequant.errors import SpecError
from spikequant.models import Network
from spikequant.recipes import Recipe


def lower(model: Network, pixels: Pixels | None = None, events: tuple[int, int] = (0, 1)) -> Program:
    """The integer program of a network of ``Recipe.integer``: the same spikes, bit for bit.

    ``pixels`` says how bytes become what the network is shown; the program then takes bytes too. ``events``: the lowest and
    highest whole number that a network of events is fed.

    Raises:
        SpecError: the network does not compute in whole numbers, a threshold is below 1, or an overflow bound cannot be proven.
    """
    if not isinstance(model.recipe, Recipe) or model.recipe.arithmetic is None:
        raise SpecError(f"{model.wiring.name} does not compute in whole numbers; quantize it with Recipe.integer(...)")
    return transcribed(model.eval(), pixels, events)
