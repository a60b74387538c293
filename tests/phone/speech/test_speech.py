"""Speech both ways, with the real recogniser, the real voices and a real transcription server."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedside.phone.leg import RATE
from bedside.phone.speech.recognise import EmbeddedWhisper, ServedRecogniser, SpeechError, as_wav, echoes, expected, without_repeats
from bedside.phone.speech.say import Espeak, Kokoro, Prompts, clauses
from bedside.phone.words.digits import phone_number

needs_espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="sudo apt-get install espeak-ng")


@given(st.text(max_size=200))
def test_clauses_lose_no_word(text: str) -> None:
    assert " ".join(clauses(text)).split() == text.split()


def test_short_clauses_are_said_together() -> None:
    assert clauses("Yes, thanks. Your appointment is on Thursday, at two fifteen. Is that right?") == [
        "Yes, thanks. Your appointment is on Thursday,",
        "at two fifteen. Is that right?",
    ]


def test_a_phrase_said_over_and_over_is_said_once_and_an_ordinary_repeat_stays() -> None:
    assert without_repeats("I need to see I need to see I need to see I need to see a doctor") == "I need to see a doctor"
    assert without_repeats("no, no, it's four four two") == "no, no, it's four four two"


def test_the_words_told_to_stand_before_are_not_taken_for_what_was_said() -> None:
    before = expected("number")
    assert phone_number(before) and echoes(before, before) and echoes("574 632", before)
    for said in ("0491 570 156", "0491", "I would like to book", "My number is"):
        assert not echoes(said, before)
    assert echoes("30 February 1971", expected("birth")) and not echoes("14 February 1971", expected("birth")) and expected("open") == ""


@given(st.binary(max_size=4000))
def test_a_wav_file_holds_the_samples_it_was_given(data: bytes) -> None:
    pcm = data[: len(data) // 2 * 2]
    with wave.open(io.BytesIO(as_wav(pcm))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        assert file.readframes(file.getnframes()) == pcm


@needs_espeak
def test_a_prompt_is_made_once_and_private_words_are_never_written(tmp_path: Path) -> None:
    async def talk() -> None:
        voice = Espeak()
        prompts = Prompts(voice, tmp_path)
        sound = await prompts.sound("You have called Wattle Street Medical Centre.")
        assert RATE < len(sound) / 2 < 6 * RATE and np.abs(np.frombuffer(sound, "<i2")).max() > 3000
        [file] = tmp_path.iterdir()
        assert file.read_bytes() == sound
        await prompts.sound("Thursday at two with Doctor Nguyen, for Mary Citizen.", keep=False)
        assert list(tmp_path.iterdir()) == [file]
        file.write_bytes(b"\1\0" * 80)
        assert await Prompts(voice, tmp_path).sound("You have called Wattle Street Medical Centre.") == b"\1\0" * 80
        assert [part async for part in prompts.stream("You have called Wattle Street Medical Centre.", keep=True)] == [sound]
        assert await prompts.prepare(["You have called Wattle Street Medical Centre.", "Which day would suit you best?"]) == 1

    asyncio.run(talk())


class _Transcriber(BaseHTTPRequestHandler):
    answer: tuple[int, bytes] = (200, b"{}")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert b'name="model"' in body and b"RIFF" in body and self.headers["Authorization"] == "Bearer k"
        status, data = type(self).answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def transcriber() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Transcriber)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()


def test_a_transcription_server_is_asked_and_its_least_certain_segment_counts(transcriber: str) -> None:
    _Transcriber.answer = (200, json.dumps({"text": " hello ", "segments": [{"avg_logprob": -0.1}, {"avg_logprob": -1.0}]}).encode())

    async def ask() -> None:
        recogniser = ServedRecogniser(transcriber, "whisper", key="k")
        heard = await recogniser.recognise(bytes(RATE))
        assert (heard.text, heard.seconds) == ("hello", 0.5)
        assert heard.confidence == pytest.approx(np.exp(-1))
        await recogniser.close()

    asyncio.run(ask())


@pytest.mark.parametrize("answer", [(500, b"no"), (200, b"no json"), (200, b'{"segments": []}'), (200, b'{"text": "a", "segments": [1]}')])
def test_a_server_that_fails_is_named(transcriber: str, answer: tuple[int, bytes]) -> None:
    _Transcriber.answer = answer

    async def ask() -> None:
        with pytest.raises(SpeechError, match=r"127\.0\.0\.1"):
            await ServedRecogniser(transcriber, "whisper", key="k").recognise(bytes(RATE))

    asyncio.run(ask())


_OWNER = """
import asyncio, time
from bedside.phone.speech.recognise import EmbeddedWhisper

if __name__ == "__main__":
    recogniser = EmbeddedWhisper(workers=2)
    asyncio.run(recogniser.warm())
    print(*recogniser.pids, flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_workers_end_with_a_line_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "owner.py").write_text(_OWNER, encoding="utf-8")
    owner = subprocess.Popen([sys.executable, str(tmp_path / "owner.py")], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    workers = [Path("/proc") / pid for pid in owner.stdout.readline().split()]
    assert len(workers) == 2 and all(worker.exists() for worker in workers)
    owner.kill()
    owner.wait()
    deadline = time.monotonic() + 10
    while any(worker.exists() and "Z" not in (worker / "stat").read_text().rpartition(")")[2] for worker in workers):
        assert time.monotonic() < deadline, "a worker outlives its owner"
        time.sleep(0.05)


@needs_espeak
@pytest.mark.slow
def test_what_the_voice_says_the_recogniser_hears_and_a_fallen_worker_ends_one_turn_only() -> None:
    async def talk() -> None:
        recogniser, voice = EmbeddedWhisper(workers=1), Kokoro()
        said = "I would like to book an appointment on Thursday afternoon."
        sound = await voice.speak(said)
        heard = await recogniser.recognise(sound)
        words = {word.strip(".,").lower() for word in said.split()}
        assert len(words & {word.strip(".,").lower() for word in heard.text.split()}) >= len(words) - 1
        assert heard.confidence > 0.6 and 2 < heard.seconds < 8
        [worker] = recogniser._pool._processes.values()
        os.kill(worker.pid or 0, signal.SIGKILL)
        with pytest.raises(SpeechError, match="fallen"):
            await recogniser.recognise(sound)
        assert (await recogniser.recognise(sound)).text == heard.text
        quiet = await recogniser.recognise(bytes(2 * RATE))
        assert len(quiet.text.split()) < 8
        assert (await recogniser.recognise(b"")).text == ""
        await recogniser.close()
        await voice.close()

    asyncio.run(talk())
