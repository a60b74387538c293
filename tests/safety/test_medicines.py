"""Medicines are found in what callers say, at the right place, and ordinary talk holds none."""

from __future__ import annotations

import random
import string
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bedside.knowledge.medicines import medicine_classes, medicines, sayings
from bedside.safety.medicines import as_rows, is_critical_supply, monitored, recognise, resolve

NAMES = sorted({name for medicine in medicines() for name in (*medicine.brands, *medicine.synonyms)})
SINGLE = sorted(medicine.generic for medicine in medicines() if len(medicine.parts) == 1)

WORDINGS = {
    "i take attorvastatin and metforman": {"atorvastatin", "metformin"},
    "my script for met foreman has run out": {"metformin"},
    "can i get oh zem pick repeats": {"semaglutide"},
    "need more panadol osteo please": {"paracetamol"},
    "ive run out of a liquid tablets": {"apixaban"},
    "i take lip it or for cholesterol": {"atorvastatin"},
    "script for war for in": {"warfarin"},
    "the chemist said no more target tablets": {"naloxone", "oxycodone"},
    "elequis 5mg": {"apixaban"},
    "seroquil, lexipro and zolof": {"quetiapine", "escitalopram", "sertraline"},
    "xannies and endone": {"alprazolam", "oxycodone"},
    "Panadeine Forte repeat": {"codeine", "paracetamol"},
    "frusemide and albuterol": {"furosemide", "salbutamol"},
    "my amoxycillin and the co-trimoxazole": {"amoxicillin", "sulfamethoxazole", "trimethoprim"},
    "St John’s Wort with my pill tablets": {"st john's wort"},
    "diabex xr 1000 twice a day": {"metformin"},
    "is it ok to have wine with flagyl": {"alcohol", "metronidazole"},
    "pregablin 75mg and tramadole": {"pregabalin", "tramadol"},
    "a repeat of symbacort and ventalin": {"budesonide", "formoterol", "salbutamol"},
    "clopidogril, perindapril, esomeprozole": {"clopidogrel", "perindopril", "esomeprazole"},
    "on cephalexin since Monday": {"cefalexin"},
    "hydroxychlorequine script": {"hydroxychloroquine"},
    "mum is on the done": {"methadone"},
    "he rolled an ankle and took a nurofen": {"ibuprofen"},
}

ORDINARY = """
can i book in with doctor nguyen this arvo|is doctor patel in on thursday|i need to move my appointment to next week
my name is erica and i was born in ninety two|this is brenda calling back about tomorrow|it is diane from number twelve
we live in target street near the guardians club|i bought it at target on saturday|the olympic pool opens at nine
next em please he said|so mac and cheese for tea then|could you cover all of it on the invoice|my card is not working on your site
what time do you close on fridays|do you bulk bill pensioners|how much is the gap for a long appointment|is there parking out the back
i will be ten minutes late sorry|the bus broke down on parramatta road|can my husband come in with me|do you do skin checks
he has a sore throat and a runny nose|she rolled her ankle at netball|my back is killing me today|the baby has had a fever since last night
i have had a cough for two weeks|could be the flu going round|my ears are blocked again|there is a rash on his arm
please send the letter to doctor brown in bendigo|the referral is for a knee surgeon in ballarat|can you fax it to the hospital
we moved up from warrnambool in march|i am driving in from dubbo so the later the better|my mother in law lives in mandurah
estelle will pick up the form for me|yasmin is my daughter and she is six|amira has a temperature|levi fell off the trampoline
evelyn and madeline both need their needles|brooke would like the first one in the morning|rosie is the receptionist i spoke to
is the nurse free for a blood pressure check|can i get my results over the phone|the blood test was done last tuesday
who do i speak to about my account|i paid on my card but there was no receipt|do you take american express
is the clinic open on anzac day|happy new year to you as well|how was your weekend love|bit chilly this morning isnt it
thanks darl see you then|no worries mate|yeah nah i cant make it|can you call me back after lunch|my phone is about to go flat
the kettle is on so be quick|we had beer and a barbie on sunday|the milk went off in the fridge|he spilt coke on the forms
i drove past the iron works|gold medal at the swimming|my dog ate the letter|the cat has a sore paw as well
it is for a medical certificate for work|centrelink wants the form by friday|i need a carers certificate for today
can i see the same doctor as last time|is there a lady doctor available|which doctor speaks mandarin|we need an interpreter please
my date of birth is the third of may|my medicare number ends in four two|the address has changed to smith street
tell the doctor i said thank you|the stitches need to come out on monday|the dressing needs changing|i want to make a complaint
he works as a foreman on site|they met for men only in the hall|the crest or the badge whichever|lyric a or lyric b she sang
the effects or causes were unclear|end on a high note|so loft conversions are pricey|she said it tied in a knot|marry van der berg in june
war for independence was on the telly|the great all blacks won|simba courted nala in the film|vent a little steam
prolific a writer as he was|the guardian published it|alexa pro is on special|zorro to the rescue|a rock singer lives next door
my cardigan is in the waiting room|i left my hat there yesterday|did anyone hand in a set of keys|the lights are off in the foyer
is it ok to bring the pram|do you have a kids corner|the toilet was out of order|the air con is too cold in there
i want to talk about my weight|feeling a bit down since the divorce|cannot sleep at all this week|my knees ache when it rains
dad had a fall but he is fine|mum is turning ninety|grandma wants the morning|my partner is pregnant and due in june
can we do a phone consult|is it a video call or in person|the link did not work|i never got the text message
how long is the wait today|i have been on hold for ages|you were recommended by a friend|are you taking new patients
where do i get the x-ray done|the ultrasound is at the imaging place|the specialist said six weeks|surgery was cancelled again
i am calling for my neighbour|she is deaf so please speak up|he only speaks greek|my english is not good sorry
the school rang about nits|daycare sent him home|he needs a note for footy|she starts kindy next week|sports physical for the club
travel to bali in july|we are off to fiji|the cruise leaves on friday|my passport form needs a doctor|a driving medical for the truck
can you check if my letter came|the parcel went to the wrong unit|this is sharon from toyota|its just me again|wrong number sorry
sally from aged care here|the agency nurse will come|he is in room fourteen|the ambulance was here last month|my neighbour is a chemist by trade
could i have the fax number|what is your email|do you validate parking|is there a lift|which tram goes past you
the dentist said to ring you|the optometrist found something|the physio wants a letter|my podiatrist retired|the chiro shut down
i would rather not say|it is a private matter|just a general check up|nothing urgent at all|it can wait until the new year
she has a lump on her wrist|my toe is purple|he got stung by a bee|i burnt my hand on the stove|the cut is not healing
we are out of nappies too|the footy was cracking|storm took the fence down|the roof leaks in the rain|flood water is up the drive
kelly will be there at two|hamish needs two forms|ngaire spelt n g a i r e|siobhan with a b h|mister papadopoulos rang
the wedding is in october|funeral is on wednesday|school holidays start soon|long weekend coming up|daylight saving caught me out
i need a new doctor|the old clinic closed|can you get my records sent over|the fee went up again|is there a discount for kids
is it going to hurt|will it take long|do i need to fast|can i eat before it|should i bring my mum|what should i bring
that would be great ta|cheers for that|lovely thank you|hold on a tick|let me find a pen|sorry could you say that again
press one to go on|operator please|i want a real person|this robot is useless|are you a machine|hello is anyone there
""".strip()

SENTENCES = [sentence for line in ORDINARY.splitlines() for sentence in line.split("|")]


@pytest.mark.parametrize("medicine", medicines(), ids=lambda medicine: medicine.generic)
def test_each_name_of_the_table_leads_to_its_medicine(medicine) -> None:  # type: ignore[no-untyped-def]
    for name in (medicine.generic, *medicine.brands, *medicine.synonyms):
        found = resolve(name)
        assert found is not None, name
        assert found.generics == set(medicine.parts), name
        assert found.whole, name


def test_each_slang_row_is_found_among_medicine_words() -> None:
    for fact in sayings():
        if fact.means:
            target = resolve(fact.means)
            assert target is not None
            for words in fact.words:
                mentions = recognise(f"i need a script for {words} please")
                hit = [mention for mention in mentions if mention.text == words]
                assert hit, (fact.id, words, mentions)
                assert hit[0].confirm, (fact.id, words)
                assert set(hit[0].generics) == target.generics or hit[0].class_id in target.classes, (fact.id, words)


def test_spoken_wordings() -> None:
    for text, expected in WORDINGS.items():
        found = {generic for mention in recognise(text) for generic in mention.generics}
        assert found == expected, (text, found)


def test_ordinary_talk_holds_no_medicine() -> None:
    assert len(SENTENCES) >= 200
    wrong = {sentence: [mention.text for mention in found] for sentence in SENTENCES if (found := recognise(sentence))}
    assert len(wrong) <= len(SENTENCES) // 100, wrong


def test_name_that_is_also_an_everyday_word_counts_among_medicine_words_only() -> None:
    assert recognise("brenda would like an appointment") == ()
    assert [mention.generics for mention in recognise("she takes brenda tablets")] == [("cyproterone", "ethinylestradiol")]


def test_look_alikes_are_both_given_and_have_to_be_confirmed() -> None:
    mentions = recognise("my celebram tablets")
    assert {mention.generic for mention in mentions} == {"celecoxib", "citalopram"}
    assert all(mention.confirm and mention.confidence < 0.5 and mention.text == "celebram" for mention in mentions)
    assert [mention.generic for mention in recognise("my celebrax tablets")] == ["celecoxib"]
    assert recognise("my losec tablets")[0].confirm


def test_combination_gives_one_row_a_substance() -> None:
    rows = as_rows(recognise("seretide puffer"))
    assert [row["generic"] for row in rows[:2]] == ["fluticasone", "salmeterol"]
    assert all(row["text"] == "seretide" and (row["start"], row["end"]) == (0, 8) for row in rows[:2])


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(NAMES + SINGLE), st.sampled_from(["", "hi there ", "Ünd 😀 I take the "]), st.sampled_from(["", " please", ", 40 mg?"])
)
def test_words_around_a_name_leave_its_span_right(name: str, before: str, after: str) -> None:
    text = f"{before}tablets: {name}{after}"
    mentions = recognise(text)
    assert any(mention.text == name and text[mention.start : mention.end] == name for mention in mentions), (text, mentions)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(NAMES + SINGLE),
    st.sampled_from([str.upper, str.title, lambda name: name.replace("a", "а"), lambda name: f"  {name}\u200b "]),
)
def test_case_spaces_and_homoglyphs_change_nothing(name: str, change) -> None:  # type: ignore[no-untyped-def]
    assert resolve(change(name)) == resolve(name)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200))
def test_any_text_gives_mentions_that_stand_in_it(text: str) -> None:
    for mention in recognise(text):
        assert text[mention.start : mention.end] == mention.text
        assert 0 < mention.confidence <= 1
        assert mention.generics or mention.class_id in medicine_classes()


def test_a_megabyte_is_read_in_a_moment() -> None:
    for text in ("a" * 1_000_000, "\u202e" * 100_000, "panadol " * 20_000):
        started = time.perf_counter()
        recognise(text)
        assert time.perf_counter() - started < 8


def test_one_slip_in_a_long_name_is_forgiven_and_confidence_is_honest() -> None:
    dice = random.Random(7)
    right = wrong = missed = 0
    sure = 0.0
    for name in (name for name in SINGLE if len(name) >= 8 and name.isalpha()):
        at = dice.randrange(1, len(name) - 1)
        slip = dice.choice(
            [name[:at] + name[at + 1 :], name[:at] + name[at] + name[at:], name[:at] + dice.choice(string.ascii_lowercase) + name[at + 1 :]]
        )
        mentions = recognise(f"a script for {slip} please")
        if not mentions:
            missed += 1
            continue
        sure += mentions[0].confidence
        right, wrong = right + (mentions[0].generic == name), wrong + (mentions[0].generic != name)
    assert right / (right + wrong + missed) >= 0.95, (right, wrong, missed)
    assert wrong / (right + wrong) <= 0.02
    assert sure / (right + wrong) <= right / (right + wrong) + 0.01, "more sure than right"


@pytest.mark.parametrize(
    ("medicine", "state", "expected"),
    [
        ("Endone", "NSW", True),
        ("Ritalin", "QLD", True),
        ("valium", "WA", True),
        ("Stilnox", None, True),
        ("Panadeine Forte", "SA", True),
        ("Lyrica", "TAS", True),
        ("medicinal cannabis", "VIC", True),
        ("Sudafed", "VIC", True),
        ("Sudafed", "NSW", False),
        ("benzos", "ACT", True),
        ("Lipitor", "VIC", False),
        ("flibbertigibbet", "VIC", None),
    ],
)
def test_monitored_medicines(medicine: str, state: str | None, expected: bool | None) -> None:
    assert monitored(medicine, state)[0] is expected


def test_critical_supply() -> None:
    wanted = ("Epilim", "Lantus", "Eliquis", "prednisone", "Prograf", "clozapine", "lithium", "methotrexate", "EpiPen", "Ventolin")
    assert [name for name in wanted if not is_critical_supply(name)] == []
    assert is_critical_supply("Lipitor") is False
    assert is_critical_supply("flibbertigibbet") is None
