"""Reports of invented people in every format that is read as text or tables."""

from __future__ import annotations

import base64
import io

RTF = r"{\rtf1\ansi{\fonttbl{\f0 Arial;}}\f0 Potassium  6.3 H mmol/L (3.5-5.2)\par \b Comment\b0 : slightly haemolysed, Andr\'e9\par}"
MSH = r"MSH|^~\&|LAB^1.2^ISO|Invented Pathology^1234^AUSNATA|BEDSIDE|Clinic|20260312093000+1000||ORU^R01^ORU_R01|MSG1|P|2.4^AUS|||AL|NE|AUS|8859/1"
PID = "PID|1||123456^^^INV^MR~2950341791^^^AUSHIC^MC~8003608166690503^^^AUSHIC^NI||CITIZEN^Jan^A||19620403|F"


def escaped(text: str) -> str:
    """A text as an HL7 field."""
    for sign, name in (("\\", "E"), ("|", "F"), ("^", "S"), ("&", "T"), ("~", "R")):
        text = text.replace(sign, f"\\{name}\\")
    return text


def obr(
    number: str = "26-1",
    name: str = "24320-4^Basic metabolic panel^LN",
    *,
    time: str = "202603120805+1000",
    section: str = "CH",
    status: str = "F",
) -> str:
    """An OBR."""
    fields = ["OBR", "1", "", f"{number}^Invented^1234^AUSNATA", name, "", "", time, *[""] * 14, "20260312091500+1000", "", section, status]
    return "|".join(fields)


def hl7(*segments: str, encoding: str = "cp1252") -> bytes:
    """A message."""
    return ("\r".join((MSH, PID, *segments)) + "\r").encode(encoding)


HL7 = hl7(
    obr(),
    "NTE|1|L|Specimen slightly haemolysed",
    "OBX|1|NM|2823-3^Potassium^LN^K^K^L||6.3|mmol/L^^UCUM|3.5-5.2|H|||F",
    "NTE|1|L|haemolysis ++",
    "OBX|2|SN|62238-1^eGFR^LN||>^90|mL/min/1.73m2|>59||||F",
    r"OBX|3|FT|X^Comment^L||Line one\.br\Line two \T\ more||||||F",
    "OBX|4|CWE|Y^Culture^L||260415000^Not detected^SCT||||||F",
    "ZDS|1|something of this laboratory",
)
FHIR = b"""{"resourceType": "Bundle", "type": "collection", "entry": [
 {"fullUrl": "urn:uuid:1", "resource": {"resourceType": "Patient", "id": "p1", "name": [{"family": "Citizen", "given": ["Jan"]}],
   "birthDate": "1962-04-03", "gender": "female",
   "identifier": [{"system": "http://ns.electronichealth.net.au/id/medicare-number", "value": "2950341791"}]}},
 {"fullUrl": "urn:uuid:2", "resource": {"resourceType": "DiagnosticReport", "id": "r1", "status": "final", "code": {"text": "Chemistry"},
   "subject": {"reference": "urn:uuid:1"}, "effectiveDateTime": "2026-03-12T08:05:00+10:00", "issued": "2026-03-12T09:30:00+10:00",
   "result": [{"reference": "Observation/o1"}, {"reference": "#c1"}, {"reference": "Observation/nowhere", "display": "Sodium"}],
   "conclusion": "Haemolysed. Please repeat.",
   "contained": [{"resourceType": "Observation", "id": "c1", "status": "final", "code": {"coding": [{"system": "http://loinc.org", "code": "85354-9"}]},
     "component": [{"code": {"coding": [{"system": "http://loinc.org", "code": "8480-6", "display": "Systolic"}]},
       "valueQuantity": {"value": 158, "unit": "mmHg", "code": "mm[Hg]"}},
      {"code": {"coding": [{"system": "http://loinc.org", "code": "8462-4", "display": "Diastolic"}]},
       "dataAbsentReason": {"text": "Not Performed"}}]}]}},
 {"resource": {"resourceType": "Observation", "id": "o1", "status": "final", "code": {"coding": [{"system": "http://snomed.info/sct", "code": "1"},
     {"system": "http://loinc.org", "code": "2823-3", "display": "Potassium"}]}, "subject": {"reference": "Patient/p1"},
   "valueQuantity": {"value": 6.30, "comparator": ">=", "unit": "mmol/L", "code": "mmol/L"}, "interpretation": [{"coding": [{"code": "H"}]}],
   "referenceRange": [{"low": {"value": 3.5}, "high": {"value": 5.2}}], "note": [{"text": "haemolysis ++"}]}},
 {"resource": {"resourceType": "Observation", "id": "o2", "status": "final", "code": {"text": "Lead I"}, "subject": {"reference": "Patient/p1"},
   "valueSampledData": {"origin": {"value": 0, "unit": "mV"}, "period": 2, "factor": 0.01, "dimensions": 1, "data": "10 20 E -5"}}}]}"""
_GDT_FIELDS = (
    ("8000", "6310"), ("8100", "00500"), ("9206", "3"), ("9218", "02.10"), ("3000", "123456"), ("3101", "M\xfcster"), ("3102", "Jan"),
    ("3103", "03041962"), ("3110", "2"), ("8402", "BDM01"), ("6200", "12032026"), ("6201", "080500"), ("8410", "SYS"), ("8411", "Systolic"),
    ("8420", "158"), ("8421", "mmHg"), ("8461", "90"), ("8462", "140"), ("8422", "H"), ("8410", "K"), ("8411", "Kalium"), ("8420", "6,3"),
    ("8421", "mmol/l"), ("8460", "3,5-5,2"), ("8470", "h\xe4molytisch"), ("6228", "Line one"), ("6228", "Line two"), ("6330", "Cuff"), ("6331", "large"),
)  # fmt: skip


def gdt(*fields: tuple[str, str], encoding: str = "cp1252") -> bytes:
    """A GDT set with right lengths."""
    lines = [(field + content).encode(encoding) for field, content in fields]
    return b"".join(b"%03d%s\r\n" % (len(line) + 5, line) for line in lines)


GDT = gdt(*_GDT_FIELDS)
TEXT = b"""PATHOLOGY REPORT
Name: CITIZEN, Jan
DOB: 03/04/1962
Sex: F
UR: 123456
Collected: 12/03/2026 08:05
Analyser: Invented 5000

Potassium      6.3 H  mmol/L   (3.5-5.2)
Sodium   138 mmol/L 135 - 145
Creatinine: 110 umol/L [45-90] H
Odd factor   12.5 U/mL  (10-20)
INR 2.4
Hb 105, MCV 72
BP 158/96 mmHg
Platelets <20 x10^9/L
ECG: sinus rhythm, HR 44 /min; QTc 492 ms, prolonged QT interval
COMMENT: Specimen haemolysed. Please repeat
if clinically indicated. Seen on 12/03/2026 with 20 tablets.
Takes potassium 600 mg daily.
"""
LIBRE = b"""Glucose Data,Generated on,12-04-2026 05:25 PM UTC,Generated by,Jan Citizen
Device,Serial Number,Device Timestamp,Record Type,Historic Glucose mmol/L,Scan Glucose mmol/L,Strip Glucose mmol/L,Notes
FreeStyle Libre 2,INV123,20-03-2026 05:38 PM,0,7.1,,,
FreeStyle Libre 2,INV123,20-03-2026 05:53 PM,0,LO,,,
FreeStyle Libre 2,INV123,20-03-2026 05:55 PM,1,,6.6,,
FreeStyle Libre 2,INV123,20-03-2026 06:08 PM,0,6.2,,,
FreeStyle Libre 2,INV123,20-03-2026 06:08 PM,0,6.2,,,
FreeStyle Libre 2,INV123,20-03-2026 06:09 PM,5,,,,lunch
"""
ABPM = b"""Patient Name,CITIZEN Jan
Device,Invented ABPM 1
Date,Time,SYS (mmHg),DIA (mmHg),MAP,Pulse [bpm],Awake/Asleep,Error
22/03/2026,08:00,145,92,110,72,Awake,
22/03/2026,08:30,,,,,Awake,EE
22/03/2026,23:30,120,70,87,60,Asleep,
"""
SPIROMETRY = b"""Parameter,Unit,Pre,Pred,%Pred,LLN,z-score,Post,% Change,Grade
FEV1,L,2.10,3.00,70,2.40,-2.1,2.50,19,A
FVC,L,3.50,3.90,90,3.10,-0.8,3.60,3,A
FEV1/FVC,,0.60,0.78,77,0.68,-2.5,0.69,,
"""
LABORATORY = b"""Test,Result,Units,Reference Range,Flag,LOINC,Collected,Comment
Potassium,6.3,mmol/L,3.5-5.2,H,2823-3,22/03/2026 08:05,haemolysed
eGFR,>90,mL/min/1.73m2,>59,,,22/03/2026 08:05,
Culture,No growth,,,,,22/03/2026,
Platelets,"1,234",x10^9/L,150-400,H,,22/03/2026,
"""
LOG = b"""2026-03-12T08:05:00+10:00 ECG-12 INFO patient=123456 HR=44/min QTc=492ms stmt="PROLONGED QT"
2026-03-12T08:05:01+10:00 ECG-12 INFO boot complete
2026-03-12T08:05:02+10:00 ECG-12 WARN lead V2 off
2026-03-12T08:06:00+10:00 POC-1 INFO K=6.3 H GLUCOSE=212 mg/dL MSG="High glucose" BP=158/96
"""
JSON_LOG = b"""{"ts": "2026-03-12T08:05:00Z", "device": "POC-1", "test": "Glucose", "value": 11.40, "unit": "mmol/L", "flag": "H", "range": "3.0-7.8"}
{"ts": "2026-03-12T08:07:00Z", "device": "OXI-1", "spo2_pct": 89, "hr": 104, "alarm": "LOW SPO2"}
"""


def pdf(*lines: str) -> bytes:
    """A PDF of one page with a text layer."""
    shown = " T* ".join(
        f"({line.replace(chr(92), chr(92) * 2).replace('(', chr(92) + '(').replace(')', chr(92) + ')')}) Tj" for line in lines
    )
    stream = f"BT /F1 11 Tf 14 TL 50 780 Td {shown} ET".encode("cp1252")
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
    ]
    out = io.BytesIO(b"%PDF-1.4\n")
    out.seek(0, io.SEEK_END)
    places = []
    for number, content in enumerate(objects, 1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, content))
    start = out.tell()
    out.write(b"xref\n0 6\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places))
    out.write(b"trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % start)
    return out.getvalue()


PDF = pdf("SPIROMETRY REPORT", "Name: Jan Citizen", "FEV1  2.10 L", "FEV1/FVC  0.68", "QUALITY:", "Grade D, short exhalation")


def workbook(rows: list[list[object]]) -> bytes:
    """An XLSX file of one sheet."""
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in rows:
        sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


DEXCOM = workbook(
    [
        [
            "Index",
            "Timestamp (YYYY-MM-DDThh:mm:ss)",
            "Event Type",
            "Event Subtype",
            "Patient Info",
            "Device Info",
            "Glucose Value (mmol/L)",
        ],
        [1, None, "FirstName", None, "Jan", None, None],
        [2, None, "LastName", None, "Citizen", None, None],
        [3, None, "DateOfBirth", None, "1962-04-03", None, None],
        [4, None, "Device", None, None, "Invented G6", None],
        [5, None, "Alert", "High", None, None, 11.1],
        [6, "2026-03-08T00:04:00", "EGV", None, None, None, 6.4],
        [7, "2026-03-08T00:09:00", "EGV", None, None, None, "Low"],
        [8, "2026-03-08T00:14:00", "EGV", None, None, None, 6.9],
    ]
)
PDF_DISPLAY = f"OBX|9|ED|PDF^Display format in PDF^AUSPDI||^application^pdf^Base64^{base64.b64encode(PDF).decode()}||||||F"
ALL = {
    "hl7": HL7,
    "fhir": FHIR,
    "gdt": GDT,
    "text": TEXT,
    "libre": LIBRE,
    "abpm": ABPM,
    "spirometry": SPIROMETRY,
    "laboratory": LABORATORY,
    "log": LOG,
    "json_log": JSON_LOG,
    "pdf": PDF,
    "dexcom": DEXCOM,
}
