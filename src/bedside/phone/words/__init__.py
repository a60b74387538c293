"""What callers say, as values: numbers, days, times, names and answers. Deterministic; the same words always give the same value.

Every reader here takes a turn as speech recognition heard it, gives None where it is not sure, and never raises on what was said.
`dateparser` was tried for days and times and left: it gives one instant where a booking needs a span of days, knows neither "Thursday week"
nor "arvo", "half two" or "Cup Day", and reads "2:15" as a quarter past two at night.
"""
