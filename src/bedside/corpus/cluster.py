"""One function over many batches: in processes of this machine, or on Ray Data where the corpus has outgrown it.

A batch function takes a list of records and gives one result; it is a plain top-level function, so that it can travel.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from typing import Any, TypeVar

from bedside.errors import SourceError

T = TypeVar("T")
R = TypeVar("R")

BATCH = 4096


def batches(records: Iterable[T], size: int = BATCH) -> Iterator[list[T]]:
    """The records in lists of `size`, read only as they are needed."""
    source = iter(records)
    while batch := list(islice(source, size)):
        yield batch


def map_batches(function: Callable[[Sequence[T]], R], records: Iterable[T], *, processes: int = 1, size: int = BATCH) -> Iterator[R]:
    """`function` of each batch, in order; never more batches in memory than twice the processes.

    Args:
        processes: 1 works in this process.
    """
    if processes <= 1:
        yield from map(function, batches(records, size))
        return
    waiting: deque[Future[R]] = deque()
    # A fresh process holds no lock of a library that this one has started threads of.
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        for batch in batches(records, size):
            waiting.append(pool.submit(function, batch))
            if len(waiting) >= 2 * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def ray_batches(function: Callable[[Sequence[Any]], R], rows: Any, *, column: str, size: int = BATCH) -> Iterator[R]:
    """`function` of each batch of a Ray Dataset, in the dataset's order.

    Args:
        rows: a `ray.data.Dataset`.
        column: the column that holds the records; the dataset's other columns stay behind.

    Raises:
        SourceError: Ray is not installed, or the dataset has no such column.
    """
    try:
        from ray.data import DataContext
    except ImportError as error:
        raise SourceError("Ray is not installed", "Type: pip install 'bedside[cluster]'") from error
    if column not in rows.schema().names:
        raise SourceError(f"the dataset has no column {column!r}, but {', '.join(rows.schema().names)}", "Name the column of the records")
    DataContext.get_current().execution_options.preserve_order = True

    def one(batch: dict[str, Any]) -> dict[str, list[R]]:
        return {"result": [function(list(batch[column]))]}

    for row in rows.select_columns([column]).map_batches(one, batch_size=size).iter_rows():
        yield row["result"]
