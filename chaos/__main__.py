"""``python -m chaos PART``: run a part of the campaign; results go to ``results/reliability``."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch


def main() -> None:
    """Run one part; exits with 1 where something broke its rule."""
    parser = argparse.ArgumentParser(prog="python -m chaos")
    parser.add_argument("part", choices=list(PARTS))
    parser.add_argument("names", nargs="*", help="targets or scenes, or none for all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=700, help="of each scene")
    parser.add_argument("--seconds", type=float, default=540.0, help="of each scene, at most")
    parser.add_argument("--every", type=int, default=1, help="of the steps of writing, one in so many")
    parser.add_argument("--share", type=float, default=1.0, help="of the campaign's inputs")
    parser.add_argument("--results", type=Path, default=Path("results/reliability"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.results = given.results.absolute()
    given.results.mkdir(parents=True, exist_ok=True)
    print(f"chaos {given.part}, seed {given.seed}")
    broken = PARTS[given.part](given)
    print(f"{broken} broke the rule")
    sys.exit(1 if broken else 0)


def _fuzz(given: argparse.Namespace) -> int:
    from chaos import fuzz

    return fuzz.campaign(given.results, given.seed, given.names, given.share)


def _kills(given: argparse.Namespace) -> int:
    from chaos import kills, services, small_study

    small_study.prepare()
    scenes = [*kills.SCENES, *services.SCENES]
    return sum(
        _told(
            name,
            lambda name=name: (kills if name in kills.SCENES else services).campaign(
                name, given.seed, given.kills, given.seconds, given.results
            ),
        )  # type: ignore[misc]
        for name in given.names or scenes
    )


def _steps(given: argparse.Namespace) -> int:
    from chaos import small_study, steps

    small_study.prepare()
    return sum(_told(name, lambda name=name: steps.campaign(name, given.results, given.every)) for name in given.names or steps.OPERATIONS)  # type: ignore[misc]


def _mutants(given: argparse.Namespace) -> int:
    from chaos import mutants, small_study

    small_study.prepare()
    found = {}

    def note(name: str) -> str:
        found[name] = mutants.check(name)
        return found[name]

    broken = sum(_told(name, lambda name=name: note(name)) for name in given.names or mutants.MUTANTS)  # type: ignore[misc]
    (given.results / "mutants.json").write_text(json.dumps(found, indent=1) + "\n")
    return broken


def _told(name: str, part: Callable[[], object]) -> int:
    """Run a part and say what came of it: 1 where it broke a rule."""
    from chaos.kills import Broken

    try:
        print(name, part(), flush=True)
    except Broken as error:
        print(f"BROKEN {name}: {error}", flush=True)
        return 1
    return 0


PARTS = {"fuzz": _fuzz, "kills": _kills, "steps": _steps, "mutants": _mutants}


if __name__ == "__main__":
    main()
