"""What the line says: text to telephone sound.

Fixed prompts are made once and kept by the hash of their text and voice; what is new is made clause by clause, so that the first plays while
the next is being made. Kokoro (embedded, natural) takes a third of the time it speaks; espeak-ng (robotic) next to none.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import logging
import multiprocessing
import re
import shutil
import wave
from collections.abc import AsyncIterator, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bedside.errors import WorkspaceError
from bedside.phone.leg import RATE
from bedside.phone.speech.recognise import SpeechError
from bedside.phone.speech.worker import end_with_parent
from bedside.workspace.fetch import cached_asset
from bedside.workspace.files import written_whole

log = logging.getLogger(__name__)

_KOKORO_RATE = 24_000
_LONGEST_SYMBOLS = 500
_CLAUSE = re.compile(r"(?<=[.!?;:,])\s+")
_LEAST_CLAUSE = 24
"""Shorter clauses (in characters) are joined to the next: a voice that starts anew every second word sounds broken."""
_ESPEAK_SECONDS = 10
_MARK = re.compile(r"([;:,.!?—…]+)")
# espeak-ng's phonemes for which Kokoro knows another symbol (hexgrad/kokoro, kokoro.js/src/phonemize.js).
_SYMBOLS = str.maketrans({"ʲ": "j", "r": "ɹ", "x": "k", "ɬ": "l", "_": None, "\u0361": None})
_LANGUAGE_SWITCH = re.compile(r"\([a-z-]+\)")


class Voice(Protocol):
    """Makes sound of text."""

    name: str
    """Says engine, voice and version: sound made by another must not be taken from the cache."""

    @property
    def pids(self) -> Sequence[int]:
        """Ids of the processes that stay alive between sentences."""
        ...

    async def speak(self, text: str) -> bytes:
        """8 kHz, 16-bit samples of `text`.

        Raises:
            SpeechError: the engine has fallen or is not installed.
        """
        ...


class Espeak:
    """The program espeak-ng, as a process for each clause."""

    name = "espeak-ng/en-gb/165"
    pids: Sequence[int] = ()

    def __init__(self) -> None:
        if shutil.which("espeak-ng") is None:
            raise SpeechError("the program espeak-ng is not installed", "sudo apt-get install espeak-ng")

    async def speak(self, text: str) -> bytes:
        """See `Voice.speak`."""
        sound = await _espeak("-v", "en-gb", "-s", "165", "--stdout", text=text)
        with wave.open(io.BytesIO(sound)) as file:
            # espeak-ng writes to a pipe, so the header's length is a guess: the samples are what follows it.
            rate, samples = file.getframerate(), np.frombuffer(sound[44:][: (len(sound) - 44) // 2 * 2], dtype="<i2")
        return _telephone(samples.astype(np.float32) / np.float32(32768), rate)


class _KokoroProcess:
    """The process that makes Kokoro's sound, for one voice or several."""

    def __init__(self, threads: int) -> None:
        from bedside.phone.speech.weights import KOKORO, KOKORO_SYMBOLS

        self._files = [str(cached_asset(asset)) for asset in (KOKORO, KOKORO_SYMBOLS)]
        self._threads = threads
        self._pool = self._start()

    def _start(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _load_kokoro, (self._files, self._threads))

    @property
    def pids(self) -> list[int]:
        """Ids of the system's process, none before the first sentence."""
        return list(self._pool._processes or ())

    async def make(self, phonemes: str, style: str, speed: float) -> NDArray[np.float32]:
        """Sound of IPA by the style vectors of a file."""
        pool = self._pool
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, _synthesise, phonemes, style, speed)
        except BrokenProcessPool as error:
            if self._pool is pool:
                pool.shutdown(wait=False)
                self._pool = self._start()
            raise SpeechError("the voice's process has fallen", "It is started again for the next sentence") from error

    def close(self) -> None:
        """End it."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class Kokoro:
    """Kokoro-82M by ONNX, in a process of its own; phonemes come from espeak-ng.

    Args:
        voice: one of `weights.KOKORO_VOICES`.
        threads: of the process.
        speed: 1 as the voice was made, 1.3 fast, 0.8 slow.
        accent: changes of IPA, in order, as pairs of a regular expression and what stands in its place.
        beside: another voice, whose process this one shares.

    Raises:
        BaseModelError: the weights have not been fetched.
        SpeechError: espeak-ng is not installed.
    """

    def __init__(
        self,
        voice: str = "bf_emma",
        threads: int = 1,
        speed: float = 1.0,
        accent: Sequence[tuple[str, str]] = (),
        beside: Kokoro | None = None,
    ) -> None:
        from bedside.phone.speech.weights import kokoro_voice

        Espeak()
        self.name = "/".join(map(str, ("kokoro-v1.0-int8", voice, *((speed, *accent) if speed != 1 or accent else ()))))
        self._speed, self._accent = speed, accent
        self._style = str(cached_asset(kokoro_voice(voice)))
        self.process: _KokoroProcess = beside.process if beside else _KokoroProcess(threads)

    @property
    def pids(self) -> Sequence[int]:
        """See `Voice.pids`."""
        return self.process.pids

    async def speak(self, text: str) -> bytes:
        """See `Voice.speak`."""
        sound = await self.process.make(await self._phonemes(text), self._style, self._speed)
        return _telephone(sound, _KOKORO_RATE)

    async def _phonemes(self, text: str) -> str:
        """IPA of `text`; marks are kept, which espeak-ng drops and Kokoro pauses at."""
        parts = []
        for number, part in enumerate(_MARK.split(text)):
            if number % 2:
                parts.append(part[0] + " ")
            elif part.strip():
                said = (await _espeak("-q", "--ipa=3", "-v", "en-gb", text=part.strip())).decode("utf-8")
                parts.append(" ".join(_LANGUAGE_SWITCH.sub("", said).split()).translate(_SYMBOLS))
        ipa = "".join(parts).strip()
        for sound, instead in self._accent:
            ipa = re.sub(sound, instead, ipa)
        return ipa

    async def close(self) -> None:
        """End the process, for all voices that share it."""
        self.process.close()


class Prompts:
    """Sentences as sound, each made once.

    Args:
        voice: makes what is not there yet.
        folder: keeps what was made.
        spare: speaks where the voice has fallen; what it makes is not kept. None: the sentence fails.
    """

    def __init__(self, voice: Voice, folder: Path, spare: Voice | None = None) -> None:
        self.voice, self.folder, self._spare = voice, folder, spare
        folder.mkdir(parents=True, exist_ok=True)
        self._held: dict[str, bytes] = {}

    async def sound(self, text: str, *, keep: bool = True) -> bytes:
        """Samples of `text`, from the cache where they are there. `keep=False` for words about a person: they are never written."""
        key = hashlib.sha256(f"{self.voice.name}\n{text}".encode()).hexdigest()[:32]
        if key in self._held:
            return self._held[key]
        file = self.folder / f"{key}.pcm"
        if file.is_file():
            pcm = await asyncio.to_thread(file.read_bytes)
        else:
            try:
                pcm = await self.voice.speak(text)
            except SpeechError as error:
                if self._spare is None:
                    raise
                log.warning("%s; %s speaks in its place", error.problem, self._spare.name)
                return await self._spare.speak(text)
            if not keep:
                return pcm
            try:
                with written_whole(file) as partial:
                    partial.write_bytes(pcm)
            except WorkspaceError as error:
                log.warning("a sentence could not be kept on the disk: %s", error)
        self._held[key] = pcm
        return pcm

    async def stream(self, text: str, *, keep: bool) -> AsyncIterator[bytes]:
        """Samples of `text`, a clause at a time where it is not cached as a whole."""
        for clause in clauses(text):
            yield await self.sound(clause, keep=keep)

    async def prepare(self, texts: Iterable[str]) -> int:
        """Make all clauses of `texts` beforehand; returns how many were new."""
        wanted = list(dict.fromkeys(clause for text in texts for clause in clauses(text)))
        before = len(self._held)
        for clause in wanted:
            await self.sound(clause)
        return len(self._held) - before


def clauses(text: str) -> list[str]:
    """`text` cut at its marks into pieces worth saying on their own."""
    pieces: list[str] = []
    for piece in _CLAUSE.split(" ".join(text.split())):
        if pieces and len(pieces[-1]) < _LEAST_CLAUSE:
            pieces[-1] += f" {piece}"
        elif piece:
            pieces.append(piece)
    return pieces


async def _espeak(*options: str, text: str) -> bytes:
    # The text goes by standard input: on the command line every user of the machine could read it.
    process = await asyncio.create_subprocess_exec(
        "espeak-ng", *options, "--stdin", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        sound, _ = await asyncio.wait_for(process.communicate(text.encode()), _ESPEAK_SECONDS)
    except TimeoutError as error:
        process.kill()
        raise SpeechError(f"espeak-ng did not answer in {_ESPEAK_SECONDS} seconds", "Check the machine's load") from error
    if process.returncode:
        raise SpeechError(f"espeak-ng ended with {process.returncode}", "Run espeak-ng by hand to see why")
    return sound


def _telephone(samples: NDArray[np.float32], rate: int) -> bytes:
    import soxr

    sound: NDArray[np.float32] = soxr.resample(samples, rate, RATE)
    return (np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes()


# --- in the voice's process -------------------------------------------------------------------------------------------------------------

_session: Any = None
_symbols: dict[str, int] = {}


def _load_kokoro(files: list[str], threads: int) -> None:
    global _session, _symbols
    end_with_parent()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    model, symbols = files
    _session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    _symbols = json.loads(Path(symbols).read_text(encoding="utf-8"))["vocab"]


@cache
def _style_vectors(file: str) -> NDArray[np.float32]:
    return np.fromfile(file, dtype="<f4").reshape(-1, 256)


def _synthesise(phonemes: str, style: str, speed: float) -> NDArray[np.float32]:
    tokens = [_symbols[symbol] for symbol in phonemes if symbol in _symbols]
    vectors = _style_vectors(style)
    parts = []
    for start in range(0, len(tokens), _LONGEST_SYMBOLS):
        part = tokens[start : start + _LONGEST_SYMBOLS]
        inputs = {
            "tokens": np.array([[0, *part, 0]], dtype=np.int64),
            "style": vectors[min(len(part), len(vectors)) - 1][None],
            "speed": np.array([speed], dtype=np.float32),
        }
        parts.append(np.asarray(_session.run(None, inputs)[0], dtype=np.float32).ravel())
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)
