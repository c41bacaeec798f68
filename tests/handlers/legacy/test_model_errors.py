"""The wording of the model's failures, as openai's Node SDK 5.21 and Node 20 gave it for the same answers."""

from __future__ import annotations

import pytest

from handlers.legacy.javascript import UNDEFINED, JavaScriptTypeError, JSONSyntaxError, Value
from handlers.legacy.model_errors import ModelFault, content_of, describe
from handlers.services.model import InvalidResponseError, ModelRefusedError, ModelTimeoutError, ModelUnreachableError

JSON = "application/json"
NO_BODY = "Cannot destructure property 'prompt' of 'req.body' as it is undefined."


@pytest.mark.parametrize(
    ("body", "message", "type_"),
    [
        ('{"error":{"message":"m","type":"t","code":"c"}}', "400 m", "t"),
        ("", "400 status code (no body)", UNDEFINED),
        ("0", "400 0", UNDEFINED),
        ('""', '400 ""', UNDEFINED),
        ("null", "400 null", UNDEFINED),
        ("true", "400 status code (no body)", UNDEFINED),
        ('"abc"', "400 status code (no body)", UNDEFINED),
        ("[]", "400 status code (no body)", UNDEFINED),
        ("{}", "400 status code (no body)", UNDEFINED),
        ('{"error":null}', "400 status code (no body)", UNDEFINED),
        ('{"error":"bad"}', '400 "bad"', UNDEFINED),
        ('{"error":{}}', "400 {}", UNDEFINED),
        ('{"error":[]}', "400 []", UNDEFINED),
        ('{"error":{"message":""}}', '400 {"message":""}', UNDEFINED),
        ('{"error":{"message":5}}', "400 5", UNDEFINED),
        ('{"error":{"message":{"a":1.0}}}', '400 {"a":1}', UNDEFINED),
        ('{"error":true}', "400 true", UNDEFINED),
        ('{"error":0}', "400 status code (no body)", UNDEFINED),
        ('{"error":"","x":1}', "400 status code (no body)", UNDEFINED),
        ("<html>", "400 <html>", UNDEFINED),
        ('{"error":{"type":5}}', '400 {"type":5}', 5),
        ('{"error":{"message":"x","type":null}}', "400 x", None),
    ],
)
def test_refusal_is_described_by_its_body(body: str, message: str, type_: Value) -> None:
    fault = describe(ModelRefusedError(400, body))
    assert (fault.name, fault.message, fault.type) == ("Error", message, type_)


@pytest.mark.parametrize(
    ("status", "position"),
    [
        *[(400, "45:20"), (401, "48:20"), (403, "51:20"), (404, "54:20"), (409, "57:20"), (418, "68:16")],
        *[(422, "60:20"), (429, "63:20"), (500, "66:20"), (503, "66:20"), (302, "68:16")],
    ],
)
def test_stack_of_a_refusal_names_the_sdk_line(status: int, position: str) -> None:
    assert describe(ModelRefusedError(status, '{"error":{"message":"m"}}')).stack_excerpt() == (
        f"Error: {status} m\n"
        f"    at APIError.generate (/srv/legacy/node_modules/openai/core/error.js:{position})\n"
        "    at OpenAI.makeStatusError (/srv/legacy/node_modules/openai/client.js:163:32)"
    )


def test_stack_excerpt_has_three_lines() -> None:
    fault = describe(ModelRefusedError(400, '{"error":{"message":"a\\nb\\nc\\nd"}}'))
    assert fault.stack_excerpt() == "Error: 400 a\nb\nc"


def test_missing_body_has_the_recorded_stack() -> None:
    fault = describe(JavaScriptTypeError(NO_BODY))
    assert (fault.name, fault.message, fault.type) == ("TypeError", NO_BODY, UNDEFINED)
    assert fault.stack_excerpt() == (
        f"TypeError: {NO_BODY}\n"
        "    at /srv/legacy/routes/summary.routes.js:77:11\n"
        "    at Layer.handleRequest (/srv/legacy/node_modules/router/lib/layer.js:152:17)"
    )


def test_connection_faults_have_the_sdks_messages() -> None:
    assert describe(ModelUnreachableError("x")) == ModelFault("Error", "Connection error.")
    assert describe(ModelTimeoutError("x")) == ModelFault("Error", "Request timed out.")


@pytest.mark.parametrize(
    ("media_type", "body", "message"),
    [
        (JSON, "{}", "Cannot read properties of undefined (reading '0')"),
        (JSON, "null", "Cannot read properties of null (reading 'choices')"),
        (JSON, "[]", "Cannot read properties of undefined (reading '0')"),
        (JSON, '"s"', "Cannot read properties of undefined (reading '0')"),
        (JSON, "5", "Cannot read properties of undefined (reading '0')"),
        ("text/plain", "{}", "Cannot read properties of undefined (reading '0')"),
        ("", "", "Cannot read properties of undefined (reading '0')"),
        ("application/problem+json", "{}", "Cannot read properties of undefined (reading '0')"),
        (JSON, '{"choices":[]}', "Cannot read properties of undefined (reading 'message')"),
        (JSON, '{"choices":""}', "Cannot read properties of undefined (reading 'message')"),
        (JSON, '{"choices":null}', "Cannot read properties of null (reading '0')"),
        (JSON, '{"choices":"abc"}', "Cannot read properties of undefined (reading 'content')"),
        (JSON, '{"choices":[null]}', "Cannot read properties of null (reading 'message')"),
        (JSON, '{"choices":[{}]}', "Cannot read properties of undefined (reading 'content')"),
        (JSON, '{"choices":[{"message":null}]}', "Cannot read properties of null (reading 'content')"),
    ],
)
def test_invalid_response_raises_v8s_type_error(media_type: str, body: str, message: str) -> None:
    with pytest.raises(JavaScriptTypeError) as error:
        content_of(InvalidResponseError(media_type, body))
    assert describe(error.value) == ModelFault("TypeError", message)
    assert describe(error.value).stack_excerpt() == f"TypeError: {message}"


@pytest.mark.parametrize(
    ("body", "content"),
    [
        ('{"choices":{"0":{"message":{"content":7}}}}', 7),
        ('{"choices":[{"message":{}}]}', UNDEFINED),
        ('{"choices":[{"message":{"content":null}}]}', None),
        ('{"choices":[{"message":[1]}]}', UNDEFINED),
    ],
)
def test_content_in_place_of_the_text_is_returned(body: str, content: Value) -> None:
    assert content_of(InvalidResponseError(JSON, body)) == content


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("<html>", "Unexpected token '<', \"<html>\" is not valid JSON"),
        ("", "Unexpected end of JSON input"),
    ],
)
def test_invalid_json_is_a_syntax_error(body: str, message: str) -> None:
    with pytest.raises(JSONSyntaxError) as error:
        content_of(InvalidResponseError(JSON, body))
    assert describe(error.value) == ModelFault("SyntaxError", message)
