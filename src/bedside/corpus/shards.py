"""Records on the disk, a file for each batch, so that a corpus of any size needs the memory of one batch, and a killed run goes on.

00000.jsonl           rows of a batch, as JSON Lines
00000.arrow           cleaned conversations with their sketches, as an Arrow file that is mapped into memory
00000.ledger.jsonl    what happened to the batch's records; written last, so that a batch that has it is done
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bedside.corpus.conversation import Conversation
from bedside.corpus.duplicates import BANDS, ROWS, Sketches
from bedside.workspace.files import write_jsonl, written_whole
from bedside.workspace.ledger import Entry

SIZE = 512
"""Records of a batch: a few seconds of one core."""
_NARROW: dict[str, Any] = {"exact": np.uint64, "telling": np.uint64, "length": np.int64}
_WIDE: dict[str, tuple[Any, tuple[int, ...]]] = {"bands": (np.uint64, (BANDS,)), "minima": (np.uint8, (2, BANDS * ROWS))}
_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("conversation", "source", "where", "family")]
    + [(name, pa.from_numpy_dtype(dtype)) for name, dtype in _NARROW.items()]
    + [(name, pa.binary(int(np.dtype(dtype).itemsize * np.prod(shape)))) for name, (dtype, shape) in _WIDE.items()]
)


class Batches:
    """Numbered batches of a stage.

    Args:
        folder: where they lie; made when it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def missing(self, count: int) -> list[int]:
        """Which of the first `count` batches are not done."""
        return [number for number in range(count) if not self._ledger(number).exists()]

    def write(self, number: int, lines: Iterable[str], entries: Iterable[Entry], table: pa.Table | None = None) -> None:
        """Keep a batch: its rows as JSON, what happened to it, and a table where it has one."""
        if table is not None:
            with written_whole(self.path(number, "arrow")) as partial, pa.ipc.new_file(str(partial), table.schema) as writer:
                writer.write_table(table)
        with written_whole(self.path(number, "jsonl")) as partial, partial.open("w", encoding="utf-8") as stream:
            stream.writelines(f"{line}\n" for line in lines)
        write_jsonl(self._ledger(number), [asdict(entry) for entry in entries])

    def lines(self, number: int) -> list[str]:
        """The rows of a batch as JSON."""
        with self.path(number, "jsonl").open(encoding="utf-8", newline="\n") as stream:
            return list(stream)

    def entries(self, count: int) -> Iterator[Entry]:
        """What happened to the records of the first `count` batches."""
        for number in range(count):
            with self._ledger(number).open(encoding="utf-8") as stream:
                yield from (Entry(**json.loads(line)) for line in stream)

    def path(self, number: int, ending: str) -> Path:
        """The file of a batch."""
        return self.folder / f"{number:06}.{ending}"

    def _ledger(self, number: int) -> Path:
        return self.path(number, "ledger.jsonl")


def pack(conversations: list[Conversation], sketches: Sketches) -> pa.Table:
    """Conversations with their sketches, a row each."""
    origins = [conversation.provenance for conversation in conversations]
    columns = [
        [conversation.model_dump_json() for conversation in conversations],
        *([getattr(origin, name) for origin in origins] for name in ("source", "where", "family")),
        *(getattr(sketches, name) for name in _NARROW),
        *([row.tobytes() for row in getattr(sketches, name)] for name in _WIDE),
    ]
    return pa.table(columns, schema=_SCHEMA)


class Records:
    """All cleaned records, read from their batches' Arrow files as they are needed.

    Args:
        batches: of the cleaning stage, all done.
        count: how many batches.
    """

    def __init__(self, batches: Batches, count: int) -> None:
        self._batches = batches
        self._table = lru_cache(maxsize=64)(self._mapped)
        self._ends = list(accumulate(len(self._table(number)) for number in range(count)))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @property
    def batches(self) -> range:
        """The numbers of the batches."""
        return range(len(self._ends))

    def first(self, number: int) -> int:
        """The number in the corpus of a batch's first record."""
        return self._ends[number - 1] if number else 0

    def batch(self, number: int) -> list[Conversation]:
        """The conversations of a batch."""
        return [Conversation.model_validate_json(line) for line in self._table(number)["conversation"].to_pylist()]

    def value(self, column: str, record: int) -> str:
        """`source`, `where` or `family` of a record by its number in the corpus."""
        number = bisect_right(self._ends, record)
        return str(self._table(number)[column][record - self.first(number)].as_py())

    def sources(self, order: dict[str, int]) -> NDArray[np.int64]:
        """(records,) the place of each record's source in `order`."""
        places = [order[name] for number in self.batches for name in self._table(number)["source"].to_pylist()]
        return np.array(places, dtype=np.int64)

    def sketches(self) -> Sketches:
        """The sketches of all records; the wide ones lie in memory-mapped files beside the batches."""
        narrow = {name: np.empty(len(self), dtype) for name, dtype in _NARROW.items()}
        wide = {name: self.mapped(name, dtype, shape) for name, (dtype, shape) in _WIDE.items()}
        for number, end in enumerate(self._ends):
            table, rows = self._table(number), slice(self.first(number), end)
            for name, column in narrow.items():
                column[rows] = table[name].to_numpy()
            for name, column in wide.items():
                column[rows] = np.frombuffer(b"".join(table[name].to_pylist()), dtype=column.dtype).reshape(column[rows].shape)
        return Sketches(**narrow, **wide)

    def mapped(self, name: str, dtype: Any, shape: tuple[int, ...]) -> NDArray[Any]:
        """An array of zeros with a row a record, in a memory-mapped file."""
        if not len(self):
            return np.empty((0, *shape), dtype)
        return np.lib.format.open_memmap(self._batches.folder / f"{name}.npy", mode="w+", dtype=dtype, shape=(len(self), *shape))

    def _mapped(self, number: int) -> pa.Table:
        with pa.memory_map(str(self._batches.path(number, "arrow"))) as source:
            return pa.ipc.open_file(source).read_all()
