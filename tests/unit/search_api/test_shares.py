"""No tenant takes all places of OpenSearch: the others would get 503 for its slow searches."""

from contextlib import ExitStack

import pytest

from search_api.caller import EveryTenant, OneTenant
from search_api.engine.client import EngineUnavailable
from search_api.engine.shares import Shares


def test_a_tenant_that_has_its_share_waits_for_no_other_and_no_other_for_it() -> None:
    shares = Shares(2)
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(shares.one(OneTenant("acme")))
        with pytest.raises(EngineUnavailable, match="of this tenant") as refused, shares.one(OneTenant("acme")):
            pass
        assert refused.value.headers["Retry-After"] == "1"
        with shares.one(OneTenant("globex")), shares.one(EveryTenant()), shares.one(OneTenant("*")):
            assert len(shares) == 4, "an administrator is no tenant, whatever its name"
    with shares.one(OneTenant("acme")):
        assert len(shares) == 1


def test_a_search_that_fails_gives_its_place_back() -> None:
    """Else a tenant would be refused for ever after a few failures, and each tenant would stay in memory."""
    shares = Shares(1)
    for _ in range(3):
        with pytest.raises(LookupError), shares.one(OneTenant("acme")):
            raise LookupError
    assert len(shares) == 0
