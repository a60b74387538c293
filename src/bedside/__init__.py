"""bedside: from an organisation's own medical conversations to a small language model that it owns.

Not a medical device. Not for clinical use without validation.
"""

__version__ = "0.1.0"
