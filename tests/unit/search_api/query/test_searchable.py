"""An entity is served to those whom its file names, and to nobody by accident."""

from dataclasses import replace

import pytest

from search_api.caller import EveryTenant, OneTenant
from search_api.query.searchable import NotServed, Searchable
from searchsync.catalog import entity
from searchsync.mapping.searching import Search
from tests.search_requests import LOCATIONS, MEMBERS

NAMES = Search(names=("name",))


def test_an_entity_whose_file_does_not_say_it_is_not_served() -> None:
    with pytest.raises(NotServed, match="members has no block 'search'"):
        Searchable.of(replace(entity("members"), search=None))
    with pytest.raises(NotServed, match=r"names no tenant, and does not say search\.shared: true"):
        Searchable.of(replace(entity("members"), tenant=None, search=NAMES))


def test_a_tenant_sees_its_own_and_an_administrator_everything() -> None:
    assert MEMBERS.filters(OneTenant("acme"))[1:] == [{"term": {"tenant_id": {"value": "acme"}}}]
    assert MEMBERS.filters(EveryTenant()) == [MEMBERS.visible]


def test_the_heartbeat_is_shown_to_nobody() -> None:
    """It is in the index for seconds, and an administrator, or everybody of a shared entity, would count it."""
    hidden = {"term": {"member_id": {"value": "searchsync-heartbeat"}}}
    described = entity("members")
    assert MEMBERS.visible == {"bool": {"must_not": [*described.visible["bool"]["must_not"], hidden]}}
    assert Searchable.of(replace(described, heartbeat=None)).visible == described.visible
    assert LOCATIONS.filters(OneTenant("acme")) == [entity("locations").visible]


def test_another_file_is_another_version() -> None:
    """Kept answers that were made by the one are not shown by the other: it may say that fewer people see them."""
    shared = Searchable.of(entity("locations"))
    assert shared.version == Searchable.of(entity("locations")).version
    for change in ({"tenant": "timezone"}, {"search": Search(names=("name",), shared=True)}):
        assert Searchable.of(replace(entity("locations"), **change)).version != shared.version, change


def test_what_may_be_asked_comes_from_the_file_and_the_mapping() -> None:
    assert (MEMBERS.near, MEMBERS.key, MEMBERS.tenant) == (None, ("member_id",), "tenant_id")
    assert (LOCATIONS.near, LOCATIONS.key) == ("coordinates", ("location_id",))
    assert {"rate_min", "rate_max", "active", "region", "updated_at_max"} <= LOCATIONS.parameters.keys()
    assert MEMBERS.parameters["city"].field.path == "city.exact"
    assert "sync" not in {*LOCATIONS.fields, *LOCATIONS.properties}
