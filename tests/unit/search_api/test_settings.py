"""Settings: a production service that starts with what is meant for development is open to everybody."""

import pytest

from search_api.settings import BadSettings, Settings

GOOD = {
    "SEARCH_API_REDIS_URL": "rediss://:secret-word@cache.example.com:6379",
    "SEARCH_API_ISSUER": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_abc",
    "SEARCH_API_AUDIENCE": "client-a, client-b",
    "SEARCH_API_CURSOR_KEYS": "5e" * 32 + "," + "6f" * 32,
    "SEARCHSYNC_OPENSEARCH_URL": "https://search.example.com",
    "SEARCHSYNC_OPENSEARCH_USER": "search",
    "SEARCHSYNC_OPENSEARCH_PASSWORD": "secret-word",
}
LOCAL = {
    "SEARCH_API_ENVIRONMENT": "development",
    "SEARCH_API_REDIS_URL": "redis://127.0.0.1:6379",
    "SEARCH_API_ISSUER": "http://127.0.0.1:5000/pool",
    "SEARCH_API_JWKS_URL": "http://127.0.0.1:5000/pool/keys",
    "SEARCH_API_COGNITO_URL": "http://127.0.0.1:5000",
    "SEARCHSYNC_OPENSEARCH_URL": "http://127.0.0.1:9200",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SKIP_AUTH", "DYNAMODB_ENDPOINT", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)


def test_a_production_service_starts_with_what_it_needs() -> None:
    settings = Settings.from_environment()
    assert settings.environment == "production"
    assert settings.host == "127.0.0.1"
    assert settings.audience == ("client-a", "client-b")
    assert settings.cursor_keys == (b"\x5e" * 32, b"\x6f" * 32)
    assert settings.keys_url == f"{GOOD['SEARCH_API_ISSUER']}/.well-known/jwks.json"


def test_no_secret_is_shown() -> None:
    """What prints its settings when it fails prints passwords into logs."""
    shown = repr(Settings.from_environment())
    assert "secret-word" not in shown
    assert "^^" not in shown  # the byte 5e
    assert "5e5e" not in shown


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("SKIP_AUTH", "false", "SKIP_AUTH is set"),
        ("DYNAMODB_ENDPOINT", "http://127.0.0.1:8000", "DYNAMODB_ENDPOINT is set"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:8000", "AWS_ENDPOINT_URL is set"),
        ("SEARCH_API_COGNITO_URL", "https://cognito.example.com", "SEARCH_API_COGNITO_URL is set"),
        ("SEARCH_API_JWKS_URL", "https://keys.example.com", "SEARCH_API_JWKS_URL is set"),
        ("SEARCH_API_ISSUER", "http://issuer.example.com", "SEARCH_API_ISSUER must begin with https://"),
        ("SEARCH_API_ISSUER", "https://127.0.0.1/pool", "SEARCH_API_ISSUER is an emulator's"),
        ("SEARCH_API_ISSUER", "https://[::1]/pool", "SEARCH_API_ISSUER is an emulator's"),
        ("SEARCH_API_ISSUER", "https://aws:5000/pool", "SEARCH_API_ISSUER is an emulator's"),
        ("SEARCH_API_REDIS_URL", "redis://cache.example.com", "SEARCH_API_REDIS_URL must begin with rediss://"),
        ("SEARCHSYNC_OPENSEARCH_URL", "http://search.example.com", "SEARCHSYNC_OPENSEARCH_URL must begin with https"),
        ("SEARCHSYNC_OPENSEARCH_URL", "https://localhost:9200", "SEARCHSYNC_OPENSEARCH_URL is an emulator's"),
        ("SEARCHSYNC_OPENSEARCH_USER", "", "neither SEARCHSYNC_OPENSEARCH_AWS_SERVICE nor"),
        ("SEARCH_API_ALLOWED_ORIGINS", "*", "SEARCH_API_ALLOWED_ORIGINS must begin with https://"),
        ("SEARCH_API_ALLOWED_ORIGINS", "https://a.example.com, http://b.example.com", "SEARCH_API_ALLOWED_ORIGINS"),
    ],
)
def test_production_refuses_what_is_for_development(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSettings, match=reason) as refused:
        Settings.from_environment()
    assert "secret-word" not in str(refused.value)


def test_development_has_emulators(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in LOCAL.items():
        monkeypatch.setenv(name, value)
    settings = Settings.from_environment()
    assert settings.in_development
    assert settings.keys_url == LOCAL["SEARCH_API_JWKS_URL"]


@pytest.mark.parametrize("name", ["REDIS_URL", "ISSUER", "AUDIENCE", "CURSOR_KEYS"])
def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(f"SEARCH_API_{name}")
    with pytest.raises(BadSettings, match=f"SEARCH_API_{name} is not set"):
        Settings.from_environment()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "0"),
        ("PORT", "²"),
        ("WORKERS", "many"),
        ("ENVIRONMENT", "staging"),
        ("TRACE_RATIO", "nan"),
        ("TRACE_RATIO", "1.1"),
        ("CURSOR_KEYS", "5e5e"),
        ("CURSOR_KEYS", "not hexadecimal"),
        ("ISSUER", "https://user:secret-word@issuer.example.com"),
        ("PROT", "8080"),
    ],
)
def test_a_wrong_value_and_a_typing_error_are_named_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """A misspelt variable that is ignored leaves a limit or a check as it was."""
    monkeypatch.setenv(f"SEARCH_API_{name}", value)
    with pytest.raises(BadSettings, match=f"SEARCH_API_{name}") as refused:
        Settings.from_environment()
    assert "secret-word" not in str(refused.value)


def test_the_header_of_a_gateway_is_compared_as_servers_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEARCH_API_ADDRESS_HEADER", "X-Client-Address")
    assert Settings.from_environment().address_header == "x-client-address"
    monkeypatch.setenv("SEARCH_API_ADDRESS_HEADER", "x client")
    with pytest.raises(BadSettings, match="SEARCH_API_ADDRESS_HEADER: must be the name of a header"):
        Settings.from_environment()


MODEL, GUARDRAIL = "eu.anthropic.claude-haiku-4-5-20251001-v1:0", "ab1cd2ef3gh4:1"


def test_an_agent_is_a_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches are served without one."""
    assert Settings.from_environment().agent_model is None
    monkeypatch.setenv("SEARCH_API_AGENT_MODEL", MODEL)
    monkeypatch.setenv("SEARCH_API_AGENT_GUARDRAIL", GUARDRAIL)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    settings = Settings.from_environment()
    assert settings.agent_model is not None
    assert settings.agent_guardrail is not None
    assert (settings.agent_model.id, settings.agent_guardrail.version) == (MODEL, "1")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"MODEL": MODEL}, "no model is asked without a guardrail"),
        ({"GUARDRAIL": GUARDRAIL}, "SEARCH_API_AGENT_MODEL is not set"),
        ({"MODEL": MODEL, "GUARDRAIL": "ab1cd2ef3gh4:DRAFT"}, "must be ID:VERSION"),
        ({"MODEL": "amazon.titan-text-express-v1", "GUARDRAIL": GUARDRAIL}, "cannot use tools"),
        ({"MODEL": f"us.{MODEL[3:]}", "GUARDRAIL": GUARDRAIL}, "cannot be called from eu-west-1"),
        ({"MODEL": MODEL, "GUARDRAIL": GUARDRAIL, "URL": "https://x.example.com"}, "SEARCH_API_AGENT_URL is set"),
    ],
)
def test_a_wrong_agent_ends_the_start(monkeypatch: pytest.MonkeyPatch, given: dict[str, str], reason: str) -> None:
    """Else each question would fail, or go around the guardrail."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    for name, value in given.items():
        monkeypatch.setenv(f"SEARCH_API_AGENT_{name}", value)
    with pytest.raises(BadSettings, match=reason):
        Settings.from_environment()


def test_an_agent_needs_a_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("SEARCH_API_AGENT_MODEL", MODEL)
    monkeypatch.setenv("SEARCH_API_AGENT_GUARDRAIL", GUARDRAIL)
    with pytest.raises(BadSettings, match="AWS_DEFAULT_REGION is not set"):
        Settings.from_environment()
