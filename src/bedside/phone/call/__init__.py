"""The call: what the line says, asks and does, as a state machine without input or output.

    events (what happened) ──▶ Call.receive ──▶ actions (what to do), in order

Whoever drives a call (`text.py`, or the media session) feeds events and carries actions out. Nothing here waits, opens a file or asks a
model: what takes time is an action `Act`, and its result comes back as an event. One call's events are fed one at a time.
"""
