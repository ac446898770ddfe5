"""The description of the API (OpenAPI 3.1), as GET /v1/openapi.json gives it. A test holds it against the routes there are, and its codes against
api.problem."""

from __future__ import annotations

from typing import Any

from jetmail.api.options import ApiOptions
from jetmail.api.problem import CODES
from jetmail.api.v1 import letters

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_EMAIL: Schema = {"type": "string", "description": "ann@example.org, or Ann <ann@example.org>"}
_PARTY: Schema = {
    "oneOf": [
        _EMAIL,
        {
            "type": "object", "required": ["email"], "additionalProperties": False,
            "properties": {"email": _TEXT, "name": {"type": "string", "maxLength": letters.MAX_NAME}},
        },
    ]
}  # fmt: skip
_PARTIES: Schema = {"oneOf": [{"$ref": "#/components/schemas/Party"}, {"type": "array", "items": {"$ref": "#/components/schemas/Party"}}]}


def document(options: ApiOptions) -> Schema:
    """The whole of it."""
    key = _parameter("Idempotency-Key", "header", "1 to 200 printable ASCII characters: the same request within 24 hours does nothing again")
    return {
        "openapi": "3.1.0",
        "info": {"title": "jetmail", "version": "1", "description": "Sends mail as an SMTP user. docs/api.md explains it with examples."},
        "servers": [{"url": f"https://{options.hostname}"}],
        "security": [{"token": []}],
        "paths": {
            "/v1/messages": {"post": _operation("Send a message", [key], _json("Message"), {"202": _json_answer("Queued", "Sent")})},
            "/v1/messages/raw": {
                "post": _operation(
                    "Send a message as it is",
                    [
                        key,
                        _parameter("from", "query", "envelope sender; or the field X-Envelope-From"),
                        _parameter("to", "query", "envelope recipient, repeatable; or the field X-Envelope-To"),
                        _parameter("smtputf8", "query", "1: the header has UTF-8 (RFC 6531)"),
                    ],
                    {"required": True, "content": {"message/rfc822": {"schema": {"type": "string", "format": "binary"}}}},
                    {"202": _json_answer("Queued", "Sent")},
                )
            },
            "/v1/messages/batch": {
                "post": _operation(
                    "Send many messages, each on its own", [key], _json("Batch"), {"200": _json_answer("One result for each", "Results")}
                )
            },
            "/v1/messages/{uid}": {
                "get": _operation(
                    "What became of a message of this token's SMTP user",
                    [{**_parameter("uid", "path", "id of the message"), "required": True}],
                    None,
                    {"200": _json_answer("The message and its deliveries", "Status")},
                )
            },
            "/v1/openapi.json": {
                "get": {
                    "summary": "This description", "security": [],
                    "responses": {"200": {"description": "OpenAPI", "content": {"application/json": {}}}},
                }
            },
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "transactional_..., made with: jetmail token add"}},
            "schemas": _schemas(options),
        },
    }  # fmt: skip


def _schemas(options: ApiOptions) -> Schema:
    message: Schema = {
        "from": {"$ref": "#/components/schemas/Party"}, "to": _PARTIES, "cc": _PARTIES, "bcc": _PARTIES, "reply_to": _PARTIES,
        "subject": {"type": "string", "maxLength": letters.MAX_SUBJECT}, "text": _TEXT, "html": _TEXT,
        "headers": {
            "type": "object", "maxProperties": letters.MAX_HEADERS, "additionalProperties": _TEXT,
            "description": "X-..., " + ", ".join(sorted(letters.SAFE)),
        },
        "attachments": {"type": "array", "maxItems": letters.MAX_ATTACHMENTS, "items": {"$ref": "#/components/schemas/Attachment"}},
        "envelope_from": {"type": "string", "description": "envelope sender, where bounces go; otherwise that of from"},
    }  # fmt: skip
    refused: Schema = {"type": "object", "properties": {"recipient": _TEXT, "code": _code(), "message": _TEXT}}
    sent: Schema = {
        "id": _TEXT, "reply": {"type": "string", "description": "what SMTP would have heard"},
        "refused": {"type": "array", "items": refused, "description": "recipients that were turned down; the others get it"},
    }  # fmt: skip
    number: Schema = {"type": ["number", "null"], "description": "epoch seconds"}
    delivery: Schema = {
        "recipient": _TEXT, "status": _TEXT, "reason": _TEXT, "reply": _TEXT, "attempts": {"type": "integer"},
        "held": {"type": "boolean"}, "next_attempt": number, "finished": number,
    }  # fmt: skip
    status: Schema = {
        "id": _TEXT, "received": number, "transtype": {"enum": ["HTTP", "ESMTPSA", "ESMTP"]}, "sender": _TEXT, "subject": _TEXT, "message_id": _TEXT,
        "size": {"type": "integer"}, "reply": _TEXT, "deliveries": {"type": "array", "items": {"type": "object", "properties": delivery}},
    }  # fmt: skip
    return {
        "Party": _PARTY,
        "Attachment": {
            "type": "object", "required": ["content"], "additionalProperties": False,
            "properties": {
                "name": {"type": "string", "maxLength": 255}, "type": {"type": "string", "default": "application/octet-stream"},
                "content": {"type": "string", "contentEncoding": "base64"}, "cid": {"type": "string", "description": "shown by the HTML as cid:..."},
            },
        },
        "Message": {"type": "object", "required": ["from"], "additionalProperties": False, "properties": message},
        "Batch": {
            "type": "object", "required": ["messages"], "additionalProperties": False,
            "properties": {
                "messages": {"type": "array", "minItems": 1, "maxItems": options.max_batch, "items": {"$ref": "#/components/schemas/Message"}}
            },
        },
        "Sent": {"type": "object", "properties": sent},
        "Results": {
            "type": "object",
            "properties": {
                "accepted": {"type": "integer"}, "refused": {"type": "integer"},
                "results": {
                    "type": "array",
                    "items": {"oneOf": [{"$ref": "#/components/schemas/Sent"}, {"$ref": "#/components/schemas/Error"}]},
                    "description": "in the order of the messages, each with its status",
                },
            },
        },
        "Status": {"type": "object", "properties": status},
        "Error": {
            "type": "object", "required": ["error"],
            "properties": {
                "error": {"type": "object", "properties": {"code": _code(), "message": _TEXT, "field": _TEXT, "reference": _TEXT}}
            },
        },
    }  # fmt: skip


def _code() -> Schema:
    return {"enum": list(CODES), "description": "; ".join(f"{code}: {text}" for code, (_, text) in CODES.items())}


def _operation(summary: str, parameters: list[Schema], body: Schema | None, answers: Schema) -> Schema:
    errors = {str(status): _json_answer(", ".join(code for code, (found, _) in CODES.items() if found == status), "Error") for status in _statuses()}
    made: Schema = {"summary": summary, "parameters": parameters, "responses": {**answers, **errors}}
    return made if body is None else {**made, "requestBody": body}


def _statuses() -> list[int]:
    return sorted({status for status, _ in CODES.values()})


def _json(schema: str) -> Schema:
    return {"required": True, "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}


def _json_answer(text: str, schema: str) -> Schema:
    return {"description": text, "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}


def _parameter(name: str, place: str, text: str) -> Schema:
    return {"name": name, "in": place, "description": text, "schema": _TEXT}
