"""Every draft is a routing.yaml that `check` accepts, with each endpoint reachable."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.draft import ServiceEndpoint, draft_routes, render
from proxy.config.loading import parse
from proxy.gateway.patterns import Parameter
from proxy.gateway.routing import RouteTable

TEXT = st.text(max_size=30)
SEGMENT = st.one_of(
    st.sampled_from(
        ["items", "api", "v1", "Users", "{id}", "{name}", "a.b", "search", "%20", "~x", "a#b", "{id}.json", "*"]
    ),
    st.text(string.ascii_letters + string.digits + string.punctuation.replace("/", ""), min_size=1, max_size=8),
)
PATH = st.lists(SEGMENT, max_size=5).map(lambda segments: "/" + "/".join(segments))
ENDPOINT = st.builds(
    ServiceEndpoint, st.sampled_from(["GET", "HEAD", "POST", "DELETE", "OPTIONS", "WS", "CONNECT"]), PATH, TEXT
)


@given(st.lists(ENDPOINT, max_size=12), TEXT, st.sampled_from([None, "app:app"]))
def test_draft_of_any_endpoints_is_valid(endpoints: list[ServiceEndpoint], title: str, native: str | None) -> None:
    routes, unroutable = draft_routes(endpoints)
    config = parse(render(routes, unroutable, legacy="http://127.0.0.1:1", title=title, native=native), {})
    assert [str(route.pattern) for route in config.routes] == [str(route.match) for route in routes]
    assert all(route.share == 0 for route in config.routes)
    assert len(routes) + len(unroutable) <= len(endpoints)


@given(st.lists(ENDPOINT, min_size=1, max_size=12))
def test_drafted_route_matches_its_own_template(endpoints: list[ServiceEndpoint]) -> None:
    routes, unroutable = draft_routes(endpoints)
    config = parse(render(routes, unroutable, legacy="http://127.0.0.1:1", title="t"), {})
    table = RouteTable(config.routes)
    for route in config.routes:
        names = [f"p{i}x" if isinstance(part, Parameter) else part for i, part in enumerate(route.pattern.segments)]
        path = "/" + "/".join([*names, "rest"] if route.pattern.rest else names)
        match = table.match(route.pattern.method, path.encode())
        assert match is not None
        assert match.route.pattern.takes(path)


def test_name_that_yaml_reads_as_null_is_quoted() -> None:
    endpoints = [ServiceEndpoint("GET", "/null/a", "Null"), ServiceEndpoint("GET", "/null/b", "NULL")]
    routes, unroutable = draft_routes(endpoints)
    config = parse(render(routes, unroutable, legacy="http://127.0.0.1:1", title="t", native="app:app"), {})
    assert [(route.name, route.group) for route in config.routes] == [("Null", "null"), ("NULL", "null")]


@pytest.mark.parametrize("path", ["/$$", "/${HOME}", "/a$b", "/${", "/$$${x}"])
def test_path_with_dollar_signs_is_not_a_reference(path: str) -> None:
    routes, unroutable = draft_routes([ServiceEndpoint("GET", path, "")])
    config = parse(render(routes, unroutable, legacy="http://127.0.0.1:1", title="t"), {"HOME": "/root", "x": "y"})
    assert [str(route.pattern) for route in config.routes] == [str(route.match) for route in routes]


def test_concrete_paths_come_before_templates() -> None:
    routes, _ = draft_routes(
        [
            ServiceEndpoint("GET", "/items/{id}"),
            ServiceEndpoint("GET", "/items/search"),
            ServiceEndpoint("HEAD", "/items/{id}"),
        ]
    )
    assert [str(route.match) for route in routes] == ["GET /items/search", "HEAD /items/{id}", "GET /items/{id}"]


@pytest.mark.parametrize(
    ("path", "group"),
    [("/items/{id}", "items"), ("/api/v2/items", "items"), ("/{page}/items", None), ("/v1", None), ("/alone", None)],
)
def test_group_is_the_resource_that_several_routes_share(path: str, group: str | None) -> None:
    routes, _ = draft_routes([ServiceEndpoint("GET", path), ServiceEndpoint("POST", "/items")])
    assert next(route.group for route in routes if route.match.path == path) == group


def test_names_are_ids_made_valid_and_unique() -> None:
    endpoints = [
        ServiceEndpoint("GET", "/a", "get thing"),
        ServiceEndpoint("GET", "/b", "get thing"),
        ServiceEndpoint("PUT", "/c/{id}"),
    ]
    routes, _ = draft_routes(endpoints)
    assert [route.name for route in routes] == ["get-thing", "get-thing-2", "put-c-id"]


def test_unroutable_endpoint_is_named_in_the_file() -> None:
    routes, unroutable = draft_routes([ServiceEndpoint("GET", "/files/{name}.json")])
    text = render(routes, unroutable, legacy="http://127.0.0.1:1", title="t")
    assert routes == []
    assert "# GET /files/{name}.json goes to legacy: " in text
