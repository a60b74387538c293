"""Interaction tables of the user's own: each layout is read, faults are named by line, and checks use them with their source."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bedside.errors import KnowledgeError
from bedside.safety.importers import import_table, load_table
from bedside.safety.interactions import check

PAIRS = "drug_a,drug_b,level\nparacetamol,cetirizine,not_recommended\nparacetamol,Unobtainium,precaution\nparacetamol,cetirizine,precaution\nparacetamol,,precaution\nparacetamol,loratadine,odd\n"
STATEMENTS = "type1,name1,rxcui1,atc1,type2,name2,rxcui2,atc2,level,severity_raw,description,management\nclass,ALLERGY TABLETS ,,,drug,PARACETAMOL,,,contraindicated,CI,made up,\n"
CLASSES = "class,drug,rxcui,atc\nALLERGY TABLETS,Cetirizine,,\nALLERGY TABLETS,,,\nALLERGY TABLETS,Loratadine,,\n"
DDINTER = "DDInterID_A,Drug_A,DDInterID_B,Drug_B,Level\nX1,Acetaminophen,X2,Cetirizine,Major\nX1,Acetaminophen,X3,Loratadine,Unknown\n"
CRESCENDDI = "DRUG_1_RXCUI,DRUG_1_CONCEPT_NAME,DRUG_2_RXCUI,DRUG_2_CONCEPT_NAME,EVENT_CONCEPT_NAME,BNF_SEV_LEVEL,ANSM_SEV_LEVEL\n1,Acetaminophen,2,Cetirizine,Made up,Mild,Severe\n"
FRENCH = [
    {
        "main_drug": "PARACÉTAMOL",
        "plus_drug": "COMPRIMÉS ALLERGIE",
        "severity_levels": [{"level": "A prendre en compte"}, {"level": "CONTRE-INDICATION"}],
        "interaction_mechanism": "inventé",
    }
]
FRENCH_CLASSES = [{"substance": "cétirizine", "drug_classes": ["comprimés allergie"]}]


def _write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_pairs_keep_the_worst_grade_and_name_every_fault(tmp_path: Path) -> None:
    path = _write(tmp_path, "pairs.csv", PAIRS)
    report = import_table(path, tmp_path / "out" / "own.jsonl", licence="Etalab 2.0")
    assert (report.layout, report.rows, report.pairs) == ("ANSM 2016 English pairs", 5, 1)
    assert report.unmatched == {"Unobtainium": 1}
    assert [fault.split(":")[1] for fault in report.bad] == ["5", "6"]
    assert (tmp_path / "out" / "own.jsonl.licence.txt").read_text() == "pairs.csv: Etalab 2.0\n"
    table = load_table(tmp_path / "out" / "own.jsonl")
    assert check("Panadol", "Zyrtec").severity == "none"
    result = check("Zyrtec", "Panadol", tables=[table])
    assert result.severity == "major"
    assert result.rules[0].source == "pairs.csv"


@pytest.mark.parametrize(
    ("name", "text", "beside", "expected"),
    [
        ("statements.csv", STATEMENTS, ("classes.csv", CLASSES), {"zyrtec": "contraindicated", "claratyne": "contraindicated"}),
        ("ddinter.csv", DDINTER, None, {"zyrtec": "major", "claratyne": "moderate"}),
        ("crescenddi.csv", CRESCENDDI, None, {"zyrtec": "major"}),
        ("thesaurus.json", json.dumps(FRENCH), ("substances.json", json.dumps(FRENCH_CLASSES)), {"zyrtec": "contraindicated"}),
    ],
)
def test_each_layout_is_read(tmp_path: Path, name: str, text: str, beside: tuple[str, str] | None, expected: dict[str, str]) -> None:
    if beside:
        _write(tmp_path, *beside)
    import_table(_write(tmp_path, name, text), tmp_path / "out.jsonl", licence="made up")
    table = load_table(tmp_path / "out.jsonl")
    assert {other: check("Panadol", other, tables=[table]).severity for other in expected} == expected


def test_built_in_rules_still_count_beside_a_table(tmp_path: Path) -> None:
    path = _write(tmp_path, "pairs.csv", "drug_a,drug_b,level\nwarfarin,ibuprofen,take_into_account\n")
    import_table(path, tmp_path / "own.jsonl", licence="made up")
    assert check("warfarin", "ibuprofen", tables=[load_table(tmp_path / "own.jsonl")]).severity == "major"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,grade\nx,y\n", "no layout"),
        ("drug_a,drug_b,level\nfoo,bar,major\n", "no pair"),
        ("[not json", "no JSON"),
        (STATEMENTS, "class and drug"),
    ],
)
def test_tables_that_cannot_be_used_say_why(tmp_path: Path, text: str, message: str) -> None:
    path = _write(tmp_path, "table.csv", text)
    with pytest.raises(KnowledgeError, match=message):
        import_table(path, tmp_path / "out.jsonl", licence="made up")


def test_a_table_without_a_licence_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path, "pairs.csv", PAIRS)
    with pytest.raises(KnowledgeError, match="licence"):
        import_table(path, tmp_path / "out.jsonl", licence=" ")


def test_a_damaged_table_names_its_line(tmp_path: Path) -> None:
    good = json.dumps({"a": "x", "b": "y", "severity": "major", "mechanism": "", "place": "1", "source": "s"})
    path = _write(tmp_path, "own.jsonl", f'{good}\n{{"a": "x"}}\n')
    with pytest.raises(KnowledgeError, match="line 2"):
        load_table(path)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=300))
def test_any_text_is_read_or_refused_with_an_error_that_a_user_can_mend(tmp_path: Path, text: str) -> None:
    for header in ("", "drug_a,drug_b,level\n", "["):
        path = tmp_path / "table.csv"
        path.write_bytes((header + text).encode("utf-8", "surrogatepass"))
        with pytest.raises(KnowledgeError):
            import_table(path, tmp_path / "out.jsonl", licence="made up")


def test_the_negative_controls_of_crescenddi_are_no_interactions(tmp_path: Path) -> None:
    path = _write(
        tmp_path, "negative.csv", "DRUG_1_CONCEPT_NAME,DRUG_2_CONCEPT_NAME,EVENT_CONCEPT_NAME\nAcetaminophen,Cetirizine,Made up\n"
    )
    with pytest.raises(KnowledgeError, match="which no layout has"):
        import_table(path, tmp_path / "own.jsonl", licence="CC0")
