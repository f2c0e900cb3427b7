"""The same step of SEW-ResNet-18, batch 64: ``sew_step.py`` has SEW-ResNet-8's."""

from sew_step import race
from timing import Bench


def main() -> None:
    """Run it."""
    bench = Bench("sew18_step", __doc__, batch=64, width=64)
    race(bench, "sew-resnet18", ("1.5", "4, of the AMX tier"))
    bench.finish()


if __name__ == "__main__":
    main()
