"""Answers from documents that the organisation owns: every statement with the passage that supports it, or none.

documents, reading   files → text with headings and pages, each read in a limited process of its own
passages             text → passages and sentences with their places
index                a folder → one SQLite file, brought up to date by what changed
retrieval            question → passages, by words and by meaning
extraction           question, passages → the sentences that answer it, word for word
generation           question, passages, model → an answer in its words
groundedness         sentence, passages → what bears it out, if anything does
answering            all of it behind `Answers.ask`, with the safety core before and after
"""

from bedside.answers.answering import Answer, Answers, Citation, QuestionError
from bedside.answers.index import AnswersError, Entry, Indexed, entries, index_folder

__all__ = ["Answer", "Answers", "AnswersError", "Citation", "Entry", "Indexed", "QuestionError", "entries", "index_folder"]
