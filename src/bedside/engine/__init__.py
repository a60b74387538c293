"""How a model is asked: one small interface, an embedded llama.cpp and any OpenAI-compatible server behind it."""

from bedside.engine.base import Engine, Reply, Token
from bedside.engine.contract import ChatContract, Code, Codebook
from bedside.engine.understanding import Intent, Understanding, classify

__all__ = ["ChatContract", "Code", "Codebook", "Engine", "Intent", "Reply", "Token", "Understanding", "classify"]
