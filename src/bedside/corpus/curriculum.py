"""What each stage of the curriculum is taught: conversations of the corpus under a chat contract, chosen with one seed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from random import Random

from bedside.corpus.conversation import Conversation, Message, Provenance
from bedside.corpus.curate import CONVERSATIONS, TURNS
from bedside.engine.contract import ChatContract
from bedside.engine.understanding import TASK, completion
from bedside.errors import TrainingError
from bedside.recipe.models import Recipe, Stage
from bedside.workspace.files import read_jsonl


def read_conversations(corpus: Path, contract: ChatContract, split: str) -> list[tuple[str, Conversation]]:
    """The corpus as (use, conversation) pairs; synthetic turns get the system message and the answer that the contract teaches."""
    pairs = []
    for row in read_jsonl(corpus / CONVERSATIONS):
        if row.pop("split") == split:
            conversation = Conversation.model_validate(row)
            if conversation.messages[0].role == "user":
                conversation = conversation.model_copy(
                    update={"messages": (Message(role="system", content=contract.systems["answer"]), *conversation.messages)}
                )
            pairs.append(("sources", conversation))
    for number, row in enumerate(read_jsonl(corpus / TURNS)):
        if row["split"] == split and contract.codebook is not None:
            answer = completion(contract.codebook, row["intents"], [(name, value) for name, value in row["slots"]])
            messages = (
                *(Message.model_validate(m) for m in contract.messages(TASK, row["text"])),
                Message(role="assistant", content=answer),
            )
            provenance = Provenance(
                source="synthesis", where=f"turn {number}", licence="Apache-2.0", locale="en-AU", family="+".join(row["families"])
            )
            pairs.append((row["use"], Conversation(messages=messages, provenance=provenance)))
    return pairs


def choose(stage: Stage, before: Sequence[Stage], pairs: Sequence[tuple[str, Conversation]], seed: int) -> list[Conversation]:
    """The rows of one stage: its own kind, a stated share of Australian ones, and some of the stages before.

    Raises:
        TrainingError: the corpus holds nothing for the stage, or no Australian rows although a share is asked.
    """
    rng = Random(f"{seed} {stage.name}")
    own = [c for use, c in pairs if use == stage.use]
    if not own:
        raise TrainingError(
            f"stage {stage.name!r} uses {stage.use}, but the corpus holds none", "Add sources or synthesis turns, or remove the stage"
        )
    rehearsed = [c for use, c in pairs if use in {s.use for s in before}]
    old = round(stage.rows * stage.rehearsal) if rehearsed else 0
    groups = [(rehearsed, old)]
    if stage.australian_share is None:
        groups.append((own, stage.rows - old))
    else:
        australian = [c for c in own if c.provenance.locale == "en-AU"]
        other = [c for c in own if c.provenance.locale != "en-AU"]
        if stage.australian_share > 0 and not australian:
            raise TrainingError(
                f"stage {stage.name!r} asks for {stage.australian_share:.0%} Australian rows, but no source has locale en-AU",
                "Set a source's locale, or remove australian_share",
            )
        number = round((stage.rows - old) * (stage.australian_share if other else 1))
        groups += [(australian, number), (other, stage.rows - old - number)]
    chosen = [c for pool, number in groups if pool for c in islice(cycle(rng.sample(pool, len(pool))), min(number, 4 * len(pool)))]
    rng.shuffle(chosen)
    return chosen


def taught_turns(recipe: Recipe, corpus: Path, contract: ChatContract) -> list[tuple[str, list[str], str]]:
    """The caller turns that the stages of a recipe are taught, each once: text, intents, family."""
    pairs = read_conversations(corpus, contract, "train")
    stages = recipe.training.stages
    chosen = {c.messages[-2].content for n, s in enumerate(stages) if s.use != "sources" for c in choose(s, stages[:n], pairs, recipe.seed)}
    rows = [row for row in read_jsonl(corpus / TURNS) if row["split"] == "train" and row["text"] in chosen]
    return [(row["text"], row["intents"], row["families"][0]) for row in rows]
