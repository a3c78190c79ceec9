"""The connection forms that Airflow draws from the hooks' Python methods (2.11 and 3.1; later ones read provider_info)."""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_provider_smscancel.hooks.base import SmsGatewayHook
from airflow_provider_smscancel.hooks.clickatell import ClickatellHook
from airflow_provider_smscancel.hooks.esendex import EsendexHook

both = pytest.mark.parametrize("hook_class", [ClickatellHook, EsendexHook])


@dataclass
class Drawn:
    """What a form library was asked to draw."""

    kind: str
    arguments: tuple[Any, ...]
    options: dict[str, Any] = field(default_factory=dict)


def drawer(kind: str) -> Any:
    return lambda *arguments, **options: Drawn(kind, arguments, options)


@pytest.fixture
def form_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins: current versions of Airflow do not bring them, and what matters is what they are asked for."""
    names = {
        "flask_appbuilder": (),
        "flask_appbuilder.fieldwidgets": ("BS3TextFieldWidget", "Select2Widget"),
        "flask_babel": (),
        "wtforms": ("DecimalField", "IntegerField", "SelectField", "StringField"),
        "wtforms.validators": ("NumberRange", "Optional"),
    }
    for module_name, members in names.items():
        module = types.ModuleType(module_name)
        for member in members:
            setattr(module, member, drawer(member))
        monkeypatch.setitem(sys.modules, module_name, module)
    sys.modules["flask_babel"].lazy_gettext = str  # type: ignore[attr-defined]


@both
@pytest.mark.usefixtures("form_libraries")
def test_a_form_has_a_widget_for_each_extra_field(hook_class: type[SmsGatewayHook]) -> None:
    widgets = hook_class.get_connection_form_widgets()
    fields = {each.name: each for each in hook_class.connection_kind().extra_fields}
    assert list(widgets) == list(fields)
    expected = {
        "choice": "SelectField",
        "text": "StringField",
        "number": "DecimalField",
        "integer": "IntegerField",
    }
    for name, drawn in widgets.items():
        assert drawn.kind == expected[fields[name].kind]
        assert drawn.arguments == (fields[name].label,)
        assert drawn.options["description"] == fields[name].help


@pytest.mark.usefixtures("form_libraries")
def test_numbers_may_be_blank_and_are_bounded_as_the_check_is() -> None:
    for name, drawn in ClickatellHook.get_connection_form_widgets().items():
        described = next(each for each in ClickatellHook.connection_kind().extra_fields if each.name == name)
        if described.kind in ("number", "integer"):
            optional, bounds = drawn.options["validators"]
            assert optional.kind == "Optional"
            assert bounds.options == {"min": described.minimum, "max": described.maximum}


@both
def test_the_form_hides_and_names_the_standard_fields(hook_class: type[SmsGatewayHook]) -> None:
    behaviour = hook_class.get_ui_field_behaviour()
    assert set(behaviour) == {"hidden_fields", "relabeling", "placeholders"}
    assert "port" not in behaviour["hidden_fields"]
    assert "extra" not in behaviour["hidden_fields"]
    assert "password" in behaviour["relabeling"]
    assert not set(behaviour["placeholders"]) & set(behaviour["hidden_fields"])
