"""AudioSocket with a raw TCP client."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from uuid import UUID

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bedside.phone.leg import FRAME_BYTES, Audio, CallLeg, Digit, HungUp, LegEvent, Played
from bedside.phone.media.switchboard import Switchboard
from bedside.phone.transports.audiosocket import AudioSocket, Kind, frame

ID = UUID("6ec9a3f0-0000-4000-8000-000000000001")
TONE = np.full(FRAME_BYTES // 2, 1234, dtype="<i2").tobytes()

Dial = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


def on_line(
    client: Callable[[Dial, AudioSocket], Awaitable[None]],
    answer: Callable[[CallLeg], Awaitable[None]] | None = None,
    limit: int = 5,
    **options: object,
) -> list[LegEvent]:
    """What a call was told while the client did what it does."""
    events: list[LegEvent] = []

    async def listen(leg: CallLeg) -> None:
        async for event in leg.events():
            events.append(event)

    async def run() -> None:
        async with Switchboard(answer or listen, limit) as switchboard, AudioSocket(switchboard, port=0, **options) as audiosocket:  # type: ignore[arg-type]
            await client(lambda: asyncio.open_connection(*audiosocket.address), audiosocket)
            for _ in range(100):
                if not switchboard.calls:
                    break
                await asyncio.sleep(0.02)
            assert switchboard.calls == 0

    asyncio.run(asyncio.wait_for(run(), 30))
    return events


async def next_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    kind, length = struct.unpack("!BH", await reader.readexactly(3))
    return kind, await reader.readexactly(length)


def test_audio_and_keys_come_in_and_the_hang_up_ends_the_call() -> None:
    async def client(dial: Dial, _: AudioSocket) -> None:
        _, writer = await dial()
        writer.write(frame(Kind.ID, ID.bytes) + frame(Kind.AUDIO, TONE * 3) + frame(Kind.DTMF, b"7") + frame(Kind.AUDIO, TONE[:100]))
        await asyncio.sleep(0.1)
        writer.write(frame(Kind.AUDIO, TONE[100:]) + frame(Kind.HANGUP))
        await asyncio.sleep(0.1)

    events = on_line(client)
    assert [e.pcm for e in events if isinstance(e, Audio) and not e.lost][:3] == [TONE] * 3
    assert Digit("7") in events and events[-1] == HungUp("the caller hung up")


def test_what_is_played_arrives_and_clear_stops_it() -> None:
    told: list[LegEvent] = []
    back: list[bytes] = []

    async def answer(leg: CallLeg) -> None:
        leg.play(TONE * 10, "short")
        leg.play(TONE * 500, "long")
        async for event in leg.events():
            told.append(event)
            if isinstance(event, Played) and event.name == "short":
                await asyncio.sleep(0.2)
                leg.clear()
            if isinstance(event, Played) and event.name == "long":
                return

    async def client(dial: Dial, _: AudioSocket) -> None:
        reader, writer = await dial()
        writer.write(frame(Kind.ID, ID.bytes))
        while (found := await next_frame(reader))[0] == Kind.AUDIO:
            back.append(found[1])
        assert found == (Kind.HANGUP, b"")

    on_line(client, answer)
    played = [e for e in told if isinstance(e, Played)]
    assert played[0] == Played("short", 200, complete=True)
    assert not played[1].complete and 100 <= played[1].ms < 2000
    assert back[:10] == [TONE] * 10 and 14 <= back.count(TONE) < 200


def test_a_call_over_the_limit_goes_back_to_the_dialplan() -> None:
    async def client(dial: Dial, audiosocket: AudioSocket) -> None:
        calls = [await dial() for _ in range(10)]
        for _, writer in calls:
            writer.write(frame(Kind.ID, ID.bytes))
        firsts = [await next_frame(reader) for reader, _ in calls]
        assert sorted(kind for kind, _ in firsts) == [Kind.HANGUP] * 8 + [Kind.AUDIO] * 2
        assert audiosocket.switchboard.counts["refused"] == 8
        for _, writer in calls:
            writer.close()

    on_line(client, limit=2)


def test_a_call_that_fails_is_handed_to_the_overflow_target() -> None:
    handed: list[tuple[str, str]] = []

    async def handover(call: str, target: str) -> bool:
        handed.append((call, target))
        return True

    async def broken(leg: CallLeg) -> None:
        raise ZeroDivisionError("a bug in the conduct of calls")

    async def run() -> None:
        async with (
            Switchboard(broken, 5, overflow="0255501235") as switchboard,
            AudioSocket(switchboard, port=0, handover=handover) as line,
        ):
            reader, writer = await asyncio.open_connection(*line.address)
            writer.write(frame(Kind.ID, ID.bytes))
            assert (await next_frame(reader))[0] == Kind.HANGUP
            assert switchboard.counts["failed"] == 1

    asyncio.run(asyncio.wait_for(run(), 10))
    assert handed == [(str(ID), "0255501235")]


def test_an_address_that_is_not_allowed_is_cut_off() -> None:
    async def client(dial: Dial, audiosocket: AudioSocket) -> None:
        reader, writer = await dial()
        writer.write(frame(Kind.ID, ID.bytes))
        assert await reader.read() == frame(Kind.HANGUP)
        assert audiosocket.switchboard.counts["admitted"] == 0

    assert on_line(client, allowed=("192.0.2.0/24",)) == []


@settings(deadline=None, max_examples=15)
@given(
    st.lists(st.one_of(st.binary(max_size=60), st.builds(frame, st.sampled_from(list(Kind)[1:4]), st.binary(max_size=700))), max_size=6),
    st.booleans(),
)
def test_nonsense_ends_its_own_call_at_most_and_the_others_go_on(pieces: list[bytes], begun: bool) -> None:
    async def client(dial: Dial, _: AudioSocket) -> None:
        good_reader, good = await dial()
        good.write(frame(Kind.ID, ID.bytes))
        _, bad = await dial()
        bad.write(frame(Kind.ID, ID.bytes) * begun + b"".join(pieces))
        await asyncio.sleep(0.03)
        bad.close()
        good.write(frame(Kind.AUDIO, TONE * 2) + frame(Kind.DTMF, b"1"))
        assert (await next_frame(good_reader))[0] == Kind.AUDIO
        await asyncio.sleep(0.05)
        good.close()

    events = on_line(client)
    assert Digit("1") in events
