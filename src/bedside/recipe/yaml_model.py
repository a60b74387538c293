"""Reading a YAML file that people write into a frozen model, with every fault at once and the line it stands on."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from bedside.errors import BedsideError

Place = tuple[str | int, ...]
M = TypeVar("M", bound=BaseModel)

_MOST_BYTES = 1 << 20
_MOST_KEYS = 50_000
"""Keys and list items of one file, those behind aliases counted each time: some lines of nested aliases stand for millions."""


class _TooManyKeysError(Exception):
    pass


def read_model(
    path: Path,
    model: type[M],
    error: type[BedsideError],
    *,
    kind: str,
    example: str,
    explained: str,
    change: Callable[[dict[str, Any]], None] | None = None,
    misfits: Callable[[M], Iterable[tuple[Place, str]]] = lambda _: (),
) -> M:
    """The file as a model.

    Args:
        path: a UTF-8 YAML file of at most 1 MiB.
        model: what it has to be.
        error: what is raised.
        kind: what messages call such a file, such as "recipe".
        example: a good file of that kind.
        explained: where its keys are explained, as the end of "Correct these lines; …".
        change: applied to the plain data before it is validated.
        misfits: what does not fit together in a model whose parts are valid, each with the place of its key.

    Raises:
        error: the file is missing, too large, no YAML or no valid model; the message lists every fault with its line.
    """
    data, lines, faults = _parsed(path, error, kind, example)
    if change:
        change(data)
    try:
        read = model.model_validate(data)
        faults += [_line(place, message, lines, kind) for place, message in misfits(read)]
    except ValidationError as found:
        faults += [_fault(dict(e), lines, model, kind) for e in found.errors()]
        read = None
    if read is None or faults:
        listed = "\n".join(f"  {fault}" for fault in sorted(faults, key=_line_of))
        raise error(
            f"{str(path)!r} has {len(faults)} fault{'s' if len(faults) > 1 else ''}:\n{listed}\n", f"Correct these lines; {explained}"
        )
    return read


def _parsed(path: Path, error: type[BedsideError], kind: str, example: str) -> tuple[dict[str, Any], dict[Place, int], list[str]]:
    """The plain data, the line of each key, and the keys that stand twice."""
    text = _text(path, error, kind, example)
    lines: dict[Place, int] = {}
    try:
        faults = _index(yaml.compose(text, Loader=yaml.SafeLoader), (), lines)
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as fault:  # a date such as 2026-02-30 is a ValueError of the YAML reader
        raise error(f"{str(path)!r} is no YAML: {' '.join(str(fault).split())}", "Correct that line") from fault
    except _TooManyKeysError as fault:
        raise error(f"{str(path)!r} has more than {_MOST_KEYS:,} keys and list items", f"Start from {example}") from fault
    if not isinstance(data, dict):
        raise error(f"{str(path)!r} holds {type(data).__name__}, not a mapping of keys", f"Start from {example}")
    return data, lines, faults


def _text(path: Path, error: type[BedsideError], kind: str, example: str) -> str:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise error(f"{str(path)!r} is larger than a {kind} can be ({path.stat().st_size:,} bytes)", f"Start from {example}")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = ", ".join(sorted(p.name for p in path.parent.glob("*.yaml"))) if path.parent.is_dir() else ""
        raise error(
            f"there is no {kind} {str(path)!r}" + (f" (in that folder: {near})" if near else ""), f"Give a {kind} file such as {example}"
        ) from None
    except (UnicodeDecodeError, IsADirectoryError) as fault:
        raise error(f"{str(path)!r} is no UTF-8 text ({fault})", "Save it as UTF-8") from fault
    except OSError as fault:
        raise error(f"{str(path)!r} cannot be read ({fault.strerror})", "Change its permissions or its name") from fault


def _index(node: yaml.Node | None, place: Place, lines: dict[Place, int]) -> list[str]:
    """Remember each key's line; return faults for keys that stand twice, which YAML would silently merge."""
    faults: list[str] = []
    if len(lines) > _MOST_KEYS:
        raise _TooManyKeysError
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            where = (*place, str(key.value))
            if where in lines:
                faults.append(f"line {key.start_mark.line + 1}: {'.'.join(map(str, where))} stands twice (first on line {lines[where]})")
            lines[where] = key.start_mark.line + 1
            faults += _index(value, where, lines)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            lines[(*place, number)] = item.start_mark.line + 1
            faults += _index(item, (*place, number), lines)
    return faults


def _fault(error: dict[str, Any], lines: dict[Place, int], model: type[BaseModel], kind: str) -> str:
    place: Place = tuple(error["loc"])
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(place[-1]), _keys_at(place[:-1], model), 1)
        message = "unknown key" + (f"; did you mean {near[0]!r}?" if near else "")
    elif error["type"] == "missing":
        message = "is missing"
    elif "input" in error and not isinstance(error["input"], (dict, list)):
        message += f" (found {error['input']!r})"
    return _line(place, message, lines, kind)


def _line(place: Place, message: str, lines: dict[Place, int], kind: str) -> str:
    known = place
    while known and known not in lines:
        known = known[:-1]
    return f"line {lines.get(known, 1)}: {'.'.join(map(str, place)) or kind}: {message}"


def _keys_at(place: Place, model: Any) -> list[str]:
    for step in place:
        if isinstance(step, int):
            continue
        field = model.model_fields.get(step) if isinstance(model, type) and issubclass(model, BaseModel) else None
        model = next(iter(_models(field.annotation)), None) if field else None
    return list(model.model_fields) if model else []


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def _line_of(fault: str) -> int:
    return int(fault.split(":", 1)[0].removeprefix("line "))
