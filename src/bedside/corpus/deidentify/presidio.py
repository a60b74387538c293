"""Microsoft Presidio (MIT) as one more recogniser; the extra `deid` installs it."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any

from bedside.corpus.deidentify.data import read_yaml
from bedside.corpus.deidentify.spans import Span
from bedside.errors import SourceError


class PresidioRecogniser:
    """Finds spans with Presidio's own patterns and a spaCy model.

    Args:
        model: an installed package that carries a spaCy model of English.
        least: entities of a lower score are left out.

    Raises:
        SourceError: Presidio or the model is not installed.
    """

    def __init__(self, model: str = "en_core_web_sm", least: float = 0.4) -> None:
        try:
            analyzer: Any = import_module("presidio_analyzer")
            provider: Any = import_module("presidio_analyzer.nlp_engine")
            import_module(model)
        except ImportError as error:
            raise SourceError(
                f"Presidio cannot run with the model {model!r}: {error}", "Run pip install 'bedside[deid]', or leave the recogniser out"
            ) from error
        engine = provider.NlpEngineProvider(
            nlp_configuration={"nlp_engine_name": "spacy", "models": [{"lang_code": "en", "model_name": model}]}
        ).create_engine()
        self._analyzer = analyzer.AnalyzerEngine(nlp_engine=engine, supported_languages=["en"])
        self._types: dict[str, str] = read_yaml("presidio_types.yaml")
        self._least = least

    def __call__(self, text: str) -> Iterable[Span]:
        """Presidio's entities as spans; kinds that tell nothing about a person (nationality, religion) are left out."""
        for entity in self._analyzer.analyze(text, language="en", score_threshold=self._least):
            if entity.entity_type in self._types:
                yield Span(entity.start, entity.end, self._types[entity.entity_type], entity.score, "presidio")
