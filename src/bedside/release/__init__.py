"""From a trained model to the folder that ships: merge, GGUF, quantise, gates, Modelfile, model card, manifest."""

from bedside.release.build import Evaluation, Manifest, Release, build_release, load_release, verify_release
from bedside.release.gates import GateResult, check_greedy_parity, check_score_loss, check_token_parity
from bedside.release.gguf_writer import ARCHITECTURES, WrittenGguf, write_gguf
from bedside.release.merge import merge
from bedside.release.modelfile import modelfile_text
from bedside.release.quantise import KINDS, Fallback, QuantisedReport, quantise

__all__ = [
    "ARCHITECTURES",
    "KINDS",
    "Evaluation",
    "Fallback",
    "GateResult",
    "Manifest",
    "QuantisedReport",
    "Release",
    "WrittenGguf",
    "build_release",
    "check_greedy_parity",
    "check_score_loss",
    "check_token_parity",
    "load_release",
    "merge",
    "modelfile_text",
    "quantise",
    "verify_release",
    "write_gguf",
]
