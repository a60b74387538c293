"""Short words of other languages are no abbreviations of ours: "sì" is yes, and no suicidal ideation."""

from __future__ import annotations

import pytest

from bedside.safety.triage import triage

EVERYDAY = [
    "Sì, yes.",
    "Sí, gracias, mañana por la mañana",
    "si si va bene",
    "Oo, sa umaga po",
    "Pwede po ba sa Lunes, sa hapon?",
    "Opo, salamat",
    "haan ji, theek hai",
    "nahi, shukriya",
    "vâng, cảm ơn",
    "dạ đúng rồi",
    "ne, efharisto",
    "ochi, ola kala",
    "aiwa, shukran",
    "la, shukran",
    "inshallah tomorrow",
    "hao de, xie xie",
    "shi de, mingtian",
    "bu shi",
    "m goi, dou dak",
    "ye, gomapseumnida",
    "baleh, mersi",
    "da, spasibo",
    "tak, dziękuję, od jutra",
    "ja, danke, um neun",
    "oui, merci, le matin",
    "je m'appelle Marie",
    "hvala, dobro",
    "evet, teşekkürler",
    "ioe, fa'afetai",
    "kia ora, ka pai",
    "ae, mahalo",
    "buongiorno, vorrei un appuntamento",
    "quiero una cita con el doctor",
    "muốn đặt lịch hẹn",
    "mujhe appointment chahiye",
    "kal subah theek rahega",
    "gusto ko po magpa-appointment",
    "wo xiang yuyue kan yisheng",
    "thelo na kliso ena rantevou",
    "biddi maw3id maa el doctor",
]


@pytest.mark.parametrize("said", EVERYDAY)
def test_everyday_words_of_other_languages_are_no_emergency(said: str) -> None:
    assert triage(said).disposition == "ROUTINE"


@pytest.mark.parametrize(
    "said",
    [
        "pt has SI with a plan",
        "voicing SI again tonight",
        "she's OD'd",
        "i think he had an OD",
        "possible OD, 19F, panadol",
        "my brother od'd on the couch",
        "she's taken an OD",
    ],
)
def test_the_abbreviations_still_count_where_they_are_meant(said: str) -> None:
    assert triage(said).disposition in ("E000", "E_CRISIS")
