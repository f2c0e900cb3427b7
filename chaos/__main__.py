"""``python -m chaos PART``: run a part of the campaign; results go to ``results/reliability``."""

import argparse
import sys
from pathlib import Path

import torch


def main() -> None:
    """Run one part; exits with 1 where something broke its rule."""
    parser = argparse.ArgumentParser(prog="python -m chaos")
    parser.add_argument("part", choices=["fuzz"])
    parser.add_argument("names", nargs="*", help="targets, or none for all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--share", type=float, default=1.0, help="of the campaign's inputs")
    parser.add_argument("--results", type=Path, default=Path("results/reliability"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.results.mkdir(parents=True, exist_ok=True)
    print(f"chaos {given.part}, seed {given.seed}")
    from chaos import fuzz

    broken = fuzz.campaign(given.results, given.seed, given.names, given.share)
    print(f"{broken} broke the rule")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
