"""Device-driven diagnostic reports: the machine's statement, kept verbatim, put into the patient's context."""
