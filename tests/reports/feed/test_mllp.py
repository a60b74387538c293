"""The listener acknowledges what is kept, says why it does not take the rest, and survives whatever is sent."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from feed_messages import END, VT, Sender, code_of, oru
from hypothesis import given, settings
from hypothesis import strategies as st

from bedside.errors import BedsideError, WorkspaceError
from bedside.reports.feed.mllp import Door, Inbox, Listener, _NotTakenError, arrival_of, make_door
from bedside.reports.feed.store import Arrival, Receipt, Store
from bedside.reports.readers.hl7_message import ack


class Running:
    """A listener in a thread of its own."""

    def __init__(self, store: Store) -> None:
        self.store, self.stop, self.ready = store, asyncio.Event(), threading.Event()
        self.broken = False
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self.thread.start()
        assert self.ready.wait(10)

    async def _run(self) -> None:
        self.loop, inbox = asyncio.get_running_loop(), Inbox(self.store)

        async def put(arrival: Arrival) -> Receipt:
            if self.broken:
                raise WorkspaceError("the disk is full", "Free some space")
            return await inbox.put(arrival)

        async with Listener(Door(port=0), put) as self.listener:
            self.port = self.listener.address[1]
            self.ready.set()
            await self.stop.wait()

    def end(self) -> None:
        self.loop.call_soon_threadsafe(self.stop.set)
        self.thread.join(10)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    found = Running(Store(tmp_path / "queue.sqlite"))
    yield found
    found.end()


def test_a_message_is_acknowledged_once_it_is_kept_and_a_copy_too(running: Running) -> None:
    sender = Sender(running.port)
    answers = [sender.send(oru("A1")), sender.send(oru("A1"))]
    sender.close()
    assert [code_of(answer) for answer in answers] == ["AA", "AA"]
    assert "MSA|AA|A1" in answers[0] and answers[0].startswith("MSH|^~\\&|CLINIC|CLINIC|LAB|TEST LABORATORY|")
    assert (running.store.counts().waiting, running.store.counts().copies) == (1, 1)


def test_other_messages_and_broken_ones_are_told_why(running: Running) -> None:
    sender = Sender(running.port)
    admission, nameless = oru("A1").replace(b"ORU^R01", b"ADT^A01"), oru("").replace(b"ORU^R01||P", b"ORU^R01||P")
    answers = [sender.send(one) for one in (admission, nameless, b"hello", b"MSH|^~", oru("A2"))]
    sender.close()
    assert [code_of(answer) for answer in answers] == ["AR", "AE", "AE", "AE", "AA"]
    assert "ADT" in answers[0] and "MSH-10" in answers[1]
    assert running.store.counts().waiting == 1


def test_a_message_that_cannot_be_kept_may_be_sent_again(running: Running) -> None:
    sender = Sender(running.port)
    running.broken = True
    assert code_of(sender.send(oru("A1"))) == "AR"
    running.broken = False
    assert code_of(sender.send(oru("A1"))) == "AA"
    sender.close()


def test_frames_may_come_in_pieces_together_or_broken_off(running: Running) -> None:
    sender = Sender(running.port)
    framed = VT + oru("A1") + END
    sender.socket.sendall(framed[:20])
    sender.socket.sendall(framed[20:] + VT + oru("A2") + END + VT + oru("lost")[:50] + VT + oru("A3") + END)
    assert ["A1" in sender.answer(), "A2" in sender.answer(), "A3" in sender.answer()] == [True, True, True]
    sender.socket.sendall(VT + oru("A4")[:80])
    sender.close()
    after = Sender(running.port)
    assert code_of(after.send(oru("A5"))) == "AA"
    after.close()
    assert running.store.counts().waiting == 4


def test_a_message_without_end_is_refused_in_words_and_the_connection_closed(running: Running) -> None:
    sender = Sender(running.port)
    large = VT + oru("A1") + b"OBX|9|TX|x||" + b"x" * (40 * 2**20)
    threading.Thread(target=lambda: suppressed(lambda: sender.socket.sendall(large)), daemon=True).start()
    assert "MSA|AE|A1|larger than 16 MiB" in sender.answer()
    sender.close()
    assert running.store.counts().waiting == 0


def suppressed(send: Callable[[], None]) -> None:
    with suppress(OSError):
        send()


def test_the_sender_gets_its_own_bytes_back(running: Running) -> None:
    sender = Sender(running.port)
    sender.socket.sendall(VT + oru("Nr-é").replace("é".encode(), b"\xe9") + END)
    assert "MSA|AA|Nr-é" in sender.answer()
    sender.close()


def test_several_senders_at_once_lose_nothing(running: Running) -> None:
    def send(number: int) -> None:
        sender = Sender(running.port)
        assert all(code_of(sender.send(oru(f"{number}-{one}"))) == "AA" for one in range(25))
        sender.close()

    threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert running.store.counts().waiting == 200 and running.listener.counts["received"] == 200


def test_a_door_to_the_network_needs_a_list_and_keeps_to_it() -> None:
    with pytest.raises(BedsideError, match="--allow"):
        make_door("0.0.0.0", 2575, [], None, None)
    with pytest.raises(BedsideError, match="--allow"):
        make_door("0.0.0.0", 2575, ["lab.example"], None, None)
    with pytest.raises(BedsideError, match="both"):
        make_door("127.0.0.1", 2575, [], Path("c.pem"), None)
    door = make_door("0.0.0.0", 2575, ["10.1.0.0/16"], None, None)
    assert door.lets_in("10.1.2.3") and door.lets_in("127.0.0.1") and door.lets_in("::ffff:10.1.2.3") and not door.lets_in("10.2.0.1")


@given(
    st.one_of(
        st.binary(max_size=300),
        st.tuples(st.integers(0, 300), st.binary(max_size=6)).map(lambda cut: oru("A1")[: cut[0]] + cut[1] + oru("A1")[cut[0] :]),
    )
)
@settings(max_examples=200, deadline=None)
def test_any_frame_is_kept_or_refused_in_words(frame: bytes) -> None:
    try:
        arrival = arrival_of(frame)
    except _NotTakenError as refusal:
        assert refusal.code in ("AE", "AR") and refusal.said
    else:
        assert arrival.control and len(arrival.digest) == 64 and "/" not in arrival.name and arrival.body == frame
    assert ack(frame.decode("latin-1"), "AA").startswith("MSH")
