"""What the caller said: speech to text, embedded or by a server.

The embedded recogniser is Whisper base by faster-whisper (Radford et al. 2022, arXiv:2212.04356) in processes of its own: it must not keep
the media clock waiting, and its fall must not be the line's. Whisper reads 30 seconds whatever was said; here it reads the turn and little
more, which is three times as fast on telephone turns.

Whisper goes on in the manner of the words that it is told came before a turn. Where a number or a date is expected those are an example of
one, so that it writes digits (`expected.yaml`). It gets no names: prompted with a practice's names it hears them in silence and in others.
"""

from __future__ import annotations

import asyncio
import io
import math
import multiprocessing
import os
import re
import wave
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

import httpx
import numpy as np
import yaml

from bedside.errors import BedsideError
from bedside.phone.leg import RATE
from bedside.phone.speech.worker import end_with_parent
from bedside.workspace.fetch import cached_asset

_WHISPER_RATE = 16_000
_FRAMES_A_SECOND = 100
_LEAST_FRAMES = 10 * _FRAMES_A_SECOND
"""Shorter windows make Whisper repeat itself."""
_LONGEST_SECONDS = 28.0
_BEAMS = 5
_MUCH = 5
"""Digits; fewer may well have been said."""
_TOKENS_A_SECOND, _TOKENS_MORE = 10, 12
_REPEATED = re.compile(r"\b((?:[\w']+\W+){0,7}?[\w']+)(?:\W+\1\b){2,}", re.IGNORECASE)


class SpeechError(BedsideError):
    """Speech could not be recognised or made: the engine has fallen, or its server does not answer."""


@dataclass(frozen=True, slots=True)
class Recognised:
    """One turn as text.

    Attributes:
        text: with the recogniser's own capitals and marks.
        confidence: geometric mean of the tokens' probabilities, 0 to 1. Under 0.67 (a mean log of -0.4) nine of ten turns with gross
            errors lie, and one of twenty good ones.
        seconds: of audio.
    """

    text: str
    confidence: float
    seconds: float


class Recogniser(Protocol):
    """Turns a caller's turn into text."""

    async def recognise(self, pcm: bytes, before: str = "") -> Recognised:
        """Text of one turn: 8 kHz, 16-bit.

        Args:
            before: words in whose manner the turn goes on; of `expected`.

        Raises:
            SpeechError: the engine has fallen or does not answer.
        """
        ...

    async def close(self) -> None:
        """Free what it holds."""
        ...

    @property
    def pids(self) -> Sequence[int]:
        """Ids of its processes on this machine."""
        ...


class EmbeddedWhisper:
    """Whisper in worker processes of one thread each.

    Args:
        workers: processes; None takes one for each core.

    Raises:
        BaseModelError: the weights have not been fetched.
    """

    def __init__(self, workers: int | None = None) -> None:
        from bedside.phone.speech.weights import WHISPER

        self._files = [str(cached_asset(asset)) for asset in WHISPER]
        self._workers = workers or len(os.sched_getaffinity(0))
        self._pool = self._start()

    def _start(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self._workers, multiprocessing.get_context("spawn"), _load_worker, (self._files,))

    @property
    def pids(self) -> Sequence[int]:
        """See `Recogniser.pids`."""
        return list(self._pool._processes or ())

    async def warm(self) -> None:
        """Load every worker's model, so that the first caller does not wait for it."""
        silence = bytes(2 * RATE)
        await asyncio.gather(*(self.recognise(silence) for _ in range(self._workers)))

    async def recognise(self, pcm: bytes, before: str = "") -> Recognised:
        """See `Recogniser.recognise`. A fallen worker ends this turn with an error; the next turn finds new workers."""
        pool = self._pool
        try:
            text, confidence = await asyncio.get_running_loop().run_in_executor(pool, _transcribe, pcm, before)
        except BrokenProcessPool as error:
            if self._pool is pool:
                pool.shutdown(wait=False)
                self._pool = self._start()
            raise SpeechError("the speech recogniser's process has fallen", "The call goes to a person; new workers are started") from error
        return Recognised(text, confidence, len(pcm) / (2 * RATE))

    async def close(self) -> None:
        """End the workers."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class _Elsewhere:
    """A recogniser with no process of its own here."""

    pids: Sequence[int] = ()


class ServedRecogniser(_Elsewhere):
    """Any server with OpenAI's `/audio/transcriptions` (https://platform.openai.com/docs/api-reference/audio), such as vLLM or speaches.

    Args:
        url: up to and with `/v1`.
        model: as the server names it.
        key: bearer token, or None.
        timeout: seconds until a turn counts as failed.
    """

    def __init__(self, url: str, model: str, *, key: str | None = None, timeout: float = 5.0) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.AsyncClient(base_url=url.rstrip("/") + "/", headers=headers, timeout=timeout)
        self._model = model

    async def recognise(self, pcm: bytes, before: str = "") -> Recognised:
        """See `Recogniser.recognise`."""
        data = {"model": self._model, "language": "en", "response_format": "verbose_json", "temperature": "0", "prompt": before}
        try:
            answer = await self._client.post("audio/transcriptions", data=data, files={"file": ("turn.wav", as_wav(pcm), "audio/wav")})
            answer.raise_for_status()
            body = answer.json()
            segments = [float(segment["avg_logprob"]) for segment in body.get("segments") or () if "avg_logprob" in segment]
            text = str(body["text"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise SpeechError(
                f"the speech server {str(self._client.base_url)!r} gave no transcript ({type(error).__name__})",
                "Check that it runs and that its model is the one named in the practice's settings",
            ) from error
        return Recognised(without_repeats(text.strip()), math.exp(min(segments, default=0.0)), len(pcm) / (2 * RATE))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


class RivaRecogniser(_Elsewhere):
    """NVIDIA Riva or a speech NIM by gRPC (https://docs.nvidia.com/deeplearning/riva).

    Args:
        address: `host:port`.
        words: names that the server should favour; Riva boosts them without inventing them, unlike a prompt.

    Raises:
        SpeechError: the package nvidia-riva-client is not installed.
    """

    def __init__(self, address: str, *, words: tuple[str, ...] = (), boost: float = 20.0, timeout: float = 5.0) -> None:
        try:
            import riva.client as riva
        except ImportError as error:
            raise SpeechError("speech by Riva needs the package nvidia-riva-client", "Install bedside[riva]") from error
        self._service = riva.ASRService(riva.Auth(uri=address))
        self._config = riva.RecognitionConfig(
            encoding=riva.AudioEncoding.LINEAR_PCM,
            sample_rate_hertz=RATE,
            audio_channel_count=1,
            language_code="en-US",
            max_alternatives=1,
            enable_automatic_punctuation=False,
        )
        riva.add_word_boosting_to_config(self._config, list(words), boost)
        self._timeout = timeout

    async def recognise(self, pcm: bytes, before: str = "") -> Recognised:
        """See `Recogniser.recognise`; Riva takes no words that stand before."""
        try:
            call = asyncio.to_thread(self._service.offline_recognize, pcm, self._config)
            answer = await asyncio.wait_for(call, self._timeout)
        except Exception as error:  # gRPC's errors are of many kinds, and so is a time-out
            raise SpeechError(f"Riva gave no transcript ({type(error).__name__})", "Check that the Riva server runs") from error
        best = [result.alternatives[0] for result in answer.results if result.alternatives]
        confidence = min((alternative.confidence for alternative in best), default=1.0)
        return Recognised(" ".join(alternative.transcript.strip() for alternative in best), confidence, len(pcm) / (2 * RATE))

    async def close(self) -> None:
        """Nothing to free: the channel closes with the object."""


@cache
def _expected() -> dict[str, str]:
    words: dict[str, str] = yaml.safe_load(files(__package__).joinpath("expected.yaml").read_text(encoding="utf-8"))
    return words


def expected(kind: str) -> str:
    """What the recogniser is told stands before an answer of that kind (a `ListenKind`); "" for most."""
    return _expected().get(kind, "")


def echoes(text: str, before: str) -> bool:
    """Whether a text is a number or date out of the words that the recogniser was told stand before: how Whisper fails on noise."""
    said, told = (re.sub(r"\W", "", words.lower()) for words in (text, before))
    return sum(map(str.isdigit, said)) >= _MUCH and said in told


def without_repeats(text: str) -> str:
    """`text` with a phrase that comes three times or more in a row said once: how Whisper fails on noise."""
    return _REPEATED.sub(r"\1", text)


def as_wav(pcm: bytes) -> bytes:
    """8 kHz, 16-bit samples as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(pcm)
    return file.getvalue()


# --- in the worker processes ------------------------------------------------------------------------------------------------------------

_worker: Any = None


@dataclass(frozen=True)
class _Worker:
    model: Any
    tokenizer: Any
    suppressed: list[int]


def _load_worker(files: list[str]) -> None:
    global _worker
    end_with_parent()
    import tempfile

    from faster_whisper import WhisperModel
    from faster_whisper.tokenizer import Tokenizer
    from faster_whisper.transcribe import get_suppressed_tokens

    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            (Path(folder) / Path(file).name).symlink_to(file)
        model = WhisperModel(folder, device="cpu", compute_type="int8", cpu_threads=1, num_workers=1)
    tokenizer = Tokenizer(model.hf_tokenizer, True, task="transcribe", language="en")
    _worker = _Worker(
        model,
        tokenizer,
        list(get_suppressed_tokens(tokenizer, [-1])),
    )


def _transcribe(pcm: bytes, before: str) -> tuple[str, float]:
    longest = int(_LONGEST_SECONDS * RATE) * 2
    told = _worker.tokenizer.encode(f" {before}") if before else []
    prompt = _worker.model.get_prompt(_worker.tokenizer, told, without_timestamps=True)
    parts = [_transcribe_part(pcm[start : start + longest], prompt) for start in range(0, max(len(pcm), 1), longest)]
    text = " ".join(text for text, _ in parts if text)
    return ("", 0.0) if echoes(text, before) else (text, min(confidence for _, confidence in parts))


def _transcribe_part(pcm: bytes, prompt: list[int]) -> tuple[str, float]:
    import soxr

    samples = np.frombuffer(pcm[: len(pcm) // 2 * 2], dtype="<i2").astype(np.float32) / 32768
    if not len(samples):
        return "", 1.0
    seconds = len(samples) / RATE
    features = _worker.model.feature_extractor(soxr.resample(samples, RATE, _WHISPER_RATE), padding=0)
    frames = max(_LEAST_FRAMES, features.shape[-1] + _FRAMES_A_SECOND)
    # Padding is what Whisper takes for silence: the least value of the spectrogram (log10 energy 8 below the greatest, scaled).
    padded = np.full((features.shape[0], frames), features.min(), dtype=features.dtype)
    padded[:, : features.shape[-1]] = features
    result = _worker.model.model.generate(
        _worker.model.encode(padded),
        [prompt],
        beam_size=_BEAMS,
        max_length=len(prompt) + int(seconds * _TOKENS_A_SECOND) + _TOKENS_MORE,
        return_scores=True,
        suppress_blank=True,
        suppress_tokens=_worker.suppressed,
    )[0]
    tokens = result.sequences_ids[0]
    # The score is the mean over the tokens written; the end token counts as one more (faster-whisper's avg_logprob).
    mean = result.scores[0] * len(tokens) / (len(tokens) + 1)
    return without_repeats(_worker.tokenizer.decode(tokens).strip()), math.exp(mean)
