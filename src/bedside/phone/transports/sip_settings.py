"""What a SIP line has to know of its PBX or carrier."""

from __future__ import annotations

import ipaddress
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Networks:
    """Whether an address belongs to one of some networks; a name or a broken address belongs to none."""

    def __init__(self, texts: tuple[str, ...]) -> None:
        self._networks = [ipaddress.ip_network(text, strict=False) for text in texts]

    def __contains__(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self._networks)


class SipSettings(BaseModel):
    """How the line meets its PBX or carrier."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "0.0.0.0"
    """Address to listen on."""
    port: int = Field(default=5060, ge=0, le=65535)
    """UDP port to listen on; 0 takes a free one."""
    advertised: str = ""
    """Address at which the far end reaches the line, where it is not the machine's own towards it (NAT)."""
    allowed: tuple[str, ...] = ("127.0.0.0/8",)
    """Addresses and networks of the PBX or the carrier; what comes from others is ignored."""
    media_from: tuple[str, ...] = ()
    """Further addresses and networks that audio may come from and go to; those of `allowed` always may."""
    rtp_ports: tuple[int, int] = (10_000, 20_000)
    """Range of UDP ports for audio; (0, 0) takes free ones."""
    registrar: str = ""
    """`HOST` or `HOST:PORT` to register at as an extension; "" for a trunk, which needs no registration."""
    user: str = ""
    """The extension, and the name for digest authentication."""
    password: str = Field(default="", repr=False)
    """For digest authentication."""
    expires_s: int = Field(default=300, ge=30, le=86_400)
    """A registration is asked for so long, and renewed after half of what was granted."""
    silent_s: int = Field(default=30, ge=1)
    """A call without a packet for so long is ended: the far end is gone."""

    @field_validator("allowed", "media_from")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        Networks(value)
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.registrar and not self.user:
            raise ValueError("`registrar` needs the extension's `user` and `password`")
        if not self.registrar.rpartition(":")[2].isdecimal() and ":" in self.registrar:
            raise ValueError(f"`registrar` {self.registrar!r} is neither HOST nor HOST:PORT")
        first, last = self.rtp_ports
        if (first, last) != (0, 0) and not 1024 <= first < last <= 65535:
            raise ValueError(f"`rtp_ports` {first} to {last} is no range of ports between 1024 and 65535")
        return self
