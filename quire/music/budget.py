"""How many tokens a tune may take. Its end is forced in time, so the number may not be too small for music."""

from quire.music.grammar import Form, Grammar
from quire.music.meters import EIGHTH

# Tokens of a bar: so many for each eighth, and some for what stands between.
ROOMY, TIGHT = 2.0, 1.0
BETWEEN = 6


def roomy(form: Form) -> int:
    """Return the tokens that a tune is given where the model's context allows it."""
    return _tokens(form, ROOMY)


def tight(form: Form) -> int:
    """Return the tokens below which a tune would have to be made of long notes."""
    return _tokens(form, TIGHT)


def _tokens(form: Form, each_eighth: float) -> int:
    bars = form.bars * (each_eighth * form.meter.bar / EIGHTH + BETWEEN)
    return max(round(bars), Grammar(form).least)
