"""From a trained model to the folder that ships: merge, GGUF, quantise, gates, Modelfile, model card, bill of materials, manifest, signature."""

from bedside.release.build import Evaluation, Manifest, Release, build_release, load_release, verify_release
from bedside.release.gates import GateResult, check_greedy_parity, check_score_loss, check_token_parity
from bedside.release.gguf_writer import ARCHITECTURES, WrittenGguf, write_gguf
from bedside.release.merge import merge
from bedside.release.modelfile import modelfile_text
from bedside.release.quantise import KINDS, Fallback, QuantisedReport, quantise
from bedside.release.signature import Checked, KeyPair, check_release, key_pair, sign_release, signed_by

__all__ = [
    "ARCHITECTURES",
    "KINDS",
    "Checked",
    "Evaluation",
    "Fallback",
    "GateResult",
    "KeyPair",
    "Manifest",
    "QuantisedReport",
    "Release",
    "WrittenGguf",
    "build_release",
    "check_greedy_parity",
    "check_release",
    "check_score_loss",
    "check_token_parity",
    "key_pair",
    "load_release",
    "merge",
    "modelfile_text",
    "quantise",
    "sign_release",
    "signed_by",
    "verify_release",
    "write_gguf",
]
