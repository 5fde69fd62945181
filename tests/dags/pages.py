"""Airflow's API with our pages, and who looks at them."""

from fastapi import FastAPI
from fastapi.testclient import TestClient

HOST = "http://airflow.test:8080"


def token(role: str) -> str:
    """What the cookie of somebody with a role holds."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    return get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="somebody", role=role))


def browser(server: FastAPI, role: str | None) -> TestClient:
    """A browser in which somebody with a role is logged in; nobody without one."""
    client = TestClient(server, HOST, follow_redirects=False, headers={"accept": "text/html,*/*;q=0.8"})
    if role is not None:
        client.cookies["_token"] = token(role)
    return client
