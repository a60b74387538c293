"""Reads documents in a process of its own, limited in time and memory, so that a hostile file costs one line of the report.

python -m bedside.answers.reading       a path as JSON a line on standard input → a document, or a problem, as JSON a line
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from threading import Timer
from types import TracebackType

from bedside.answers.documents import Block, Document, DocumentError, Problem, read_document

SECONDS = 60.0
"""For one document."""
MAX_MEMORY = 2 * 1024**3
"""Bytes of address space of the process."""


class Reader:
    """Reads one document after another; use it as a context manager.

    Args:
        seconds: for one document.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    def read(self, path: Path) -> Document:
        """The text of one file.

        Raises:
            DocumentError: it cannot be read, or not within the limits of time and memory.
        """
        answer = self._asked(str(path))
        if not answer:
            self._stop()
            raise DocumentError("took_too_long", f"reading it took more than {self._seconds:.0f} s or {MAX_MEMORY >> 30} GiB of memory")
        found = json.loads(answer)
        if "reason" in found:
            raise DocumentError(**found)
        blocks = tuple(Block(**block) for block in found["blocks"])
        return Document(found["title"], found["text"], blocks, tuple(Problem(**problem) for problem in found["problems"]))

    def _asked(self, path: str) -> str:
        """The process's line about a path; empty when it died or was stopped."""
        if self._process is None:
            self._process = subprocess.Popen(
                # -P: a module that lies where the command was typed is not taken for one of ours.
                [sys.executable, "-P", "-c", f"import {__name__} as reading; reading.answer_paths()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",
            )
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        timer = Timer(self._seconds, process.kill)
        timer.start()
        try:
            process.stdin.write(json.dumps(path) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            return ""
        finally:
            timer.cancel()
        return answer if answer.endswith("\n") else ""

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


def answer_paths() -> None:
    """What the process does: for each line of standard input, a path as JSON, write a document or a problem as a line of JSON."""
    _limit_memory()
    logging.disable()  # broken files are told of by their problems
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # nothing that a parser prints may stand among the answers
    for line in sys.stdin:
        try:
            found = asdict(read_document(Path(json.loads(line))))
        except DocumentError as error:
            found = asdict(error.problem)
        answers.write(json.dumps(found) + "\n")
        answers.flush()


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limit; that of time holds there too
        return
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
