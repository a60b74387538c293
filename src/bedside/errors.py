"""Every error that bedside raises on purpose.

    BedsideError            something a user can mend: one sentence and the next step, exit code 2, no traceback
    ├── RecipeError         a recipe says something that it may not say (all faults at once, with their lines)
    ├── KnowledgeError      a file of facts (a practice's protocol, an imported table) that cannot be used
    ├── SourceError         a source of data is missing, empty, or of another layout than its reader expects
    ├── BaseModelError      a base model is unknown, cannot be had, or is not the file that was pinned
    ├── WorkspaceError      a run folder, a manifest or the disk under it
    ├── TrainingError       rows that teach nothing, a base that cannot be trained, a stage that cannot resume
    ├── EngineError         a model server that does not answer, or answers with something else than was asked
    │   └── PromptTooLongError  a prompt that does not fit the context
    └── ReleaseError        a gate between the trained model and the shipped file failed; nothing was released

Everything else that escapes is an internal fault: exit code 1, with its traceback.
"""

from __future__ import annotations


class BedsideError(Exception):
    """A fault that the user can mend.

    Args:
        problem: one clause that names the culprit with its value and what was found.
        next_step: what to type or change now.
    """

    exit_code = 2

    def __init__(self, problem: str, next_step: str) -> None:
        self.problem = problem.rstrip(". ")
        self.next_step = next_step.rstrip(". ")
        super().__init__(f"{self.problem}. {self.next_step}.")


class RecipeError(BedsideError):
    """A recipe cannot be used."""


class KnowledgeError(BedsideError):
    """A file of facts cannot be used."""


class SourceError(BedsideError):
    """A source of data cannot be read as what the recipe says it is."""


class BaseModelError(BedsideError):
    """A base model cannot be had or is not what was pinned."""


class WorkspaceError(BedsideError):
    """A run folder, a manifest or the disk is not as it has to be."""


class TrainingError(BedsideError):
    """Training cannot start or go on."""


class EngineError(BedsideError):
    """A model cannot be asked, or its answer cannot be used."""


class PromptTooLongError(EngineError):
    """A prompt does not fit the model's context."""


class ReleaseError(BedsideError):
    """A release gate failed or a release folder is not whole."""
