"""The media core: one clock, one kind of audio, and what a caller did on the line as events."""
