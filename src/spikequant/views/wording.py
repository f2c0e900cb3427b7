"""Numbers as a person reads them: percent only here, everywhere else fractions."""

ABSENT = "–"


def percent(fraction: float | None) -> str:
    """A fraction as percent, one decimal.

    >>> percent(0.9714)
    '97.1%'
    """
    return ABSENT if fraction is None else f"{100 * fraction:.1f}%"


def points(fraction: float) -> str:
    """A difference of two fractions in percentage points.

    >>> points(-0.0031)
    '0.3 points'
    """
    return f"{100 * abs(fraction):.1f} points"


def distance(emd: float | None) -> str:
    """An EMD, four decimals: finer than any sampling floor met so far.

    >>> distance(0.01234)
    '0.0123'
    """
    return ABSENT if emd is None else f"{emd:.4f}"


def size(bits: float | None) -> str:
    """An amount of memory given in bits.

    >>> size(8 * 2048), size(100)
    ('2.0 KiB', '12.5 B')
    """
    if bits is None:
        return ABSENT
    amount = bits / 8
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


def duration(seconds: float) -> str:
    """A time span, in at most two units.

    >>> duration(3.21), duration(83), duration(7260)
    ('3.2 s', '1 min 23 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def multiple(value: float, unit: float) -> str:
    """How many times ``unit`` goes into ``value``.

    >>> multiple(0.05, 0.004), multiple(0.0041, 0.004)
    ('12 times', '1.0 times')
    """
    ratio = value / unit
    return f"{ratio:.0f} times" if ratio >= 10 else f"{ratio:.1f} times"


def plain(text: str) -> str:
    """Text without control characters, so that a name cannot steer a terminal or break a line.

    >>> plain("conv\\x1b[2J1")
    'conv[2J1'
    """
    return "".join(letter for letter in text if letter.isprintable())
