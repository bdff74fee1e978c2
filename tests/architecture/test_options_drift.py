"""An option is spelled in two places, the TypedDict and the model: they say the same."""

from __future__ import annotations

import typing

from triggerkit.core.options import MappingOptions
from triggerkit.triggers import Options

WIDER = {"filters", "starting_position_timestamp"}
"""What a decorator takes in more forms than the model keeps."""


def parts_of(hint: object) -> set[object]:
    """The members of a union or the values of a Literal, without what pydantic adds to them."""
    if typing.get_origin(hint) is typing.Annotated:
        return parts_of(typing.get_args(hint)[0])
    if typing.get_args(hint) and typing.get_origin(hint) is not tuple:
        return {part for member in typing.get_args(hint) for part in parts_of(member)}
    return {hint}


def test_both_places_spell_the_same_options_in_the_same_order() -> None:
    assert list(Options.__annotations__) == list(MappingOptions.model_fields)


def test_both_places_give_an_option_the_same_type() -> None:
    declared = typing.get_type_hints(Options)
    kept = typing.get_type_hints(MappingOptions, include_extras=True)
    for name in Options.__annotations__:
        if name not in WIDER:
            assert parts_of(declared[name]) == parts_of(kept[name]), name


def test_every_option_says_its_unit_and_range() -> None:
    for name, field in MappingOptions.model_fields.items():
        assert field.description, name


def test_every_default_passes_its_own_check() -> None:
    defaults = {name: field.default for name, field in MappingOptions.model_fields.items()}
    assert MappingOptions.model_validate(defaults) == MappingOptions()
