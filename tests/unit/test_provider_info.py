"""What Airflow reads about this provider, at every start."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support.versions import since

import airflow_provider_smscancel
from airflow_provider_smscancel.provider_info import CONNECTION_TYPES

INFO = airflow_provider_smscancel.get_provider_info()
TYPES = {entry["connection-type"]: entry for entry in INFO["connection-types"]}
ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("requests", "aiohttp", "xmltodict", "airflow", "urllib3")


def airflows_schema(name: str) -> dict[str, Any]:
    spec = find_spec("airflow")  # finds without importing
    assert spec is not None
    assert spec.submodule_search_locations
    found = json.loads((Path(next(iter(spec.submodule_search_locations))) / name).read_text())
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    "code",
    [
        "import airflow_provider_smscancel",
        "import airflow_provider_smscancel as p; p.get_provider_info()",
        "import airflow_provider_smscancel.provider_info",
        "import airflow_provider_smscancel.transport.settings",
        "import airflow_provider_smscancel.exceptions",
    ],
)
def test_what_airflow_imports_at_every_start_imports_nothing_heavy(code: str) -> None:
    check = f"import sys; {code}; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", check], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == []


def test_airflows_runtime_schema_accepts_the_description() -> None:
    jsonschema.Draft7Validator(airflows_schema("provider_info.schema.json")).validate(INFO)


@since("3.2", "schema of conn-fields")
def test_airflows_strict_schema_accepts_the_connection_forms() -> None:
    schema = airflows_schema("provider.yaml.schema.json")
    strict = schema["properties"]["connection-types"]
    jsonschema.Draft7Validator(strict).validate(INFO["connection-types"])


@pytest.mark.parametrize("part", ["integrations", "hooks", "operators", "triggers", "config"])
def test_airflows_strict_schema_accepts_the_rest(part: str) -> None:
    strict = airflows_schema("provider.yaml.schema.json")
    described = {**strict, "properties": {part: strict["properties"][part]}, "required": []}
    jsonschema.Draft7Validator(described).validate({part: INFO[part]})


def test_every_integration_links_to_the_vendors_page_and_to_pages_of_ours() -> None:
    integrations = {each["integration-name"]: each for each in INFO["integrations"]}
    assert set(integrations) == {kind.label for kind in CONNECTION_TYPES.values()}
    for each in integrations.values():
        assert each["external-doc-url"].startswith("https://")
        assert [
            guide for guide in each["how-to-guide"] if not (ROOT / guide.removeprefix("/")).is_file()
        ] == []
    for part in ("hooks", "operators", "triggers"):
        assert {each["integration-name"] for each in INFO[part]} == set(integrations)


def test_a_wrong_description_would_not_be_accepted() -> None:
    validator = jsonschema.Draft7Validator(airflows_schema("provider_info.schema.json"))
    assert not validator.is_valid({**INFO, "connection-types": [{"hook-name": "x"}]})


def test_the_description_is_plain_json() -> None:
    assert json.loads(json.dumps(INFO)) == INFO


def test_the_names_of_the_distribution_and_its_version_agree_everywhere() -> None:
    assert INFO["package-name"] == "airflow-provider-smscancel"
    assert INFO["versions"] == [airflow_provider_smscancel.__version__]
    (entry,) = (
        entry
        for entry in distribution(INFO["package-name"]).entry_points
        if entry.group == "apache_airflow_provider"
    )
    assert entry.load()() == INFO


@pytest.mark.parametrize(
    ("name", "label", "hook_class", "default_base_url"),
    [
        ("clickatell", "Clickatell", "clickatell.ClickatellHook", "https://api.clickatell.com"),
        ("esendex", "Esendex US", "esendex.EsendexHook", "https://messaging.esendex.us"),
    ],
)
def test_a_connection_type_is_described_with_its_hook(
    name: str, label: str, hook_class: str, default_base_url: str
) -> None:
    assert TYPES[name]["hook-name"] == label
    assert TYPES[name]["hook-class-name"] == f"airflow_provider_smscancel.hooks.{hook_class}"
    assert CONNECTION_TYPES[name].default_conn_id == f"{name}_default"
    assert CONNECTION_TYPES[name].default_base_url == default_base_url


def test_every_module_that_is_named_is_there() -> None:
    named = [
        module
        for part in ("hooks", "operators", "triggers")
        for entry in INFO[part]
        for module in entry["python-modules"]
    ]
    named += [entry["hook-class-name"].rpartition(".")[0] for entry in TYPES.values()]
    named += [path.rpartition(".")[0] for path in INFO["notifications"]]
    for module in named:
        path = Path(airflow_provider_smscancel.__file__).parents[1] / (module.replace(".", "/") + ".py")
        assert path.is_file(), module


PACE = {
    "requests_per_second": ("number", 0.1, 10_000),
    "max_concurrency": ("integer", 1, 1000),
    "timeout": ("number", 0.1, 300),
}


@pytest.mark.parametrize(
    ("name", "choices", "texts", "defaults"),
    [
        (
            "clickatell",
            {"api": ["rest", "http"], "response_format": ["json", "xml"]},
            {"api_id"},
            {
                "api": "rest",
                "response_format": "json",
                "requests_per_second": 100,
                "max_concurrency": 32,
                "timeout": 10,
            },
        ),
        (
            "esendex",
            {"request_format": ["json", "xml", "get", "soap"]},
            set(),
            {"request_format": "json", "requests_per_second": 25, "max_concurrency": 16, "timeout": 10},
        ),
    ],
)
def test_the_form_has_exactly_the_documented_fields_with_their_defaults_and_ranges(
    name: str, choices: dict[str, list[str]], texts: set[str], defaults: dict[str, object]
) -> None:
    fields = TYPES[name]["conn-fields"]
    assert set(fields) == set(choices) | texts | set(PACE)
    schemas = {key: entry["schema"] for key, entry in fields.items()}
    assert {key: schema["default"] for key, schema in schemas.items() if "default" in schema} == defaults
    assert {key: schema["enum"] for key, schema in schemas.items() if "enum" in schema} == choices
    for key, (kind, least, most) in PACE.items():
        assert schemas[key]["type"] == [kind, "null"]
        assert (schemas[key]["minimum"], schemas[key]["maximum"]) == (least, most)


@pytest.mark.parametrize("name", TYPES)
def test_every_field_of_the_form_has_a_label_and_help_and_may_be_left_blank(name: str) -> None:
    for entry in TYPES[name]["conn-fields"].values():
        assert entry["label"]
        assert entry["description"].endswith(".")
        assert "null" in entry["schema"]["type"]


@pytest.mark.parametrize("name", TYPES)
def test_the_form_keeps_host_port_and_password_visible(name: str) -> None:
    assert not {"host", "port", "password"} & {*TYPES[name]["ui-field-behaviour"]["hidden-fields"]}


@pytest.mark.parametrize("name", TYPES)
def test_no_secret_lives_outside_the_password(name: str) -> None:
    # Extra fields are shown by Airflow as they are, unless their names say that they are secret.
    secret_words = ("password", "secret", "token", "key", "authorization")
    assert not [field for field in TYPES[name]["conn-fields"] if any(word in field for word in secret_words)]


def test_the_report_folder_can_be_configured() -> None:
    option = INFO["config"]["smscancel"]["options"]["report_folder"]
    assert option["default"] == ""
    assert option["type"] == "string"
