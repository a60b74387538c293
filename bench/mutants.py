"""How many faults planted in the Medicare and PBS rules the dated cases notice: comparisons, conditions and numbers of the code, days and values of the facts.

Only rules are mutated: bodies of functions in `bedside.safety.medicare`, and facts. A mutant is killed where any case answers differently.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any
from unittest.mock import patch

import yaml
from rich.console import Console

from bedside.errors import KnowledgeError
from bedside.knowledge import medicare
from bedside.knowledge.facts import Fact
from bedside.knowledge.mbs_import import import_schedule
from bedside.safety.medicare import Tables, run_check

CASES = Path(__file__).parents[1] / "tests/safety/medicare"
MODULES = tuple(
    importlib.import_module(f"bedside.safety.medicare.{name}")
    for name in ("answers", "attendances", "fees", "pbs", "plans", "scripts", "telehealth")
)
SCHEDULES = (date(2024, 7, 5), date(2025, 11, 10), date(2026, 3, 1), date(2027, 11, 10))
_SAID = "told to staff, no check reads it"
_NEWEST = "of two versions in force on a day the newer is taken"
_LATER = "another rule that is asked first begins, or ends, on that day"
_FIRST = "another rule that is asked first answers the same"
# Beginnings of names of mutants that no answer can show, and why.
EQUIVALENT = {
    **dict.fromkeys(("TH-5:", "BB-BBPIP:", "CCM-4:", "CCM-5:", "MH-2:", "MH-3:", "PBS-2-2026:", "PBS-11:"), _SAID),
    "LEVEL-2010: valid_to 2023-11-01": _NEWEST,
    "TH-1-2022: valid_to 2025-11-01": _NEWEST,
    "BB-WHO-2023: valid_to 2025-11-01": _NEWEST,
    "PBS-1-2025: valid_to 2026-01-01": _NEWEST,
    "PBS-1-2026: valid_to 2027-01-01": _NEWEST,
    **{
        f"TH-X-{name}: valid_from 2021-12-31": _LATER
        for name in ["MH-SUPPORT", "COVID", "INFANT", "HOMELESS", "AMS", "DISASTER", "ISOLATION"]
    },
    **{f"TH-X-{name}: valid_from 2021-12-31": _LATER for name in ["URGENT", "EATING", "PREGNANCY", "BBV", "UCC"]},
    **{f"BB-{name}: valid_from 2023-10-31": _LATER for name in ("SINGLE", "TRIPLE", "MYMEDICARE")},
    **{f"CCM-{name}: valid_from 2025-06-30": _LATER for name in ["2", "3-PREPARE", "3-REVIEW", "6", "7", "7-ATSI", "8"]},
    **{f"FEE-{level}-2026: valid_from 2026-06-30": _FIRST for level in ("A", "B", "C", "D", "E", "PLAN")},
    **{f"FEE-{level}-2025: valid_from 2025-06-30": _FIRST for level in ("A", "B", "PLAN", "PLAN-PMP")},
    "AH-ROOMS: valid_from 2010-04-30": _LATER,
    "AH-URGENT: valid_from 2010-04-30": _LATER,
    "AH-URGENT: values {'weekday_from': '7'": _FIRST,
    "AH-URGENT: values {'weekday_from': '8', 'weekday_to': '18', 'saturday_from': '7'": _FIRST,
    "TH-2-E: valid_from 2021-12-31": _LATER,
    "TH-MH: valid_from 2025-10-31": _FIRST,
    "PBS-5-STAGE-1: valid_from 2023-08-31": _LATER,
    "PBS-1-2027: valid_to 2030-01-01": _LATER,
    "LEVEL-2010: values {'A': '-1'": "no attendance lasts less than nothing",
    "LEVEL-2023: values {'A': '-1'": "no attendance lasts less than nothing",
    "answers shown:": "how much of a fact a message quotes",
}


@dataclass(frozen=True, slots=True)
class Case:
    """A question and what has to be answered: attributes of `Answer`, or in `error` what the KnowledgeError has to say."""

    check: str
    facts: dict[str, Any]
    tables: bool
    expected: dict[str, Any]

    def holds(self, tables: Tables) -> bool:
        """Whether the rules answer as expected."""
        try:
            found = run_check(self.check, self.facts, tables if self.tables else None)
        except KnowledgeError as error:
            return self.expected.get("error", "no error") in str(error)
        except Exception:  # a mutant may raise anything
            return False
        answered = {
            "because": found.because,
            "answer": found.answer,
            "rule": found.rule,
            "value": found.value,
            "missing": list(found.missing),
        }
        return all(answered.get(name) == value for name, value in self.expected.items())


@cache
def cases() -> tuple[Case, ...]:
    """The dated cases of the tests."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    book = yaml.load((CASES / "cases.yaml").read_text(encoding="utf-8"), Loader=loader)
    return tuple(Case(check, entry.pop("facts"), entry.pop("tables", False), entry) for check, entries in book.items() for entry in entries)


def invented_tables(folder: Path) -> Tables:
    """The invented schedule, imported for three days, and the invented PBS table."""
    for day in SCHEDULES:
        table = import_schedule(CASES / "schedule.csv", folder, day).table
    return Tables(mbs=table, pbs=CASES / "2026-03-01-items.csv")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One planted fault: where and what, and a way to have it in force for a while."""

    name: str
    planted: Callable[[], Any]

    def killed_by(self, book: Sequence[Case], tables: Tables) -> bool:
        """Whether any case notices."""
        with self.planted():
            return not all(case.holds(tables) for case in book)


def mutants() -> list[Mutant]:
    """All mutants of code and facts, in a fixed order."""
    return [*_code_mutants(), *_fact_mutants()]


# Code.

_SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn,
    ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And, ast.Add: ast.Sub, ast.Sub: ast.Add,
}  # fmt: skip
_WORDS = {"yes": "no", "no": "yes", "min": "max", "max": "min"}


def _variants(node: ast.AST) -> Iterator[tuple[str, Callable[[Any], None]]]:
    """What may be done to a node: a description, and the change to a copy of it."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _SWAPS:
        yield "other comparison", lambda n: n.ops.__setitem__(0, _SWAPS[type(n.ops[0])]())
    if isinstance(node, ast.BoolOp | ast.BinOp) and type(node.op) in _SWAPS:
        yield "other operator", lambda n: setattr(n, "op", _SWAPS[type(n.op)]())
    if isinstance(node, ast.BoolOp):
        neutral = isinstance(node.op, ast.And)
        for dropped in range(len(node.values)):
            yield f"condition {dropped} dropped", lambda n, dropped=dropped: n.values.__setitem__(dropped, ast.Constant(neutral))
    if isinstance(node, ast.If | ast.IfExp):
        for always in (True, False):
            yield f"always {always}", lambda n, always=always: setattr(n, "test", ast.copy_location(ast.Constant(always), n.test))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "not dropped", lambda n: setattr(n, "operand", ast.copy_location(ast.UnaryOp(ast.Not(), n.operand), n))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield "minus dropped", lambda n: setattr(n, "op", ast.UAdd())
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int):
        for value in {not node.value} if isinstance(node.value, bool) else {node.value + 1, node.value - 1}:
            yield f"{node.value} as {value}", lambda n, value=value: setattr(n, "value", value)
    if isinstance(node, ast.Constant) and node.value in ("yes", "no"):
        yield "other answer", lambda n: setattr(n, "value", _WORDS[n.value])
    if isinstance(node, ast.Name) and node.id in _WORDS:
        yield f"{node.id} turned", lambda n: setattr(n, "id", _WORDS[n.id])


def _code_mutants() -> Iterator[Mutant]:
    for module in MODULES:
        functions = _functions(module)
        tree = ast.parse(inspect.getsource(module))
        # With the imports, because calls of imported modules compile to other code.
        imports = [part for part in tree.body if isinstance(part, ast.Import | ast.ImportFrom)]
        for part in tree.body:
            for node in ast.walk(part) if isinstance(part, ast.FunctionDef | ast.ClassDef) else ():
                for what, change in _variants(node):
                    codes = _codes(_compiled(module, [*imports, part], node, change))
                    changed = {name for name, code in codes.items() if name in functions and code != functions[name].__code__}
                    if changed:
                        line = getattr(node, "lineno", 0)
                        name = f"{module.__name__.rpartition('.')[2]} {min(changed)}: {what} (line {line})"
                        yield Mutant(name, lambda functions=functions, codes=codes, changed=changed: _swapped(functions, codes, changed))


def _compiled(module: ModuleType, parts: list[ast.stmt], node: ast.AST, change: Callable[[Any], None]) -> CodeType:
    """Those parts of a module with one node changed; the node is as before afterwards."""
    before = {name: list(value) if isinstance(value, list) else value for name, value in vars(node).items()}
    change(node)
    code = compile(ast.fix_missing_locations(ast.Module(parts, [])), str(module.__file__), "exec")
    vars(node).update(before)
    return code


def _functions(module: ModuleType) -> dict[str, FunctionType]:
    """Functions and methods that the module defines, by qualified name; validators of pydantic are unwrapped."""
    found: dict[str, FunctionType] = {}
    held = [*vars(module).values()]
    held += [member for kind in held if inspect.isclass(kind) and kind.__module__ == module.__name__ for member in vars(kind).values()]
    for member in held:
        plain = inspect.unwrap(getattr(getattr(member, "wrapped", member), "__func__", getattr(member, "wrapped", member)))
        if isinstance(plain, FunctionType) and plain.__module__ == module.__name__:
            found[plain.__qualname__] = plain
    return found


def _codes(code: CodeType) -> dict[str, CodeType]:
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return {part.co_qualname: part for outer in inner for part in (outer, *_codes(outer).values())}


@contextmanager
def _swapped(functions: dict[str, FunctionType], codes: dict[str, CodeType], names: set[str]) -> Iterator[None]:
    before = {name: functions[name].__code__ for name in names}
    try:
        for name in names:
            functions[name].__code__ = codes[name]
        yield
    finally:
        for name, code in before.items():
            functions[name].__code__ = code


# Facts.


def _fact_mutants() -> Iterator[Mutant]:
    for family, versions in medicare.rules().items():
        for place, rule in enumerate(versions):
            for what, other in _changed(rule):
                mutated = {**medicare.rules(), family: (*versions[:place], other, *versions[place + 1 :])}
                yield Mutant(f"{rule.id}: {what}", lambda mutated=mutated: patch.object(medicare, "rules", lambda: mutated))
    for number, item in medicare.items().items():
        for what, other in _changed(item):
            known = {**medicare.items(), number: other}
            yield Mutant(f"{item.id}: {what}", lambda known=known: patch.object(medicare, "items", lambda: known))
    for name in ("fees", "assessments"):
        facts = getattr(medicare, name)()
        for place, fact in enumerate(facts):
            for what, other in _changed(fact):
                listed = (*facts[:place], other, *facts[place + 1 :])
                yield Mutant(f"{fact.id}: {what}", lambda name=name, listed=listed: patch.object(medicare, name, lambda: listed))


def _changed(fact: Fact) -> Iterator[tuple[str, Any]]:
    """The fact with one field changed, and the field's name and new value."""
    for name in ("valid_from", "valid_to"):
        day = getattr(fact, name)
        for step in (-1, 1) if day else ():
            yield _with(fact, name, day + timedelta(step))
    for name in ("months", "count", "min_age", "max_age"):
        number = getattr(fact, name, None)
        for step in (-1, 1) if number else ():
            yield _with(fact, name, number + step)
    if isinstance(fact, medicare.Fee):
        yield _with(fact, "benefit", fact.benefit + Decimal("0.05"))
    for name in ("values", "items"):
        table = getattr(fact, name, None)
        for key, value in table.items() if isinstance(table, dict) else ():
            for other in (value + 1, value - 1) if isinstance(value, Decimal) else (f"9{value}",):
                yield _with(fact, name, {**table, key: other})
    if isinstance(fact, medicare.Item) and fact.level in ("C", "D", "E"):  # the mode of no other item decides anything
        yield _with(fact, "mode", "video" if fact.mode == "face_to_face" else "face_to_face")
        yield _with(fact, "mymedicare", not fact.mymedicare)


def _with(fact: Fact, name: str, value: object) -> tuple[str, Fact]:
    said = {key: str(entry) for key, entry in value.items()} if isinstance(value, dict) else value
    return f"{name} {said}", fact.model_copy(update={name: value})


def survivors(planted: Sequence[Mutant]) -> list[str]:
    """Names of the mutants that no case notices."""
    book = cases()
    with tempfile.TemporaryDirectory() as folder:
        tables = invented_tables(Path(folder))
        unmoved = [case for case in book if not case.holds(tables)]
        if unmoved:
            raise AssertionError(f"cases fail without any mutant: {unmoved[:3]}")
        return [mutant.name for mutant in planted if not mutant.killed_by(book, tables)]


def is_equivalent(name: str) -> bool:
    """Whether the mutant is listed as one that no answer can show."""
    return name.startswith(tuple(EQUIVALENT))


def measure(console: Console) -> None:
    """Print the share killed of those that could be, name the survivors, and what is listed as equivalent and is not."""
    planted = mutants()
    alive = survivors(planted)
    equivalent = sum(is_equivalent(mutant.name) for mutant in planted)
    unnoticed = [name for name in alive if not is_equivalent(name)]
    stale = [known for known in EQUIVALENT if not any(name.startswith(known) for name in alive)]
    for said, names in (("alive", unnoticed), ("listed as equivalent but killed", stale)):
        for name in names:
            console.print(f"{said}: {name}", highlight=False, markup=False)
    counted = len(planted) - equivalent
    share = 1 - len(unnoticed) / counted
    console.print(f"{counted - len(unnoticed)} of {counted} killed ({share:.1%}), {equivalent} equivalent left out", highlight=False)
