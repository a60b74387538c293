"""The phone line: calls, what is said on them, and what is done about it."""
