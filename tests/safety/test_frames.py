"""What sets words aside, and what does not: each frame beside the same words of somebody who is ill now."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedside.knowledge.dispositions import dispositions
from bedside.knowledge.red_flags import lexicon
from bedside.safety.concepts import recogniser
from bedside.safety.context import scene
from bedside.safety.text import read
from bedside.safety.triage import triage

ALERT = ("E000", "E_CRISIS", "E_POISON", "ED_NOW", "NURSE_NOW")

PAIRS = {
    "a story": (
        "my daughter's reading a book where the hero gets bitten by a snake and dies, could i book a chat",
        "my daughter was reading a book in the garden and got bitten by a snake",
    ),
    "a game": ("he was playing a video game where a man has a seizure", "he was playing a video game and started fitting"),
    "an animal": ("my son's hamster isn't breathing so we'll be late", "my son isn't breathing, the hamster found him"),
    "an animal that goes on": (
        "our labrador was hit by a car, she's bleeding everywhere",
        "our labrador knocked mum over, she's bleeding everywhere",
    ),
    "an animal and a person": ("my dog had a seizure, what vet should i call", "my dog ran out and my wife had a seizure"),
    "somebody elsewhere": (
        "someone at my gym fainted last week, it made me want a heart check",
        "someone at my gym just fainted and she's not answering",
    ),
    "a relative of somebody's": (
        "my sister's mother in law had a stroke at easter and it's made me want my pressure looked at",
        "my sister's mother in law is here and she's having a stroke",
    ),
    "a classmate": ("a girl in my daughter's year overdosed on the weekend, she's shaken up", "my daughter overdosed this morning"),
    "a question in general": ("can blood pressure tablets make you pass out, i haven't", "i took my blood pressure tablets and passed out"),
    "a question with a reason": (
        "is it true meningitis causes a rash",
        "is it true meningitis causes a rash that doesn't fade because my kid's got one",
    ),
    "an episode long over": (
        "when i was pregnant with millie i couldn't feel her move for a whole day and she was fine, she's three next week",
        "when i was pregnant with millie she was fine, but now i'm thirty weeks and haven't felt this one move since yesterday",
    ),
    "an illness got over": (
        "i was short of breath back in winter with the flu, it's all cleared, i just want to get back to the gym",
        "i was short of breath back in winter with the flu and since last night i can't breathe again",
    ),
    "what comes back as it was": (
        "i had a heart attack ten years ago, script please",
        "i had a heart attack ten years ago and this feels like one",
    ),
    "what has always been so": (
        "nan's got alzheimers, she doesn't know us these days, been like that a year",
        "nan's got alzheimers, but since this morning she doesn't know us and she's drowsy",
    ),
    "a way of speaking": ("that bill was daylight robbery, nearly had a seizure", "i was paying the bill and my husband had a seizure"),
    "the end of a call": ("okay thanks goodbye", "i wanted to say goodbye to everyone"),
    "asking for help": ("can you help me with a referral", "help me, he's not breathing"),
    "being unsure": ("i'm a bit confused about the instructions the doctor gave me", "dad's suddenly confused"),
    "words beside blood": ("i've got a dry cough from my blood pressure tablets", "i've got a cough with blood"),
    "another time": (
        "i got knocked out at footy last season, coach wants a new clearance",
        "i got knocked out last season and was cleared, got knocked out again today and i can't stop being sick",
    ),
    "another time, hesitating": (
        "um i had a, a seizure, like in two thousand and nine, just the one, the licence people want a letter",
        "he had a, a seizure in two thousand and nine and um he's, he's fitting now",
    ),
    "another time, in a further clause": (
        "had a panic thing at school camp last term where i couldn't breathe, mum wants me to have a chat to someone",
        "had a panic thing at school camp last term and i can't breathe again tonight",
    ),
    "a fear of later": (
        "mum's worried she'll have a stroke if she stops the tablets, what should i tell her",
        "mum's worried she's having a stroke",
    ),
    "a question with a confession": (
        "what happens if you swallow a battery, it's for a talk",
        "what happens if you swallow a battery, my toddler just did",
    ),
    "a second victim": ("brown snake got the dog yesterday, we lost him", "brown snake got the dog and then it got me on the ankle"),
    "a thing that kills": ("this tax return is going to kill me", "my husband is going to kill me, he's got a knife"),
    "a stage": ("i have to do a health assignment on heart attacks", "i was doing my assignment and i think i'm having a heart attack"),
    "a year said wrong": ("nan was born in 1970", "she was right as rain last night and today she thinks it's 1970"),
    "a bleed that stopped": (
        "had a nosebleed last night for five minutes, it stopped by itself",
        "had a nosebleed that stopped by itself, it's started again and won't stop bleeding",
    ),
    "what else does not go down": ("the swelling in the price won't go down, it's been up for hours", "won't go down since last night"),
    "a known allergy": ("my niece has anaphylaxis to eggs, can she have the flu shot", "my niece ate egg and her throat is closing"),
}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_a_look_alike_is_left_alone_and_the_emergency_beside_it_is_not(pair: tuple[str, str]) -> None:
    harmless, urgent = pair
    assert triage(harmless).disposition not in ALERT
    assert triage(urgent).disposition in ALERT


@pytest.mark.parametrize(
    "denial",
    [
        "he has not had any seizures since the review",
        "he does not have chest pain",
        "never had a fit or a faint or a blackout",
        "denies chest pain, dyspnoea and syncope",
        "i haven't had any dark thoughts in months",
    ],
)
def test_a_denial_of_two_words_denies_once_and_reaches_through_its_list(denial: str) -> None:
    assert triage(denial).red_flags == ()


def test_a_long_ramble_about_what_is_over_is_no_emergency() -> None:
    ramble = (
        "hi it's about my son tom, he's eight, he had that nasty fall off the trampoline back in the holidays, knocked himself out and we had "
        "the ambulance and the lot, and they kept him overnight, and everything's been fine since, but the school wants a letter"
    )
    assert triage(ramble).disposition not in ALERT
    assert triage(ramble + ", and he's just come off his bike and he's unconscious").disposition == "E000"


STORIES = [
    "we watched a movie where",
    "my neighbour's dog barked and",
    "my uncle had a stroke last year and",
    "is it true that",
    "years ago",
]
NOW = [
    "my husband's not breathing right now",
    "i've got crushing chest pain",
    "my baby is blue",
    "i've taken an overdose",
    "she's having a seizure",
]


@given(st.sampled_from(STORIES), st.sampled_from(NOW), st.sampled_from([". ", ", and now "]))
def test_what_somebody_says_of_the_patient_now_stands_beside_any_frame(story: str, now: str, link: str) -> None:
    before = f"{story} someone fell over{link}"
    levels = dispositions()
    assert levels[triage(before + now).disposition].level >= levels[triage(now).disposition].level


@given(
    st.lists(st.sampled_from([*STORIES, *NOW, "but", "my dog", ",", "the vet", "in may", "not", "all clear"]), max_size=12).map(" ".join)
)
def test_every_mention_is_live_parked_or_denied_once(text: str) -> None:
    reading, mentions = recogniser().mentions(read(text))
    found = scene(reading, mentions, lexicon())
    assert not set(found.live) & set(found.parked)
    assert {*found.live, *found.parked} <= set(mentions)
