"""Simulated callers: invented people who ring a line to find out how it does, by typing or by voice over real SIP. Never with patients' data."""
