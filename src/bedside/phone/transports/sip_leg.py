"""A call by SIP."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from aiosipua.dialog import Dialog

from bedside.phone.leg import FRAME_MS, Audio, CallLeg
from bedside.phone.media.paced_leg import PacedLeg
from bedside.phone.transports.rtp import Address, RtpStream

if TYPE_CHECKING:
    from bedside.phone.transports.sip import SipLine

_TRANSFER_S = 30.0


class SipLeg(PacedLeg):
    """Audio over RTP; ends by BYE, and when no packet came for `silent_s`.

    Args:
        line: that it came in by, or was dialled from.
        dialog: with the far end.
        peer: where the far end's signalling comes from and goes to.
        host: our address as the peer sees it.
        rtp: its audio.
    """

    def __init__(self, line: SipLine, dialog: Dialog, peer: Address, host: str, rtp: RtpStream, numbers: tuple[str, str]) -> None:
        super().__init__(dialog.call_id, *numbers, line.switchboard.longest_s)
        self.dialog = dialog
        self.peer = peer
        self.host = host
        self.rtp = rtp
        self._line = line
        self._silent_ticks = line.settings.silent_s * 1000 // FRAME_MS
        self._transferred: asyncio.Future[bool] | None = None

    async def transfer(self, target: str) -> bool:
        """Ask the far end to call `target` in our place (REFER, RFC 3515), and hang up once it says that it did."""
        if self.ended:
            return False
        self._transferred = asyncio.get_running_loop().create_future()
        status = await self._line.refer(self, target)
        if not 200 <= status < 300:
            self.counts[f"transfer refused with {status}"] += 1
            return False
        await asyncio.wait([self._transferred], timeout=_TRANSFER_S)
        if not self._transferred.done() or not self._transferred.result():
            self.counts["transfer failed"] += 1
            return False
        self.end(f"transferred to {target}", far_end=False)
        return True

    async def consult(self, target: str) -> CallLeg | None:
        """Call `target` through the PBX that the caller came from."""
        return None if self.ended else await self._line.dial(target, self)

    def transfer_progress(self, status: int) -> None:
        """The far end says how its call to the target goes (NOTIFY with a SIP status)."""
        if status >= 200 and self._transferred is not None and not self._transferred.done():
            self._transferred.set_result(status < 300)

    def _receive(self) -> Iterable[Audio]:
        audio, keys = self.rtp.receive()
        for key in keys:
            self._press(key)
        if self.rtp.silent_ticks > self._silent_ticks:
            self.end(f"no packet from the caller for {self._line.settings.silent_s} s", far_end=False)
        return () if audio is None else (audio,)

    def _send(self, pcm: bytes | None) -> None:
        self.rtp.send(pcm)

    def _close(self, far_end: bool) -> None:
        self.rtp.close()
        # Whoever took the caller over may end our part of the call before it says that it succeeded.
        self.transfer_progress(200)
        self._line.leave(self, far_end)
        self.counts += self.rtp.counts
