"""What registries and the way to them say no with, in Docker's words."""

from __future__ import annotations

import socket
import ssl

import aiohttp
import pytest

from pogu.errors import EngineError, Forbidden, NotFound, Unauthorized, Unavailable
from pogu.registry.failure import Cause, cause_of, refusal, retry_after_s, unreachable

URL = "https://reg.example:5000/v2/?secret=x"


def refused(status: int, raw: bytes = b"", *, anonymous: bool = True) -> EngineError:
    return refusal(status, raw, domain="reg.example", path="/v2/", anonymous=anonymous)


def untrusted(code: int) -> ssl.SSLCertVerificationError:
    err = ssl.SSLCertVerificationError(1, "certificate verify failed")
    err.verify_code, err.verify_message = code, "?"
    return err


def test_an_unknown_authority_is_told_where_to_put_the_certificate() -> None:
    said = unreachable("GET", URL, untrusted(20))
    assert said.message == (
        'Get "https://reg.example:5000/v2/": tls: failed to verify certificate: x509:'
        " certificate signed by unknown authority"
    )
    assert "/etc/pogu/certs.d/reg.example:5000/ca.crt" in str(said.hint)
    assert cause_of(untrusted(20)) is Cause.UNTRUSTED


def test_expired_and_mismatching_certificates_are_explained() -> None:
    assert "x509: certificate has expired" in unreachable("GET", URL, untrusted(10)).message
    assert "reg.example" in unreachable("GET", URL, untrusted(62)).message


def test_plain_http_behind_a_tls_port_is_said_as_docker_says_it() -> None:
    said = unreachable("GET", URL, ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version"))
    assert "http: server gave HTTP response to HTTPS client" in said.message
    assert 'insecure = ["reg.example:5000"]' in str(said.hint)


def test_names_and_ports_that_do_not_answer() -> None:
    assert "dial tcp: lookup reg.example: no such host" in (
        unreachable("GET", URL, socket.gaierror(socket.EAI_NONAME, "?")).message
    )
    refused_there = ConnectionRefusedError(111, "Connection refused")
    assert "dial tcp reg.example:5000: connect: connection refused" in (
        unreachable("HEAD", URL, refused_there).message
    )
    assert cause_of(refused_there) is Cause.UNREACHABLE
    assert cause_of(ConnectionResetError(104, "reset")) is Cause.BROKEN


def test_statuses_become_errors_with_the_login_as_hint() -> None:
    assert isinstance(refused(401), Unauthorized)
    assert "incorrect username or password" in refused(401, anonymous=False).message
    denied = refused(403)
    assert isinstance(denied, Forbidden)
    assert denied.message == "denied: requested access to the resource is denied"
    assert denied.hint == "log in: pogu login reg.example"


def test_the_registrys_own_words_are_kept_once() -> None:
    raw = b'{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your limit"}]}'
    limited = refused(429, raw)
    assert limited.message == "toomanyrequests: You have reached your limit"
    assert "pogu login" in str(limited.hint)
    raw = b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}'
    assert refused(404, raw).message == "manifest unknown"
    assert isinstance(refused(404), NotFound)
    assert isinstance(refused(500, b"<html>"), Unavailable)


@pytest.mark.parametrize("raw", [b"[]", b'{"errors":[]}', b'{"errors":[7]}', b"\xff", b"{"])
def test_what_is_no_error_of_the_spec_is_none(raw: bytes) -> None:
    assert "unexpected HTTP status: 502" in refused(502, raw).message


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after_s("7") == 7
    assert retry_after_s("Fri, 01 Jan 1999 00:00:00 GMT") == 0
    assert retry_after_s("soon") is None
    assert retry_after_s("") is None


async def test_a_proxy_that_is_not_there_is_said_so() -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientProxyConnectionError) as refused_there:
            await session.get("https://reg.example/v2/", proxy="http://me:secret@127.0.0.1:1")
    said = unreachable("GET", URL, refused_there.value)
    assert "proxyconnect tcp: dial tcp 127.0.0.1:1: connect: connection refused" in said.message
    assert "secret" not in said.message
    assert cause_of(refused_there.value) is Cause.UNREACHABLE
