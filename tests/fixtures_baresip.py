"""A real telephone on the loopback: baresip, driven over its control port."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np

from bedside.phone.leg import RATE
from fixtures_phone_media import program

CONFIG = """\
net_interface 127.0.0.1
sip_listen 127.0.0.1:{sip}
audio_path /usr/share/baresip
audio_player aubridge,nil
audio_source aufile,{wav}
audio_alert aubridge,nil
ausrc_srate 8000
auplay_srate 8000
ausrc_channels 1
auplay_channels 1
audio_txmode thread
module_path /usr/lib/baresip/modules
module stdio.so
module g711.so
module aubridge.so
module aufile.so
module sndfile.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
module_app debug_cmd.so
ctrl_tcp_listen 127.0.0.1:{control}
snd_path {folder}
"""


def free_port(kind: int) -> int:
    with socket.socket(socket.AF_INET, kind) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Baresip:
    """One running baresip, driven over its control port (netstrings of JSON)."""

    def __init__(self, folder: Path, sip: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.folder = folder
        self.address = f"sip:0491570156@127.0.0.1:{sip}"
        self.events: list[str] = []
        self._reader, self._writer = reader, writer

    async def do(self, command: str, params: str = "") -> None:
        text = json.dumps({"command": command, "params": params}).encode()
        self._writer.write(f"{len(text)}:".encode() + text + b",")
        await self._writer.drain()

    async def follow(self) -> None:
        while True:
            length = int((await self._reader.readuntil(b":"))[:-1])
            message = json.loads((await self._reader.readexactly(length + 1))[:-1])
            if message.get("event"):
                self.events.append(message["type"])

    async def until(self, event: str, seconds: float = 15) -> None:
        async with asyncio.timeout(seconds):
            while event not in self.events:
                await asyncio.sleep(0.05)


@asynccontextmanager
async def baresip(folder: Path, pcm: bytes, codec: str, answers: bool = False) -> AsyncIterator[Baresip]:
    path = program("baresip", "baresip-core")
    sip, control = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_STREAM)
    folder.mkdir()
    write_wav(folder / "said.wav", pcm)
    (folder / "config").write_text(CONFIG.format(sip=sip, control=control, wav=folder / "said.wav", folder=folder))
    mode = ";answermode=auto" if answers else ""
    (folder / "accounts").write_text(f"<sip:0491570156@127.0.0.1:{sip};transport=udp>;regint=0;audio_codecs={codec}/8000/1{mode}\n")
    (folder / "contacts").write_text("")
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([path, "-f", str(folder)], stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT)
    try:
        phone = Baresip(folder, sip, *await control_port(control))
        follower = asyncio.create_task(phone.follow())
        yield phone
        await phone.do("quit")
        process.wait(5)
        follower.cancel()
    finally:
        process.kill()


async def control_port(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    for _ in range(100):
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
    raise TimeoutError("baresip did not open its control port")


def write_wav(path: Path, pcm: bytes) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(pcm)


def heard(folder: Path) -> np.ndarray:
    """What the phone in this folder recorded of the line: the first of its calls."""
    path = min(folder.glob("*-dec.wav"), key=lambda found: found.stat().st_ctime)
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(float)
