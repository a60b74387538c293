"""A grammar of callers: seeded turns with their gold understanding, from data files that a practice can edit.

The files beside this module (or a folder of the practice's own, which adds to them):

    callers/*.yaml   blocks of intents and templates: "(any chance of|) getting in with {practitioner} {date}"
    lexicon/*.yaml   the words that fill a slot
    style.yaml       openers, closers, background clauses, fillers, connectives between two requests
    asr.yaml         what speech recognition hears instead, and casual spellings

A template's alternatives `(a|b|)` and slots `{slot}`, `{slot:list}`, `{slot=words}` are expanded at random. Requests of two or three families
are joined into multi-intent turns. Every turn carries the families it was made of; a family never stands on two sides of a split.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

from bedside.engine.understanding import normalise
from bedside.errors import SourceError
from bedside.knowledge.intents import catalogue

_PLACEHOLDER = re.compile(r"\{(\w+)(?::([\w:+-]+)|=([^{}]*))?\}")


@dataclass(frozen=True)
class Template:
    """One way to say something: a wording family.

    Attributes:
        intents: what it asks for.
        text: with alternatives and placeholders.
        family: hash of intents and text.
    """

    intents: tuple[str, ...]
    text: str

    @property
    def family(self) -> str:
        return hashlib.sha256(f"{self.intents}{self.text}".encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Turn:
    """One synthetic turn with its gold understanding."""

    text: str
    intents: tuple[str, ...]
    slots: tuple[tuple[str, str], ...]
    families: tuple[str, ...]


class CallerGrammar:
    """Templates, word lists and style, read once.

    Args:
        folder: a practice's own files of the same layout, added to the built-in ones.

    Raises:
        SourceError: a file is no YAML, or a template names an intent, slot or word list that does not exist (file and template named).
    """

    def __init__(self, folder: Path | None = None) -> None:
        roots: list[Traversable] = [files("bedside.corpus.synthesis")]
        if folder is not None:
            roots.append(folder)
        self.lexicon: dict[str, list[str]] = {}
        self.style: dict[str, list[str]] = {}
        self.asr: dict[str, dict[str, list[str]]] = {"confusions": {}, "spellings": {}}
        self.templates: list[Template] = []
        for root in roots:
            self._read(root)
        if folder is not None and not any(folder.rglob("*.yaml")):
            raise SourceError(
                f"the synthesis folder {str(folder)!r} holds no YAML file", "Give a folder with callers/, lexicon/, style.yaml or asr.yaml"
            )

    def _read(self, root: Traversable) -> None:
        for key, words in _load(root / "style.yaml").items():
            self.style.setdefault(key, []).extend(words)
        for key, heard in _load(root / "asr.yaml").items():
            self.asr.setdefault(key, {}).update(heard)
        for file in _yaml_files(root, "lexicon"):
            for key, entries in _load(file).items():
                self.lexicon.setdefault(key, []).extend(str(word) for word in entries)
        for file in _yaml_files(root, "callers"):
            for block in _load(file):
                for text in block["turns"]:
                    self.templates.append(self._checked(Template(tuple(block["intents"]), text), file.name))

    def _checked(self, template: Template, file: str) -> Template:
        intents = {kind.id: kind for kind in catalogue().intents}
        unknown = [name for name in template.intents if name not in intents]
        slots = {slot for name in template.intents if name in intents for slot in intents[name].slots}
        for slot, words, literal in _PLACEHOLDER.findall(template.text):
            source = f"{slot}:{words}" if words else slot
            if slot not in slots and not unknown:
                unknown.append(f"{{{slot}}} (a slot of none of its intents)")
            if not literal and source not in self.lexicon:
                unknown.append(f"{{{source}}} (no such word list)")
        if unknown:
            raise SourceError(
                f"{file}: template {template.text!r} uses {', '.join(unknown)}",
                "Correct the template, or add the intent, slot or word list",
            )
        return template

    @cached_property
    def by_intent(self) -> dict[tuple[str, ...], list[Template]]:
        """Templates by their intents."""
        groups: dict[tuple[str, ...], list[Template]] = {}
        for template in self.templates:
            groups.setdefault(template.intents, []).append(template)
        return groups


def _load(file: Traversable) -> Any:
    if not file.is_file():
        return {}
    try:
        return yaml.load(file.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SourceError(
            f"{file.name!r} is no YAML ({' '.join(str(error).split())})", "Correct the file; double-quote every template"
        ) from error


def _yaml_files(root: Traversable, folder: str) -> list[Traversable]:
    place = root / folder
    return sorted((f for f in place.iterdir() if f.name.endswith(".yaml")), key=lambda f: f.name) if place.is_dir() else []


class Caller:
    """Says templates: expands them with one random stream.

    Args:
        grammar: the data.
        rng: the stream; equal streams give equal turns.
    """

    def __init__(self, grammar: CallerGrammar, rng: random.Random) -> None:
        self.grammar = grammar
        self.rng = rng
        heard = {said: words for said, words in grammar.asr["confusions"].items() if " " not in said}
        self._changes = {**grammar.asr["spellings"], **heard}

    def alternatives(self, text: str) -> str:
        """Choose among `(a|b|)`, innermost first."""
        while "(" in text:
            text = re.sub(r"\(([^()]*)\)", lambda m: self.rng.choice(m.group(1).split("|")), text)
        return text

    def say(self, template: Template) -> tuple[list[str], list[tuple[str, str]]]:
        """The template's words and its slots in order of speech; each slot's value is a run of those words."""
        parts: list[str] = []
        slots: list[tuple[str, str]] = []
        used: set[str] = set()
        text = self.alternatives(template.text)
        end = 0
        for match in _PLACEHOLDER.finditer(text):
            slot, words, literal = match.groups()
            value = literal if literal is not None else self._word(f"{slot}:{words}" if words else slot, used)
            value = normalise(self.alternatives(value))
            parts += [text[end : match.start()], value]
            slots.append((slot, value))
            end = match.end()
        # A possessive stays one word with its slot ("mum's"), so the slot takes it along.
        said = normalise("".join([*parts, text[end:]]))
        return said.split(), [(slot, _as_said(value, said)) for slot, value in slots]

    def _word(self, source: str, used: set[str]) -> str:
        words = self.grammar.lexicon[source]
        for _ in range(4):
            word = self.rng.choice(words)
            if word not in used:
                break
        used.add(word)
        return word

    def style(self, name: str, chance: float) -> list[str]:
        """Words of a style list, or none."""
        if self.rng.random() >= chance:
            return []
        text = self.alternatives(self.rng.choice(self.grammar.style[name]))
        return normalise(_PLACEHOLDER.sub(lambda m: self.alternatives(self._word(m.group(1), set())), text)).split()

    def disfluent(self, words: list[str], slots: Sequence[tuple[str, str]], rate: float) -> tuple[list[str], list[tuple[str, str]]]:
        """Fillers, repeated words, casual spellings and recognition errors at a rate a word; slot values follow the words."""
        spans = [(name, value.split()) for name, value in slots]
        kept = {word for _, value in spans for word in value}
        out: list[str] = []
        for word in words:
            chance = self.rng.random()
            if chance < rate * 0.35 and word not in kept:
                out.append(self.rng.choice(self.grammar.style["fillers"]))
            elif chance < rate * 0.55 and word not in kept:
                out.append(word)
            heard = self._changes.get(word)
            out.append(normalise(self.rng.choice(heard)) if heard and word not in kept and self.rng.random() < rate * 3 else word)
        return " ".join(out).split(), list(slots)


def _as_said(value: str, said: str) -> str:
    match = re.search(rf"(?<!\S){re.escape(value)}'s(?!\S)", said)
    return f"{value}'s" if match and not re.search(rf"(?<!\S){re.escape(value)}(?!\S)", said) else value


def _single(caller: Caller, template: Template) -> Turn:
    words, slots = caller.say(template)
    before = caller.style("openers", 0.35) + caller.style("background", 0.12)
    after = caller.style("background", 0.12) + caller.style("closers", 0.22)
    return Turn(" ".join([*before, *words, *after]), template.intents, tuple(slots), (template.family,))


def _joined(caller: Caller, templates: Sequence[Template]) -> Turn:
    words: list[str] = caller.style("openers", 0.35)
    slots: list[tuple[str, str]] = []
    for place, template in enumerate(templates):
        said, found = caller.say(template)
        words += (caller.style("connectives", 0.85) if place else []) + said + caller.style("background", 0.08)
        slots += found
    words += caller.style("closers", 0.2)
    intents = tuple(dict.fromkeys(name for template in templates for name in template.intents))
    return Turn(" ".join(words), intents, tuple(slots), tuple(template.family for template in templates))


# Intents that are the whole of a turn: nobody adds a booking to silence or to a wrong number.
_ALONE = frozenset({"silence", "wrong_number", "test_call", "sales_spam", "abuse", "child_caller"})


# Weight of turns that ask for nothing, beside the intents' priors in per cent.
_NO_INTENT_PRIOR = 40.0


def turns(
    grammar: CallerGrammar,
    *,
    count: int,
    multi_share: float,
    seed: int,
    templates: Sequence[Template] | None = None,
    disfluency: float = 0.03,
    prior_weight: float = 0.35,
) -> Iterator[Turn]:
    """`count` seeded turns, the same for the same seed and data.

    Args:
        multi_share: share of turns with several intents; half of them hand-written, half joined from single requests.
        templates: only these families (one side of a split); all by default.
        disfluency: chance a word of a filler, a repetition or a recognition error.
        prior_weight: 0 draws all intents alike, 1 as often as the catalogue's priors say.
    """
    caller = Caller(grammar, random.Random(seed))
    chosen = list(templates if templates is not None else grammar.templates)
    single = _Pool([t for t in chosen if len(t.intents) <= 1], prior_weight, caller.rng)
    written = _Pool([t for t in chosen if len(t.intents) > 1], 0.0, caller.rng)
    for _ in range(count):
        kind = caller.rng.random()
        if kind < multi_share / 2 and written:
            turn = _single(caller, written.draw())
        elif kind < multi_share:
            turn = _joined(caller, single.draw_several(2 if caller.rng.random() < 0.9 else 3))
        else:
            turn = _single(caller, single.draw())
        words, slots = caller.disfluent(turn.text.split(), turn.slots, disfluency)
        yield Turn(" ".join(words), turn.intents, tuple(slots), turn.families)


class _Pool:
    """Templates by intent: an intent is drawn by weight, its templates in random order, each once before any comes again."""

    def __init__(self, templates: Sequence[Template], prior_weight: float, rng: random.Random) -> None:
        self._rng = rng
        self._templates: dict[tuple[str, ...], list[Template]] = {}
        for template in templates:
            self._templates.setdefault(template.intents if prior_weight else (), []).append(template)
        self._left: dict[tuple[str, ...], list[Template]] = {}
        priors = {kind.id: kind.prior for kind in catalogue().intents}
        # Variety on offer counts by its square root: an intent with few templates is not said over and over.
        self._weights = {
            key: (priors[key[0]] if key else _NO_INTENT_PRIOR) ** prior_weight * len(pool) ** 0.5 for key, pool in self._templates.items()
        }

    def __bool__(self) -> bool:
        return bool(self._templates)

    def draw(self, among: Sequence[tuple[str, ...]] | None = None) -> Template:
        keys = list(among or self._templates)
        key = self._rng.choices(keys, [self._weights[k] for k in keys])[0]
        if not self._left.get(key):
            self._left[key] = self._rng.sample(self._templates[key], len(self._templates[key]))
        return self._left[key].pop()

    def draw_several(self, number: int) -> list[Template]:
        """Requests for different intents that a caller could make in one turn."""
        keys = [key for key in self._templates if key and key[0] not in _ALONE]
        picked: list[Template] = []
        while len(picked) < number and len(picked) < len(keys):
            template = self.draw(keys)
            if template.intents not in [t.intents for t in picked]:
                picked.append(template)
        return picked
