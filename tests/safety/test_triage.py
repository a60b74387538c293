"""Emergencies in callers' words are recognised, and everyday calls are left alone."""

from __future__ import annotations

import json
import re
import warnings
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedside.errors import KnowledgeError
from bedside.knowledge.dispositions import dispositions
from bedside.knowledge.red_flags import _read, _spread, lexicon, parse_pattern, red_flags
from bedside.safety.triage import HAPPENING_NOW, Triage, triage

EMERGENCIES = ("E000", "E_CRISIS", "E_POISON", "ED_NOW", "NURSE_NOW")
CALLS = [json.loads(line) for line in (Path(__file__).parent / "dev_calls.jsonl").read_text(encoding="utf-8").splitlines()]
# Look-alikes of emergencies, and emergencies that carry the words which silence look-alikes; written before the rules were tried on them,
# and since then development calls like the others.
FRESH = [json.loads(line) for line in (Path(__file__).parent / "fresh_calls.jsonl").read_text(encoding="utf-8").splitlines()]


def fired(text: str) -> set[str]:
    return {flag.id for flag in triage(text).red_flags}


def test_emergencies_of_the_development_calls_are_recognised() -> None:
    urgent = [call for call in CALLS if call["disposition"] in EMERGENCIES]
    missed = [call["text"] for call in urgent if triage(call["text"]).disposition not in EMERGENCIES]
    assert len(missed) <= 0.03 * len(urgent), missed


def test_everyday_calls_of_the_development_calls_are_left_alone() -> None:
    everyday = [call for call in CALLS if call["disposition"] not in (*EMERGENCIES, "HUMAN")]
    disturbed = [call["text"] for call in everyday if triage(call["text"]).disposition in EMERGENCIES]
    assert len(everyday) >= 250
    assert len(disturbed) <= 0.03 * len(everyday), disturbed


def test_fresh_emergencies_are_recognised_and_their_look_alikes_left_alone() -> None:
    outcomes = [(call, triage(call["text"]).disposition in (*EMERGENCIES, "HUMAN")) for call in FRESH]
    missed = [call["text"] for call, urgent in outcomes if call["urgent"] and not urgent]
    disturbed = [call["text"] for call, urgent in outcomes if not call["urgent"] and urgent]
    assert len(missed) <= 0.02 * sum(call["urgent"] for call in FRESH), missed
    assert len(disturbed) <= 0.05 * sum(not call["urgent"] for call in FRESH), disturbed


def test_dispositions_are_exact_for_most_development_calls() -> None:
    urgent = [call for call in CALLS if call["disposition"] in EMERGENCIES]
    assert sum(triage(call["text"]).disposition == call["disposition"] for call in urgent) >= 0.9 * len(urgent)


FIRES = {
    "RF01": ["heavy feeling on me chest", "chess pain since lunch", "my jaw aches and i'm all sweaty"],
    "RF02": ["he won't wake up", "she's stopped breathing", "there's no pulse"],
    "RF03": ["i can't get me breath", "she is choking", "his ribs are sucking in"],
    "RF04": ["out of breath since the flight", "short of breath after my operation", "my calf's red hot and swollen"],
    "RF05": ["i passed out at work", "my icd shocked me", "my heart is racing and i'm dizzy"],
    "RF06": ["vomiting blood", "coughing up blood", "my poo is black like tar"],
    "RF07": ["blood pressure 200 and a headache", "bp is 190 and i'm dizzy", "pressure of 210 over 120 and blurry"],
    "RF10": ["her face has drooped", "his speech is slurred", "my left side's gone numb"],
    "RF11": ["worst headache of my life", "sudden headache like a thunderclap", "headache came on in an instant"],
    "RF12": ["fever and a stiff neck", "purple spots that don't fade", "temperature and the light hurts his eyes"],
    "RF13": ["she is having a seizure", "he's fitting", "my brother is convulsing"],
    "RF14": ["he hit his head and is vomiting", "fell off the ladder and blacked out", "nan bumped her head"],
    "RF15": ["mum is suddenly confused", "he's not making any sense", "she's not herself today"],
    "RF16": ["numb between my legs", "back pain and i've wet myself", "i can't feel my legs"],
    "RF17": ["curtain over my eye", "bleach in my eye", "i've lost sight in one eye"],
    "RF18": ["i'm 72 and my temple is sore", "scalp's sore and i'm seventy", "nan's jaw hurts when chewing"],
    "RF20": ["my tongue is swelling", "used the epipen", "hives and wheezing"],
    "RF21": ["rigors and confused", "i think he has sepsis", "on chemo with a fever"],
    "RF22": ["diabetic and drowsy", "sugar is 2.4 and sweaty", "ketones and vomiting"],
    "RF23": ["belly as hard as a board", "tearing pain in my back", "can't keep anything down"],
    "RF24": ["i can't pee", "unable to pass urine", "nothing, can't wee at all"],
    "RF25": ["my testicle is in agony", "sore balls", "torsion"],
    "RF26": ["burnt his face", "hot oil on my hands", "he got electrocuted"],
    "RF27": ["it won't stop bleeding", "he's been stabbed", "bone is sticking out"],
    "RF28": ["hot swollen knee and a fever", "foot's gone cold and white and numb", "swollen hip and a temperature"],
    "RF29": ["erection won't go down", "erection for five hours", "priapism, it's painful"],
    "RF30": ["bitten by a snake", "snack bite", "brown snake got me"],
    "RF31": ["funnel web bite", "blue ringed octopus", "stood on a stonefish"],
    "RF32": ["jellyfish sting and severe pain", "irukandji sting", "stung by a bluebottle"],
    "RF33": ["redback bite", "bitten by a red back", "spider bite and i'm sweating"],
    "RF34": ["took an overdose", "she drank bleach", "double dose of his medicine"],
    "RF35": ["gas leak and we all feel sick", "carbon monoxide alarm", "smell gas and i'm dizzy"],
    "RF40": ["i want to die", "thinking of ending my life", "i'm going to hang myself"],
    "RF41": ["i've been cutting myself", "she self harms", "he is hurting himself"],
    "RF42": ["voices telling me to stab him", "i'm going to kill her", "he's threatening us with a knife"],
    "RF43": ["he strangled me", "my husband hits me", "scared to go home"],
    "RF44": ["i was raped", "he touched my daughter", "sexually assaulted"],
    "RF45": ["thoughts of hurting my baby", "just had a baby and hearing things", "i want to smother the baby"],
    "RF46": ["stopped drinking and has the shakes", "took ice and seeing things", "he's g'd out"],
    "RF50": ["pregnant and bleeding", "pregnant with shoulder tip pain", "late period and fainting"],
    "RF51": ["pregnant and baby's not moving", "thirty weeks and no kicks", "baby's movements have slowed"],
    "RF52": ["pregnant with a bad headache", "34 weeks and blurry vision", "pre eclampsia"],
    "RF53": ["my waters broke", "i'm having contractions", "the head is coming out"],
    "RF54": ["soaking a pad an hour", "clots after my miscarriage", "filling pads and dizzy"],
    "RF55": ["fever after the birth", "caesarean wound is smelly", "just had a baby and breathless"],
    "RF60": ["newborn feels hot", "six week old is 38.2", "two month old with a fever"],
    "RF61": ["my baby is floppy", "she's grunting", "her soft spot is bulging"],
    "RF62": ["five month old with a fever", "four months old and temp is 39.5", "three month old is hot"],
    "RF63": ["back from bali with a fever", "i've had a temperature for days", "fever again"],
    "RF64": ["noise when he breathes in", "barking cough and stridor", "my baby is not feeding"],
    "RF65": ["sunken eyes and no wee", "jelly poo in the nappy", "vomiting green"],
    "RF66": ["baby rolled off the bed", "dropped the baby", "newborn has bruises"],
    "RF67": ["limping with a fever", "swallowed a magnet", "won't walk and has a temperature"],
    "RF70": ["a bat scratched me", "bitten by a flying fox", "bat bite"],
    "RF71": ["uti and back pain", "it burns when i wee and i'm pregnant", "stings when i pee"],
    "RF72": ["shingles near my eye", "shingles on my face", "shingles close to my eye"],
    "RF80": ["my ear is sore", "sore throat since friday", "the cough's getting worse"],
    "RF81": ["my asthma's been worse", "bit wheezy but the puffer helps", "needing my puffer more"],
    "RF82": ["the wound looks red", "i think it's cellulitis", "boil on my arm"],
    "RF83": ["i've run out of warfarin", "my insulin, i'm out of it", "ran out of my antidepressants"],
    "RF84": ["needlestick at work", "the condom broke", "the dog bit me"],
    "RF85": ["could it be measles", "she has chicken pox", "we were at an exposure site"],
    "RF86": ["my mood's getting worse", "my depression is back", "not coping at work"],
    "RF87": ["my back went out", "back pain getting worse", "i've got sciatica"],
    "RF88": ["you rang me about my test", "told to call back", "i missed a call from you"],
    "RF89": ["we have gastro", "sprained my wrist", "twisted my ankle"],
    "RF90": ["a lump in my breast", "a mole has changed", "a sore that won't heal"],
    "RF91": ["the pain is excruciating", "there's a lot of blood", "her whole face is swelling"],
}


def test_every_rule_has_wordings() -> None:
    assert set(FIRES) == {rule.id for rule in red_flags()}


@pytest.mark.parametrize(("rule", "text"), [(rule, text) for rule, texts in FIRES.items() for text in texts])
def test_rule_fires(rule: str, text: str) -> None:
    assert rule in fired(text)


@pytest.mark.parametrize(
    "text",
    [
        "this back pain is killing me",
        "i'm dying for a smoke",
        "my feet are killing me",
        "she'll have a fit if i'm late",
        "heart broken since the split",
        "booking a stress test",
        "chest x-ray results please",
        "referral to the pain clinic",
        "suicide prevention training form",
        "had a stroke in 2019, need a script",
        "my dog collapsed",
        "my dad passed away from a heart attack",
        "what are the signs of a stroke",
        "i watched a show where a man had a seizure",
        "epipen script please",
    ],
)
def test_sayings_forms_animals_and_the_past_do_not_fire(text: str) -> None:
    assert triage(text).disposition not in EMERGENCIES


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("no chest pain now, it was bad an hour ago", "RF01"),
        ("no fever but he can't breathe", "RF03"),
        ("no he's not breathing", "RF02"),
        ("not sure but my chest is tight", "RF01"),
        ("mum's mouth went crooked, gone now", "RF10"),
        ("i had a stroke years ago and it's happening again", "RF10"),
    ],
)
def test_what_does_not_deny(text: str, rule: str) -> None:
    assert rule in fired(text)


@pytest.mark.parametrize("text", ["he isn't vomiting blood", "no sign of bleeding from her bottom", "not suicidal", "never had a seizure"])
def test_what_is_denied_does_not_fire(text: str) -> None:
    assert triage(text).disposition == "ROUTINE"


@pytest.mark.parametrize(
    ("told", "happening"),
    [
        ("in the new series the villain has a stroke", "we were watching the new series and dad's mouth drooped"),
        ("our dog collapsed at the vet", "the vet was busy with our dog when my husband collapsed"),
        ("a bloke at work had a heart attack last week", "a bloke at work is having a heart attack"),
        ("what happens if my waters break at home", "what do i do, my waters broke"),
    ],
)
def test_a_frame_sets_aside_what_is_told_in_it_and_nothing_that_happens(told: str, happening: str) -> None:
    assert triage(told).disposition not in EMERGENCIES
    assert triage(happening).disposition in EMERGENCIES


def test_a_word_said_twice_denies_nothing_twice() -> None:
    assert fired("she's not not moving as much, i'm thirty one weeks") == fired("she's not moving as much, i'm thirty one weeks") != set()


def test_one_word_is_not_two_findings() -> None:
    assert "RF67" not in fired("the dry skin on my legs gets hot in bed")


@pytest.mark.parametrize(
    "text", ["i live in cairns", "the price has gone up", "my iron's gone low", "my dead husband's account", "i'm on the board"]
)
def test_everyday_words_are_no_emergency(text: str) -> None:
    assert triage(text).disposition not in EMERGENCIES


def test_what_is_set_aside_is_asked_about() -> None:
    assert HAPPENING_NOW in triage("i had a heart attack five years ago").ask


def test_the_urgent_part_comes_first_and_the_rest_is_kept() -> None:
    result = triage("cancel my appointment, oh and i can't breathe")
    assert (result.disposition, result.routine) == ("E000", "ADMIN")


def test_evidence_stands_in_the_original_text() -> None:
    text = "Hi — Мy chеst is TIGHT 😱"
    flag = triage(text).red_flags[0]
    assert flag.evidence == tuple(text[start:end] for start, end in flag.spans)
    assert "TIGHT" in flag.evidence[0]


@pytest.mark.parametrize("text", ["", "   ", "😱😱", "!!!", "\x00\x01"])
def test_nothing_readable_goes_to_a_person(text: str) -> None:
    assert triage(text) == Triage("HUMAN", (), (), "HUMAN")


@pytest.mark.parametrize("text", ["h e l p, c a n t  b r e a t h e", "i caaaaan't breeeeathe", "he is un conscious", "menigococcal rash"])
def test_spelt_out_drawn_out_and_misheard_words(text: str) -> None:
    assert triage(text).disposition == "E000"


@pytest.mark.parametrize("unit", ["no chest pain ", "a", "chest ", "not ", "thirty nine point two ", "h e l p "])
@pytest.mark.timeout(15)
def test_a_megabyte_is_read(unit: str) -> None:
    assert triage((unit * (1_000_000 // len(unit) + 1))[:1_000_000]).disposition in dispositions()


def test_a_red_flag_at_the_end_of_a_long_text_is_found() -> None:
    assert triage("need a script " * 2000 + "and i can't breathe").disposition == "E000"


def test_rules_not_in_force_are_left_out() -> None:
    assert triage("i can't breathe", day=date(2026, 11, 22)).disposition == "E000"


def test_a_pattern_with_an_unknown_concept_is_named() -> None:
    with pytest.raises(KnowledgeError, match="'cheest'"):
        parse_pattern("cheest ~ pain", lexicon().names())


def test_the_built_in_lexicon_is_read_without_a_warning() -> None:
    lexicon.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lexicon()


@pytest.mark.parametrize("phrase", ["feel paper/toilet paper/loo paper when", "swollen/swollen up", "get/get"])
def test_a_slash_between_several_words_is_warned_of(phrase: str) -> None:
    text = f"{{about: a, source: b, certainty: C, concepts: {{numb: 'cold, {phrase}'}}}}"
    with pytest.warns(UserWarning, match=f"odd.yaml: in numb, the phrase '{re.escape(phrase)}'"):
        _read(text, "odd.yaml")


@given(st.lists(st.sampled_from(["up", "up/down", "in", "paper/toilet", "paper/loo", "/", "<a>/b", "=x"]), max_size=6).map(" ".join))
def test_any_phrase_is_judged(phrase: str) -> None:
    assert _spread(phrase) in (True, False)
    assert not _spread(phrase.replace("/", ""))


def test_every_concept_that_the_lexicon_names_exists_and_is_used() -> None:
    words = lexicon()
    names = words.names()
    patterns = [text for rule in red_flags() for route in rule.routes for text in route.when] + [
        p for ps in words.compounds.values() for p in ps
    ]
    used = {name for text in patterns for name in re.findall(r"[a-z]\w*", text)}
    for marker in words.markers.values():
        used |= {*marker.needs, *marker.lifted_by, *marker.undone_by, *marker.only, *marker.spares, *marker.in_clause}
    for quantity in words.quantities.values():
        used |= {*quantity.after, *quantity.before}
    assert used - names == set()
    structural = {
        "benign",
        "negator",
        "list_close",
        "pseudo_negation",
        "transparent",
        "barrier",
        "subject",
        "at_present",
        "admin",
        "clinical_wish",
        "own_subject",
        "request",
        *words.markers,
    }
    assert names - used - structural == set()
