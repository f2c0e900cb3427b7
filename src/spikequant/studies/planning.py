"""From a study's file to the trials that it means: read, checked whole, all mistakes told at once, each with its line."""

import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from spikequant.errors import DataError, SpecError, nearest, unknown
from spikequant.studies import places
from spikequant.studies.grid import Draft, Misplaced, drafts, mistakes, referred
from spikequant.studies.keys import key_of, said
from spikequant.studies.procedure import Procedures, Setup
from spikequant.studies.resolve import cached_data, is_file
from spikequant.studies.setups import checked, complaints
from spikequant.studies.study import Study, grouped
from spikequant.studies.table import PROCEDURES

LARGEST = 2**20


@dataclass(frozen=True)
class Trial:
    """One trial, checked: ``configuration`` and ``data_sha256`` are what its key is made of; references are keys.

    ``absent`` says why its data cannot be read, where a plan was asked for all the same: then its key is not its last one.
    """

    name: str
    tags: tuple[str, ...]
    procedure: str
    setup: Setup
    key: str
    configuration: dict[str, Any]
    data_sha256: dict[str, str]
    reference: str | None
    twins: tuple[str, ...]
    pairing: str | None
    absent: str | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys of the trials that must be done before."""
        return self.twins if self.reference is None else (self.reference, *self.twins)

    @property
    def folder(self) -> str:
        """The name of its folder: readable, and its own."""
        return f"{re.sub(r'[^A-Za-z0-9.+-]+', '_', self.name)[:80]}-{self.key[:12]}"


@dataclass(frozen=True)
class Plan:
    """A study and the trials to run, each after those that it needs."""

    study: Study
    text: str
    trials: tuple[Trial, ...]


def shipped() -> dict[str, Path]:
    """The studies that come with the package, by name."""
    folder = Path(str(resources.files("spikequant.studies") / "shipped"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def plan(word: str, only: str = "", deterministic: bool = False, procedures: Procedures = PROCEDURES, absent_data: bool = False) -> Plan:
    """The plan of a study, by the name of one that is shipped or by its file.

    ``only``: keep the trials that bear all these tags, and those that they need. ``deterministic`` trials are other trials: torch may
    take other kernels for them, which add in another order. ``absent_data``: plan trials whose data is not at hand, too.

    Raises:
        SpecError: everything that is wrong with the study, each with file, line, value and nearest valid value.
        DataError: a data set is absent or damaged, and ``absent_data`` is not set.
    """
    path = shipped().get(word, Path(word))
    text = _text(path, word)
    reader = Reader(path, text, procedures, deterministic, absent_data)
    study = reader.study()
    every = list(drafts(study))
    wanted = reader.wanted(study, every, only.split())
    return Plan(study, text, reader.trials(study, every, wanted))


def read_text(word: str) -> str:
    """The text of a study, by the name of one that is shipped or by its file.

    Raises:
        SpecError: there is none, or it cannot be read.
    """
    return _text(shipped().get(word, Path(word)), word)


def _text(path: Path, word: str) -> str:
    if not is_file(path):
        known = shipped()
        raise SpecError(f"study {word!r} is neither a file nor one of {', '.join(known)}{nearest(word, known)}")
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise SpecError(f"{path} has more than {LARGEST} bytes; a study has fewer")
        return content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"cannot read study {path}: {error}") from None


def _reachable(study: Study, every: Sequence[Draft], wanted: Sequence[Draft]) -> list[Draft]:
    """The wanted trials and all that they could need, in the order of the study."""
    names = {draft.name for draft in wanted}
    waiting = list(wanted)
    while waiting:
        found = referred(study, every, waiting.pop())
        fresh = [] if found is None else [draft for draft in (found[0], *found[1]) if draft.name not in names]
        names |= {draft.name for draft in fresh}
        waiting += fresh
    return [draft for draft in every if draft.name in names]


@dataclass(frozen=True)
class Reader:
    """A study's text with its places: turns every mistake into ``file:line: what``."""

    path: Path
    text: str
    procedures: Procedures
    deterministic: bool
    absent_data: bool = False

    def study(self) -> Study:
        """The document, its own fields checked, and where its names do not fit each other, its trials as well: all is told at once."""
        try:
            document = tomllib.loads(self.text)
            json.dumps(document, allow_nan=False)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            line = places.damaged_line(error) if isinstance(error, tomllib.TOMLDecodeError) else None
            raise SpecError(f"{self._place(line)}: not valid TOML: {error}") from None
        except (TypeError, ValueError) as error:
            raise SpecError(f"{self.path}: only words, finite numbers, lists and tables belong in a study: {error}") from None
        try:
            study = Study.read(grouped(document))
        except SpecError as error:
            raise self._told([Misplaced(path, text) for path, text in complaints(str(error))]) from None
        if wrong := list(mistakes(study)):
            raise self._told([*wrong, *checked(study, list(drafts(study)), self.procedures, absent_data=True)[1]])
        return study

    def wanted(self, study: Study, every: Sequence[Draft], words: Sequence[str]) -> list[Draft]:
        """The trials that bear all these tags."""
        known = {tag for draft in every for tag in draft.tags}
        for word in words:
            if word not in known:
                raise SpecError(unknown("tag", word, known))
        found = [draft for draft in every if {*words} <= {*draft.tags}]
        if not found:
            raise SpecError(f"no trial of study {study.name!r} bears all the tags {' '.join(words)!r}")
        for draft in found:
            try:
                referred(study, every, draft)
            except Misplaced as error:
                raise self._told([error]) from None
        return found

    def trials(self, study: Study, every: Sequence[Draft], wanted: Sequence[Draft]) -> tuple[Trial, ...]:
        """The wanted drafts as trials, each after those that it needs."""
        chosen = _reachable(study, every, wanted)
        setups, wrong = checked(study, chosen, self.procedures, self.absent_data)
        if wrong:
            raise self._told(wrong)
        made: dict[str, Trial] = {}
        for draft in wanted:
            try:
                self._trial(study, every, draft, setups, made, ())
            except Misplaced as error:
                raise self._told([error]) from None
        self._refuse_twice([draft for draft in chosen if draft.name in made], made)
        return tuple(made.values())

    def _trial(
        self, study: Study, every: Sequence[Draft], draft: Draft, setups: dict[str, Setup], made: dict[str, Trial], above: tuple[str, ...]
    ) -> Trial:
        if draft.name in made:
            return made[draft.name]
        if draft.name in above:
            raise Misplaced(("trials", draft.group, "reference"), f"trials refer to each other in a circle: {' -> '.join(above)}")
        name, setup = str(draft.fields["procedure"]), setups[draft.name]
        needs, found = self.procedures[name].needs(setup), referred(study, every, draft)
        reference, twins, pairing = None, tuple[str, ...](), None
        if found is not None and "reference" in needs:
            try:
                setup.refuse_reference(setups[found[0].name])
            except SpecError as error:
                raise Misplaced(("trials", draft.group, "reference"), f"trial {draft.name!r}: {error}") from None
            reference = self._trial(study, every, found[0], setups, made, (*above, draft.name)).key
            pairing = "same" if found[0].seed == draft.seed else "independent"
        if found is not None and "twins" in needs:
            twins = tuple(self._trial(study, every, twin, setups, made, (*above, draft.name)).key for twin in found[1])
            if not twins:
                raise Misplaced(("trials", draft.group, "reference"), f"trial {draft.name!r} needs references of other seeds, and has none")
        hashes, absent = self._hashes(setup.data)
        configuration = {"procedure": name, "threads": study.threads, "setup": said(setup)}
        configuration |= {"reference": reference, "twins": list(twins), "pairing": pairing}
        files = setup.files_sha256()
        configuration |= {"files_sha256": files} if files else {}
        configuration |= {"deterministic": True} if self.deterministic else {}
        key = key_of(configuration, hashes)
        made[draft.name] = Trial(draft.name, draft.tags, name, setup, key, configuration, hashes, reference, twins, pairing, absent)
        return made[draft.name]

    def _hashes(self, data: str) -> tuple[dict[str, str], str | None]:
        try:
            return dict(cached_data(data).sha256), None
        except DataError as error:
            if not self.absent_data:
                raise
            return {data: "absent"}, str(error)

    def _refuse_twice(self, chosen: Sequence[Draft], made: dict[str, Trial]) -> None:
        keys: dict[str, str] = {}
        for draft in chosen:
            other = keys.setdefault(made[draft.name].key, draft.name)
            if other != draft.name:
                raise self._told(
                    [Misplaced(("trials", draft.group), f"trials {other!r} and {draft.name!r} say the same; drop one of them")]
                )

    def _told(self, wrong: Sequence[Misplaced]) -> SpecError:
        known = places.lines(self.text)
        found = [(places.line_of(known, self.text, error.path), _shown(error)) for error in wrong]
        told = dict.fromkeys(f"{self._place(line)}: {text}" for line, text in sorted(found, key=lambda each: each[0] or 0))
        return SpecError("\n".join(told))

    def _place(self, line: int | None) -> str:
        return str(self.path) if line is None else f"{self.path}:{line}"


def _shown(error: Misplaced) -> str:
    words = [str(word) for word in error.path if not isinstance(word, int)]
    return f"{'.'.join(words)}: {error.text}" if words else error.text
