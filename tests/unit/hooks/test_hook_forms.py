"""The connection forms that Airflow draws from the hooks' Python methods (2.11 and 3.1; later ones read provider_info)."""

from __future__ import annotations

import re
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
        "flask_appbuilder.fieldwidgets": ("BS3TextFieldWidget",),
        "flask_babel": (),
        "wtforms": ("IntegerField", "StringField"),
        "wtforms.validators": ("NumberRange", "Optional", "Regexp", "any_of"),
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
    # Airflow leaves out a hook that has a field of any other class than these and two more.
    for name, drawn in widgets.items():
        assert drawn.kind == ("IntegerField" if fields[name].kind == "integer" else "StringField")
        assert drawn.arguments == (fields[name].label,)
        assert drawn.options["description"] == fields[name].help


@pytest.mark.usefixtures("form_libraries")
def test_numbers_may_be_blank_and_are_bounded_as_the_check_is() -> None:
    for name, drawn in ClickatellHook.get_connection_form_widgets().items():
        described = next(each for each in ClickatellHook.connection_kind().extra_fields if each.name == name)
        optional, *checks = drawn.options["validators"]
        assert optional.kind == "Optional"
        if described.kind == "integer":
            assert [each.options for each in checks] == [{"min": described.minimum, "max": described.maximum}]


@pytest.mark.usefixtures("form_libraries")
def test_a_choice_is_one_of_those_that_there_are_and_a_number_is_one() -> None:
    drawn = ClickatellHook.get_connection_form_widgets()
    assert drawn["api"].options["default"] == "rest"
    (choices,) = drawn["api"].options["validators"][1:]
    assert (choices.kind, choices.arguments) == ("any_of", (["rest", "http"],))
    (number,) = drawn["requests_per_second"].options["validators"][1:]
    assert number.kind == "Regexp"
    good = [text for text in ("0.1", "100", "1e5", "-1", "many", "") if re.search(number.arguments[0], text)]
    assert good == ["0.1", "100"]


@both
def test_a_hook_describes_its_form_itself_since_airflow_looks_in_no_class_above_it(
    hook_class: type[SmsGatewayHook],
) -> None:
    assert {"get_connection_form_widgets", "get_ui_field_behaviour"} <= set(vars(hook_class))


@both
def test_the_form_hides_and_names_the_standard_fields(hook_class: type[SmsGatewayHook]) -> None:
    behaviour = hook_class.get_ui_field_behaviour()
    assert set(behaviour) == {"hidden_fields", "relabeling", "placeholders"}
    assert "port" not in behaviour["hidden_fields"]
    assert "extra" not in behaviour["hidden_fields"]
    assert "password" in behaviour["relabeling"]
    assert not set(behaviour["placeholders"]) & set(behaviour["hidden_fields"])
