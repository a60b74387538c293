"""The ways a call comes in: SIP, Media Streams over WebSocket, Asterisk AudioSocket."""
