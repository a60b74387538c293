"""A gateway's settings: all faults at once with their lines, paths from the file's folder, the examples hold."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bedside.errors import BedsideError
from bedside.server.settings import GatewaySettings, SettingsError, load_settings, local_settings, settings_schema, write_example

ROOT = Path(__file__).resolve().parents[2]
ENGINE = "engines: [{name: a, release: made/release}]\n"


def load(folder: Path, text: str) -> GatewaySettings:
    path = folder / "gateway.yaml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path)


def test_one_engine_is_enough_and_paths_start_at_the_files_folder(tmp_path: Path) -> None:
    loaded = load(tmp_path, ENGINE + "practice: ../p.yaml\nlisten: {tls: {certificate: c.pem, key: /abs/k.pem}}\n")
    assert loaded.engines[0].release == tmp_path / "made/release" and loaded.engines[0].serves_model == "a"
    assert loaded.state == tmp_path / "gateway-state" and loaded.practice == tmp_path / "../p.yaml"
    assert loaded.listen.tls and loaded.listen.tls.key == Path("/abs/k.pem")
    assert loaded.security.require_keys and loaded.listen.is_local and loaded.database_url.endswith("gateway.sqlite")


def test_all_faults_come_at_once_with_their_lines(tmp_path: Path) -> None:
    text = "listen:\n  prt: 3\n  port: 99999\nengines:\n  - name: a b\n    kind: openai\n  - {name: b}\nsecurity: {require_key: true}\n"
    with pytest.raises(SettingsError) as error:
        load(tmp_path, text)
    for said in ("line 2: listen.prt: unknown key; did you mean 'port'?", "line 3: listen.port", "line 5: engines.0.name", "line 7: engines.1",
                 "line 8: security.require_key: unknown key; did you mean 'require_keys'?"):  # fmt: skip
        assert said in str(error.value)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("listen: {host: 192.0.2.1}", "needs `tls`"),
        ("listen: {host: 192.0.2.1, proxies: [192.0.2.2]}\nsecurity: {require_keys: false}", "keys have to be asked"),
        ("practice: p.yaml\nprotocol: q.yaml", "names its own protocol"),
        ("integrity: {check_hours: 0}", "greater than 0"),
        ("limits: {max_body_bytes: 5}", "greater than or equal to 1024"),
        ("listen: {hosts: ['http://x']}", "no host name"),
    ],
)
def test_what_does_not_fit_together_is_refused(tmp_path: Path, more: str, said: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)):
        load(tmp_path, ENGINE + more)


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("{name: a}", "needs `release`"),
        ("{name: a, kind: openai, model: b}", "needs `url` and `model`"),
        ("{name: a, release: r, url: http://x}", "did you mean kind: openai"),
        ("{name: a, release: r, parallel: 0}", "greater than or equal to 1"),
        ("{name: a, release: r}, {name: a, release: s}", "'a' stands twice"),
    ],
)
def test_an_engine_has_to_fit_its_kind(tmp_path: Path, engine: str, said: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)):
        load(tmp_path, f"engines: [{engine}]")


def test_engines_of_one_model_may_stand_in_for_each_other(tmp_path: Path) -> None:
    loaded = load(
        tmp_path, "engines: [{name: a, serves: m, release: r}, {name: b, serves: m, kind: openai, url: http://127.0.0.1:1, model: m}]"
    )
    assert [engine.serves_model for engine in loaded.engines] == ["m", "m"] and loaded.releases == {"a": tmp_path / "r"}


def test_the_example_of_the_documentation_and_the_file_to_start_from_hold(tmp_path: Path) -> None:
    assert {engine.kind for engine in load_settings(ROOT / "docs/gateway.yaml").engines} == {"embedded", "openai"}
    path = tmp_path / "sub" / "gateway.yaml"
    write_example(path, tmp_path / "runs/x: y/release", tmp_path / "practice.yaml")
    loaded = load_settings(path)
    assert loaded.engines[0].release and loaded.engines[0].release.resolve() == tmp_path / "runs/x: y/release"
    assert loaded.practice and loaded.practice.resolve() == tmp_path / "practice.yaml"
    with pytest.raises(SettingsError, match="there already"):
        write_example(path, tmp_path, None)
    write_example(tmp_path / "other.yaml", tmp_path, None)
    assert load_settings(tmp_path / "other.yaml").practice is None


def test_the_schema_explains_every_key() -> None:
    schema = settings_schema()
    parts = [schema, *schema["$defs"].values()]
    assert all(part["description"] for part in parts)
    assert all("description" in field or "$ref" in field for part in parts for field in part["properties"].values())
    json.dumps(schema)


def test_a_folder_or_port_that_cannot_be_served_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="99999"):
        local_settings(tmp_path, name="a", host="127.0.0.1", port=99999)
    with pytest.raises(SettingsError, match="name 'a b'"):
        local_settings(tmp_path, name="a b", host="127.0.0.1", port=0)


_KEYS = st.sampled_from(["listen", "engines", "state", "scope", "security", "limits", "name", "kind", "release", "url", "port", "tls", "x"])
_YAML = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=6,
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=_YAML | st.dictionaries(_KEYS, _YAML).map(lambda data: {"engines": [{"name": "a", "release": "r"}], **data}))
def test_no_file_makes_anything_but_settings_or_an_error_that_can_be_mended(tmp_path: Path, value: object) -> None:
    try:
        assert load(tmp_path, yaml.safe_dump(value)).engines
    except BedsideError as error:
        assert error.next_step
