"""What the worker processes of speech have in common."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from multiprocessing import parent_process


def end_with_parent() -> None:
    """End this process when its parent does. Workers of a pool whose owner was killed wait for work for ever, with a model in memory each."""
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent.join,), daemon=True).start()


def _end_after(join: Callable[[], None]) -> None:
    join()
    os._exit(1)
