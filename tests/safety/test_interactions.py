"""Interactions: the ONC list in full, the major list of general practice, and what is never said of an unknown name."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bedside.errors import KnowledgeError
from bedside.knowledge.medicines import generics, medicines
from bedside.safety.cross_checks import PatientFacts, cross_check
from bedside.safety.interactions import check, check_list

MAOI = "phenelzine tranylcypromine moclobemide selegiline rasagiline safinamide linezolid"
ONC = [
    ("dexamfetamine lisdexamfetamine methylphenidate phentermine pseudoephedrine atomoxetine", MAOI),
    ("atazanavir", "omeprazole esomeprazole pantoprazole lansoprazole rabeprazole"),
    ("febuxostat allopurinol", "azathioprine mercaptopurine"),
    (
        "escitalopram citalopram sertraline fluoxetine paroxetine fluvoxamine venlafaxine desvenlafaxine duloxetine vortioxetine",
        MAOI + " methylthioninium-chloride",
    ),
    ("irinotecan", "itraconazole voriconazole posaconazole clarithromycin ritonavir cobicistat"),
    ("pethidine tramadol tapentadol methadone dextromethorphan", MAOI),
    ("amitriptyline nortriptyline dosulepin doxepin imipramine clomipramine", MAOI),
    (
        "amiodarone sotalol citalopram escitalopram haloperidol droperidol ziprasidone methadone",
        "erythromycin clarithromycin azithromycin moxifloxacin fluconazole domperidone ondansetron hydroxychloroquine quinine donepezil",
    ),
    ("rifampicin carbamazepine phenytoin phenobarbital st-john's-wort", "ritonavir darunavir atazanavir nirmatrelvir"),
    ("simvastatin atorvastatin lovastatin", "clarithromycin erythromycin itraconazole posaconazole voriconazole ritonavir ciclosporin"),
    ("ergotamine dihydroergotamine", "clarithromycin erythromycin itraconazole ritonavir voriconazole posaconazole"),
    ("tizanidine", "fluvoxamine ciprofloxacin"),
    ("tranylcypromine", "procarbazine"),
    ("sumatriptan rizatriptan zolmitriptan eletriptan naratriptan", "phenelzine tranylcypromine moclobemide"),
]
MAJOR = """warfarin nurofen|warfarin cartia|warfarin bactrim|warfarin flagyl|warfarin diflucan|warfarin daktarin oral gel|warfarin aratac
warfarin klacid|warfarin ciproxin|warfarin tramal|warfarin zoloft|warfarin st john's wort|warfarin tegretol|warfarin rifadin
eliquis nurofen|xarelto plavix|pradaxa zoloft|eliquis sporanox|xarelto norvir|eliquis tegretol|pradaxa isoptin|pradaxa multaq|eliquis clexane
coversyl slow-k|micardis aldactone|entresto kaluril|ramipril alprim|entresto tritace|lithicarb nurofen|lithium coversyl|lithium dithiazide
methoblastin alprim|methotrexate bactrim|methotrexate voltaren|methotrexate nexium|imuran progout|clozapine luvox|clozapine ciproxin
clozapine tegretol|lanoxin cordarone|digoxin isoptin|digoxin klacid|isoptin betaloc|cardizem tenormin|zocor klacid|zocor lopid
zocor ciclosporin|colgout klacid|colchicine neoral|colchicine norvir|colchicine isoptin|gtn viagra|imdur cialis|ikorel levitra
endone valium|endone stilnox|endone lyrica|endone alcohol|tramal zoloft|palexia efexor|tramal endep|zoloft zyvox|zoloft st john's wort
zoloft nurofen|lexapro aspirin|lexapro diflucan|sotalol klacid|domperidone klacid|domperidone sporanox|coralan cardizem|coralan sporanox
tamoxifen aropax|tamoxifen zyban|levlen tegretol|implanon dilantin|slinda st john's wort|levlen topamax|lamictal levlen|lamictal epilim
epilim meropenem|tegretol klacid|tegretol cardizem|dilantin diflucan|dilantin isoniazid|nuelin ciproxin|nuelin luvox|prograf sporanox
neoral klacid|prograf cardizem|prograf st john's wort|prograf nurofen|paxlovid cordarone|paxlovid eliquis|paxlovid zocor|paxlovid lipitor
paxlovid clozapine|paxlovid colchicine|paxlovid seroquel|paxlovid midazolam|paxlovid serevent|paxlovid prograf|paxlovid tegretol
seroquel klacid|latuda sporanox|madopar maxolon|sinemet stemetil|sinemet serenace|maxolon risperdal|doxycycline roaccutane
roaccutane methotrexate|neotigason methotrexate|flagyl alcohol|antabuse alcohol|aldactone alprim|vyvanse nardil|zyban tramal|zyban parnate
naltrexone endone|suboxone ms contin|sudafed parnate|nurofen prednisolone|mmr vaccine humira|zostavax methotrexate|varilrix xeljanz
stamaril prednisone|xeljanz sporanox|metformin iodinated contrast|suboxone valium|methadone xanax|diamicron ciproxin"""
HARMLESS = """panadol metformin|amoxil panadol|zyrtec panadol|lipitor panadol|levothyroxine panadol|ventolin panadol|crestor micardis
amlodipine panadol|keflex panadol|jardiance lipitor|metformin sitagliptin|vitamin d lipitor|fexofenadine metformin|allopurinol panadol
latanoprost metformin|nystatin metformin|influenza vaccine lipitor|folic acid panadol|loratadine amoxil|perindopril rosuvastatin"""


def _pairs(text: str) -> list[tuple[str, str]]:
    """Pairs of which the last name may be of several words."""
    rows = [row for line in text.splitlines() for row in line.split("|")]
    return [_halves(row) for row in rows]


def _halves(row: str) -> tuple[str, str]:
    words = row.split()
    for at in (1, 2):
        left, right = " ".join(words[:at]), " ".join(words[at:])
        if left.lower() in _NAMES and right.lower() in _NAMES:
            return left, right
    raise AssertionError(row)


_NAMES = {name.lower() for medicine in medicines() for name in (medicine.generic, *medicine.brands, *medicine.synonyms)}


@pytest.mark.parametrize(("left", "right"), ONC)
def test_onc_pairs_are_major_or_worse(left: str, right: str) -> None:
    for a, b in product(left.split(), right.split()):
        result = check(a.replace("-", " "), b.replace("-", " "))
        assert result.severity in ("contraindicated", "major"), (a, b, result.severity)


def test_major_list_of_general_practice() -> None:
    assert [pair for pair in _pairs(MAJOR) if check(*pair).severity not in ("major", "contraindicated")] == []


def test_everyday_pairs_raise_no_alarm() -> None:
    assert [pair for pair in _pairs(HARMLESS) if check(*pair).severity in ("major", "contraindicated", "unknown")] == []


def test_triple_whammy_fires_on_three_only() -> None:
    findings = check_list(["ramipril", "lasix", "nurofen"])
    assert findings[0].medicines == ("ramipril", "lasix", "nurofen")
    assert findings[0].interaction.rules[0].rule == "ddi.triple-whammy"
    assert all(finding.interaction.severity != "major" for finding in check_list(["ramipril", "lasix"]))
    assert check_list(["coversyl plus", "panadol", "celebrex"])[0].interaction.severity == "moderate"


def test_same_medicine_under_two_names() -> None:
    assert check("Panadol", "Panadeine Forte").rules[0].rule == "ddi.same-substance"
    assert check("Nurofen", "Voltaren").severity == "major"
    assert check("Zoloft", "Lexapro").severity == "major"


def test_misspelt_class_and_slang_names_are_understood() -> None:
    assert check("warfrin", "ibuprofin").severity == "major"
    assert check("blood thinner", "nurofen").severity == "major"
    assert check("benzos", "endone").severity == "major"


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(generics())), st.sampled_from(sorted(generics())))
def test_order_case_and_spaces_do_not_matter(a: str, b: str) -> None:
    expected = check(a, b)
    swapped = check(f" {b.upper()} ", a.title())
    assert swapped.severity == expected.severity != "unknown"
    assert {reason.rule for reason in swapped.rules} == {reason.rule for reason in expected.rules}


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="qxzwvkj ", min_size=1, max_size=12), st.sampled_from(sorted(generics())))
def test_an_unknown_name_is_never_without_interactions(name: str, other: str) -> None:
    assert check(name, other).severity != "none"


def test_a_name_of_which_a_part_is_unknown_is_not_called_harmless() -> None:
    assert check("panadol with flibbertigibbet", "metformin").severity == "unknown"


def test_a_name_that_only_resembles_a_medicine_is_not_called_harmless() -> None:
    assert check("zorblax", "warfarin").severity == "unknown"
    assert check("metfromin", "panadol").severity == "none"


def test_every_reason_carries_its_source_and_wording() -> None:
    for reason in check("Parnate", "Endep").rules:
        assert reason.source
        assert reason.certainty in "ABCD"
        assert reason.wording == "check-before-together"


@pytest.mark.parametrize(
    ("medicine", "patient", "rule"),
    [
        ("Augmentin", PatientFacts(allergies=("penicillin rash",)), "allergy.penicillin"),
        ("Keflex", PatientFacts(allergies=("Amoxil",)), "allergy.penicillin-cephalosporin"),
        ("Bactrim", PatientFacts(allergies=("sulfa",)), "allergy.sulfonamide"),
        ("Nurofen", PatientFacts(conditions=("Asthma since childhood",)), "allergy.nsaid-asthma"),
        ("Coversyl", PatientFacts(pregnant=True), "pregnancy.raas"),
        ("Nurofen", PatientFacts(pregnant=True, weeks_pregnant=20), "pregnancy.nsaid-late"),
        ("codeine", PatientFacts(breastfeeding=True), "lactation.opioid"),
        ("Diabex", PatientFacts(egfr=29), "renal.metformin"),
        ("Macrodantin", PatientFacts(conditions=("G6PD deficiency",)), "condition.g6pd"),
        ("Panadeine Forte", PatientFacts(age_years=11), "age.codeine"),
        ("aspirin", PatientFacts(age_years=15), "age.aspirin"),
        ("Valium", PatientFacts(age_years=75), "age.sedative"),
    ],
)
def test_record_speaks_against_a_medicine(medicine: str, patient: PatientFacts, rule: str) -> None:
    assert rule in [note.rule for note in cross_check(medicine, patient) if note.applies]


def test_boundaries_of_record_checks() -> None:
    def fired(medicine: str, patient: PatientFacts) -> set[str]:
        return {note.rule for note in cross_check(medicine, patient) if note.applies}

    assert "renal.metformin" not in fired("metformin", PatientFacts(egfr=30))
    assert "pregnancy.nsaid-late" not in fired("ibuprofen", PatientFacts(pregnant=True, weeks_pregnant=19))
    assert "age.codeine" not in fired("codeine", PatientFacts(age_years=12))
    assert "age.aspirin" not in fired("aspirin", PatientFacts(age_years=16))


def test_what_is_not_on_record_is_asked_for_and_unknown_medicines_are_refused() -> None:
    notes = cross_check("metformin", PatientFacts())
    assert [(note.applies, note.ask) for note in notes if note.rule == "renal.metformin"] == [(None, ("egfr",))]
    with pytest.raises(KnowledgeError, match="flibbertigibbet"):
        cross_check("flibbertigibbet", PatientFacts())
