"""Answers without end or sense: bounded in memory and in time, and said in a sentence."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.fakes.cutting_registry import Answer, a_cutting_registry

from pogu.errors import DataLoss, Unavailable
from pogu.registry import client, transport
from pogu.registry.client import Repository
from pogu.registry.credentials import Credentials
from pogu.registry.endpoint import Endpoint
from pogu.registry.search import _from_catalogue
from pogu.registry.transport import Transport


@asynccontextmanager
async def a_registry(body: bytes, *headers: str) -> AsyncIterator[Transport]:
    """Gives the same body to every request."""
    answers = [Answer(headers=headers)] * 10_000
    async with a_cutting_registry(body, answers) as registry:
        endpoint = Endpoint(url=registry.url, domain="test", tls=None)
        async with Transport("test", [endpoint], Credentials(), tries=1) as opened:
            yield opened


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"tags": 5}', b'{"tags": [5]}'])
async def test_tags_that_are_none_are_said(body: bytes) -> None:
    async with a_registry(body) as opened:
        with pytest.raises(DataLoss, match="the list of tags of repo cannot be read"):
            await Repository(opened, "repo").tags()


async def test_a_page_of_tags_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_LARGEST_PAGE", 1 << 20)
    async with a_registry(b'{"tags": ["' + b"a" * (64 << 20) + b'"]}') as opened:
        with pytest.raises(DataLoss, match="cannot be read"):
            await Repository(opened, "repo").tags()


async def test_pages_of_tags_in_a_circle_come_to_an_end() -> None:
    async with a_registry(b'{"tags": ["a"]}', 'Link: </v2/repo/tags/list>; rel="next"') as opened:
        with pytest.raises(DataLoss, match="has no end"):
            await Repository(opened, "repo").tags()


@pytest.mark.parametrize("body", [b'{"repositories": 5}', b'{"repositories": {"a": 1}}', b"{}"])
async def test_a_catalogue_that_is_none_has_nothing(body: bytes) -> None:
    async with a_registry(body) as opened:
        assert await _from_catalogue(opened, "test", "a") == []


async def test_a_token_without_end_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_LARGEST_REFUSAL", 1 << 16)
    body = b'{"token": "' + b"a" * (32 << 20) + b'"}'
    async with a_cutting_registry(body, []) as registry:
        realm = f'WWW-Authenticate: Bearer realm="{registry.url}/token"'
        registry.answers = [Answer(status=401, headers=(realm,))]
        endpoint = Endpoint(url=registry.url, domain="test", tls=None)
        async with Transport("test", [endpoint], Credentials(), tries=1) as opened:
            with pytest.raises(Unavailable, match="sent no token"):
                await Repository(opened, "repo").tags()
