"""Where a caller's turn begins and ends, from voice activity, level and silence.

A turn begins with enough speech and ends with enough silence. A hint (a model of intonation, an unfinished sentence) may move the end
between two bounds; it is never asked for leave. Babble reads as speech to every detector of voice activity, so speech must also stand out
from the background that the line has had for the last seconds, and no turn is longer than `longest_ms`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

from bedside.phone.media.vad import WINDOW_MS

Change = Literal["started", "silence", "longest"]
"""A turn started; or it ended, by silence or because it was too long."""


@dataclass(frozen=True)
class TurnRules:
    """All in milliseconds unless said otherwise.

    Attributes:
        start_ms: speech that begins a turn.
        barge_in_ms: speech that begins a turn while the line is speaking; longer, for the line may echo.
        end_ms: silence that ends a turn.
        finished_ms: the same where the hint says that the caller has finished.
        unfinished_ms: the same where the hint says that the caller has not.
        longest_ms: a turn is ended after so much in any case.
        patience_ms: a caller who says nothing for so long is told of as quiet.
        speech: probability that is speech.
        still_speech: probability that goes on being speech inside a turn.
    """

    start_ms: int = 96
    barge_in_ms: int = 256
    end_ms: int = 700
    finished_ms: int = 400
    unfinished_ms: int = 1500
    longest_ms: int = 20_000
    patience_ms: int = 3000
    speech: float = 0.5
    still_speech: float = 0.35


SPELLING = TurnRules(end_ms=1400, finished_ms=400, unfinished_ms=2500, patience_ms=6000)
"""For numbers, names being spelled and cards being fetched: people stop between groups, and nobody after the last one."""


class LevelGate:
    """Whether a window stands out from the background.

    The background is the level that one in seven of the last four seconds' windows stays under (after minimum statistics, Martin 2001),
    and at least -60 dB of full scale, so that on a silent line the gate stands at -50 dB. It is unknown for the first second.

    Attributes:
        background: in dB of full scale.
    """

    _MARGIN_DB = 10.0
    _QUIETEST_DB = -60.0
    _WINDOWS = 4000 // WINDOW_MS
    _ENOUGH = 1000 // WINDOW_MS
    _SMOOTHING = 0.7
    _EVERY = 8

    def __init__(self) -> None:
        self.background = self._QUIETEST_DB
        self._levels: deque[float] = deque(maxlen=self._WINDOWS)
        self._smooth: float | None = None
        self._seen = 0

    def open(self, level: float) -> bool:
        """Take the next window's level in dB; whether it stands out."""
        self._smooth = level if self._smooth is None else self._SMOOTHING * self._smooth + (1 - self._SMOOTHING) * level
        self._levels.append(self._smooth)
        self._seen += 1
        if self._seen >= self._ENOUGH and self._seen % self._EVERY == 0:
            self.background = max(sorted(self._levels)[len(self._levels) // 7], self._QUIETEST_DB)
        return level >= self.background + self._MARGIN_DB


class TurnDetector:
    """Follows one caller, a window of 32 ms at a time.

    Attributes:
        rules: in force from the next window on.
        in_turn: the caller is speaking.
        speech_ms: speech of this turn so far; outside a turn that of the last one.
        silence_ms: silence since this turn's last speech; outside a turn since the last turn.
        turn_ms: since the turn began.
    """

    def __init__(self, rules: TurnRules) -> None:
        self.rules = rules
        self.gate = LevelGate()
        self.in_turn = False
        self.speech_ms = self.silence_ms = self.turn_ms = 0
        self._onset_ms = 0
        self._hint: float | None = None

    def hint(self, finished: float) -> None:
        """The probability that the caller has finished; holds until the caller speaks again."""
        self._hint = finished

    def hear(self, probability: float, level: float, line_speaks: bool) -> Change | None:
        """Take the next window.

        Args:
            probability: of speech.
            level: dB of full scale.
            line_speaks: the line is playing something.
        """
        loud = self.gate.open(level)
        speech = loud and probability >= (self.rules.still_speech if self.in_turn else self.rules.speech)
        if self.in_turn:
            return self._inside(speech)
        return self._outside(speech, self.rules.barge_in_ms if line_speaks else self.rules.start_ms)

    def _outside(self, speech: bool, needed_ms: int) -> Change | None:
        self.silence_ms += WINDOW_MS
        # One missed window does not break an onset off, but noise that comes and goes never adds up to one.
        self._onset_ms = self._onset_ms + WINDOW_MS if speech else max(0, self._onset_ms - 2 * WINDOW_MS)
        if self._onset_ms < needed_ms:
            return None
        self.in_turn, self._hint = True, None
        self.speech_ms = self.turn_ms = self._onset_ms
        self.silence_ms = self._onset_ms = 0
        return "started"

    def _inside(self, speech: bool) -> Change | None:
        self.turn_ms += WINDOW_MS
        if speech:
            self.speech_ms += WINDOW_MS
            self.silence_ms, self._hint = 0, None
        else:
            self.silence_ms += WINDOW_MS
        if self.silence_ms >= self._end_ms():
            self.in_turn = False
            return "silence"
        if self.turn_ms >= self.rules.longest_ms:
            self.in_turn = False
            return "longest"
        return None

    def _end_ms(self) -> float:
        """The silence that ends this turn: the hint moves it between the two bounds, and says nothing at one half."""
        if self._hint is None:
            return self.rules.end_ms
        lean = 2 * min(max(self._hint, 0.0), 1.0) - 1
        bound = self.rules.finished_ms if lean > 0 else self.rules.unfinished_ms
        return self.rules.end_ms + abs(lean) * (bound - self.rules.end_ms)
