"""Reports as they come: HL7 by MLLP or files in a folder, into a durable queue, each read once and written out with its notes.

mllp / folder  →  store (SQLite, committed before anything is acknowledged)  →  desk (read, merge versions, assess, write)
"""
