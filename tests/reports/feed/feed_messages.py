"""Invented HL7 messages and a sender of them, for the tests of feeds."""

from __future__ import annotations

import socket

VT, END = b"\x0b", b"\x1c\r"


def oru(
    control: str,
    *,
    value: str = "4.1",
    order: str = "",
    status: str = "F",
    issued: str = "202611200900",
    flag: str = "",
    family: str = "CITIZEN",
) -> bytes:
    """A potassium result; `order` is the laboratory's number, the control id without it."""
    number = order or control
    lines = (
        rf"MSH|^~\&|LAB|TEST LABORATORY|CLINIC|CLINIC|{issued}||ORU^R01|{control}|P|2.4",
        f"PID|1||8003608166690503^^^AUSHIC^NI||{family}^ALEX||19540302|M",
        f"OBR|1||{number}|UE^Urea and electrolytes^L|||202611200800|||||||||||||||{issued}|||{status}",
        f"OBX|1|NM|2823-3^Potassium^LN||{value}|mmol/L|3.5-5.2|{flag}|||{status}",
        "OBX|2|NM|2951-2^Sodium^LN||140|mmol/L|135-145||||F",
    )
    return ("\r".join(lines) + "\r").encode()


class Sender:
    """A laboratory's system: sends frames and reads acknowledgements over one connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.read = self.socket.makefile("rb")

    def send(self, message: bytes) -> str:
        """Send a message and return its acknowledgement; "" where the other side hung up."""
        self.socket.sendall(VT + message + END)
        return self.answer()

    def answer(self) -> str:
        """The next acknowledgement."""
        found = b""
        while not found.endswith(b"\x1c\r"):
            byte = self.read.read(1)
            if not byte:
                return ""
            found += byte
        return found.strip(b"\x0b\x1c\r").decode("latin-1")

    def close(self) -> None:
        """Hang up."""
        self.read.close()
        self.socket.close()


def code_of(answer: str) -> str:
    """The code of an acknowledgement (MSA-1)."""
    return next((line.split("|")[1] for line in answer.split("\r") if line.startswith("MSA")), "")
