"""Understanding: what the model is taught to write, and how its answers are read, checked and given a probability."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedside.engine import ChatContract, Code, Codebook, Reply, Token, classify
from bedside.engine.contract import template_text
from bedside.engine.understanding import MAX_WORDS, as_json, completion, grammar, normalise, words_of
from bedside.errors import EngineError
from bedside.knowledge.intents import catalogue

BOOK = Codebook(
    intents={k.id: Code(word=f"i{n}", token=n) for n, k in enumerate(catalogue().intents)},
    slots={k.id: Code(word=f"S{n}", token=1000 + n) for n, k in enumerate(catalogue().slots)},
    none=Code(word="none", token=999),
)
WORD = {name: code.word for name, code in (BOOK.intents | BOOK.slots).items()}


def contract(codebook: Codebook | None = BOOK) -> ChatContract:
    return ChatContract(
        template_name="chatml", template=template_text("chatml"), bos_token="", eos_token="<|im_end|>", bos_id=None, eos_id=2, pad_id=2, stop_ids=(2,), adds_bos=False, max_length=512,
        tokenizer_sha256="0" * 64, systems={"understand": "", "answer": "a"}, codebook=codebook,
    )  # fmt: skip


class Scripted:
    """An engine whose model always writes the same tokens; each may carry alternatives."""

    def __init__(
        self, tokens: Sequence[str | tuple[str, dict[str, float]]], *, finish: str = "stop", codebook: Codebook | None = BOOK
    ) -> None:
        self.contract = contract(codebook)
        self.finish = finish
        self.tokens = tuple(
            Token(0, t, 0.0, {t: 0.0})
            if isinstance(t, str)
            else Token(0, t[0], math.log(t[1][t[0]]), {k: math.log(p) for k, p in t[1].items()})
            for t in tokens
        )

    def reply(self, messages: object, **_: object) -> Reply:
        return Reply("", self.tokens, self.finish, 1, len(self.tokens), 0.01)  # type: ignore[arg-type]


def understood(
    *tokens: str | tuple[str, dict[str, float]], text: str = "can I get in with Dr. Nguyen this arvo, and a script for Coversyl?"
) -> object:
    return classify(Scripted(tokens), text)  # type: ignore[arg-type]


def w(name: str) -> str:
    return f" {WORD[name]}"


def test_intents_and_slots_are_read_and_values_are_the_callers_own_words() -> None:
    found = classify(
        Scripted([w("appt_new"), w("script_repeat"), w("practitioner"), " dr", " ng", "uyen", w("medicine"), " coversyl", "<|im_end|>"]),
        "Can I get in with Dr. Nguyen, and Coversyl?",
    )  # type: ignore[arg-type]
    assert [i.name for i in found.intents] == ["appt_new", "script_repeat"]
    assert found.slots == {"practitioner": "Dr. Nguyen", "medicine": "Coversyl"}
    assert found.dropped == ()


def test_a_slot_value_that_nobody_said_is_dropped_and_shown() -> None:
    found = understood(w("script_repeat"), w("medicine"), " warfarin", "<|im_end|>")
    assert found.slots == {} and found.dropped == ("slot medicine with words that the caller did not say",)  # type: ignore[attr-defined]


def test_a_slot_of_none_of_the_intents_is_dropped_and_shown() -> None:
    found = understood(w("appt_new"), w("medicine"), " coversyl", "<|im_end|>")
    assert found.slots == {} and found.dropped == ("slot medicine of none of the intents",)  # type: ignore[attr-defined]


def test_two_values_of_a_slot_are_both_kept() -> None:
    found = classify(Scripted([w("script_repeat"), w("medicine"), " coversyl", w("medicine"), " eliquis"]), "coversyl and the eliquis")  # type: ignore[arg-type]
    assert found.slots == {"medicine": "coversyl; eliquis"}


def test_none_is_no_intent() -> None:
    found = understood((" none", {" none": 0.9, w("appt_new"): 0.1}), "<|im_end|>")
    assert found.intents == () and found.probabilities["appt_new"] == pytest.approx(0.1)  # type: ignore[attr-defined]


def test_probability_is_shared_among_what_may_stand_there_only() -> None:
    found = understood(
        (w("appt_new"), {w("appt_new"): 0.4, w("telehealth"): 0.1, " the": 0.5}), ("<|im_end|>", {"<|im_end|>": 0.75, w("results"): 0.25})
    )
    assert found.intents[0].p == pytest.approx(0.8)  # type: ignore[attr-defined]
    assert found.probabilities["telehealth"] == pytest.approx(0.2)  # type: ignore[attr-defined]
    assert found.probabilities["results"] == pytest.approx(0.25)  # type: ignore[attr-defined]
    assert found.entropy == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)), abs=1e-3)  # type: ignore[attr-defined]


def test_a_certain_model_has_no_entropy() -> None:
    assert understood(w("results"), "<|im_end|>").entropy == 0  # type: ignore[attr-defined]


def test_an_empty_turn_is_silence_and_no_model_is_asked() -> None:
    found = classify(Scripted([]), " … ?! ")  # type: ignore[arg-type]
    assert [i.name for i in found.intents] == ["silence"] and found.seconds == 0


def test_a_very_long_turn_is_read_in_part_and_says_so() -> None:
    assert understood(w("results"), "<|im_end|>", text="my results " * 100).truncated == 200 - MAX_WORDS  # type: ignore[attr-defined]


def test_an_answer_cut_off_is_shown() -> None:
    found = classify(Scripted([w("results")], finish="length"), "results")  # type: ignore[arg-type]
    assert found.dropped == ("answer cut off at its maximum length",)


def test_a_release_without_codebook_cannot_understand() -> None:
    with pytest.raises(EngineError, match="no codebook"):
        classify(Scripted([], codebook=None), "hello")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        ("Hi, it's Dr. O'Brien — 2:15 on the 3rd?", "hi it's dr o'brien 2:15 on the 3rd"),
        ("X-ray; e-script", "x ray e script"),
        ("I’m 75+", "i'm 75+"),
        ("", ""),
        ("\u202eabc\u200b🙂", "abc"),
        ("Nguyễn", "nguyễn"),
    ],
)
def test_the_model_sees_words_without_case_or_punctuation(said: str, seen: str) -> None:
    assert normalise(said) == seen


@given(st.text(max_size=200))
def test_words_point_into_the_original_text_and_normalising_twice_changes_nothing(text: str) -> None:
    words = words_of(text)
    assert all(0 <= a.start < a.end <= len(text) for a in words)
    assert normalise(normalise(text)) == normalise(text)


@given(
    st.lists(
        st.sampled_from(
            [
                " none",
                w("appt_new"),
                w("results"),
                w("emergency"),
                w("medicine"),
                w("date"),
                " dr",
                "nguyen",
                "<|im_end|>",
                "",
                " ",
                "\n",
                "é",
            ]
        ),
        max_size=12,
    ),
    st.text(string.printable, max_size=80),
)
def test_no_answer_of_a_model_breaks_the_reading(tokens: list[str], text: str) -> None:
    found = understood(*tokens, text=text)
    line = {"id": "1"} | as_json(found)  # type: ignore[arg-type]
    assert set(line) == {"id", "intents", "slots", "entropy"}
    assert all(0 <= i["p"] <= 1 for i in line["intents"])
    for value in found.slots.values():  # type: ignore[attr-defined]
        assert all(part in text for part in value.split("; "))


@given(st.lists(st.sampled_from(sorted(BOOK.intents)), max_size=3, unique=True))
def test_what_is_taught_is_read_back(intents: list[str]) -> None:
    taught = completion(BOOK, intents, [])
    found = understood(*[f" {word}" for word in taught.split()], "<|im_end|>")
    assert [i.name for i in found.intents] == sorted(intents, key=lambda name: name != "emergency")  # type: ignore[attr-defined]


def test_the_grammar_names_every_code() -> None:
    text = grammar(BOOK)
    assert all(f'" {code.word}"' in text for code in (*BOOK.intents.values(), *BOOK.slots.values(), BOOK.none))


def test_a_red_flag_makes_an_emergency_whatever_the_model_says() -> None:
    found = understood(
        f" {BOOK.intents['script_repeat'].word}", "<|im_end|>", text="need me script, and dad has collapsed and he's not breathing"
    )
    assert [i.name for i in found.intents] == ["emergency", "script_repeat"]  # type: ignore[attr-defined]
    assert found.red_flags and found.probabilities["emergency"] == 1.0  # type: ignore[attr-defined]


def test_the_model_alone_can_raise_an_emergency_and_harmless_words_do_not() -> None:
    found = understood(f" {BOOK.intents['emergency'].word}", "<|im_end|>", text="I need a new script please")
    assert [i.name for i in found.intents] == ["emergency"] and not found.red_flags  # type: ignore[attr-defined]
