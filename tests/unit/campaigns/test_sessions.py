"""One session of a gateway, shared by all requests of a run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from support import virtual_time
from support.scripted import (
    Call,
    Script,
    ScriptedTransport,
    http_api,
    line,
    lost,
    page,
    rest,
)

from airflow_provider_smscancel.campaigns.sessions import PING_AFTER_S, AccountRefused, SessionKeeper
from airflow_provider_smscancel.gateways.base import Answer
from airflow_provider_smscancel.transport.failure import TransportFailure

Test = Callable[[SessionKeeper], Coroutine[Any, Any, None]]


def keep(script: Script, test: Test, *, uses_session: bool = True) -> list[str]:
    """Run a test with a keeper. Returns what was asked for."""
    transport = ScriptedTransport(script)

    async def main() -> None:
        gateway = http_api() if uses_session else rest()
        await test(SessionKeeper(gateway, transport.send, asyncio.get_running_loop().time))

    virtual_time.run(main())
    return [call.verb for call in transport.calls]


def opens(call: Call) -> Answer:
    return line(f"OK: s{call.at:.0f}" if call.verb == "login" else "OK:")


def test_a_gateway_without_sessions_is_ready_and_asked_for_none() -> None:
    async def test(keeper: SessionKeeper) -> None:
        assert keeper.ready
        await keeper.open()
        assert keeper.use() is None
        keeper.expired(None)
        assert keeper.ready

    assert keep(opens, test, uses_session=False) == []


def test_many_callers_share_one_login() -> None:
    async def test(keeper: SessionKeeper) -> None:
        assert not keeper.ready
        await asyncio.gather(*(keeper.open() for _ in range(50)))
        assert keeper.ready
        assert keeper.use() == "s0"

    assert keep(opens, test) == ["login"]


def test_an_expired_session_is_opened_anew_once() -> None:
    async def test(keeper: SessionKeeper) -> None:
        await keeper.open()
        await asyncio.sleep(7)
        for _ in range(5):
            keeper.expired("s0")
        await asyncio.gather(*(keeper.open() for _ in range(50)))
        assert keeper.use() == "s7"

    assert keep(opens, test) == ["login", "login"]


def test_a_late_word_about_an_older_session_does_not_end_the_new_one() -> None:
    async def test(keeper: SessionKeeper) -> None:
        await keeper.open()
        keeper.expired("s0")
        await asyncio.sleep(7)
        await keeper.open()
        keeper.expired("s0")
        assert keeper.ready
        assert keeper.use() == "s7"

    assert keep(opens, test) == ["login", "login"]


def test_a_login_that_fails_fails_for_all_who_wait_and_is_tried_again_by_the_next() -> None:
    def script(call: Call) -> Answer | Exception:
        return lost() if call.at < 1 else opens(call)

    async def test(keeper: SessionKeeper) -> None:
        found = await asyncio.gather(*(keeper.open() for _ in range(50)), return_exceptions=True)
        assert all(isinstance(error, TransportFailure) for error in found)
        assert not keeper.ready
        await asyncio.sleep(5)
        await asyncio.gather(*(keeper.open() for _ in range(50)))
        assert keeper.use() == "s5"

    assert keep(script, test) == ["login", "login"]


@pytest.mark.parametrize("code", ["001", "002", "004", "007", "108"])
def test_a_refused_account_is_told_to_all_who_wait_after_one_login(code: str) -> None:
    async def test(keeper: SessionKeeper) -> None:
        found = await asyncio.gather(*(keeper.open() for _ in range(50)), return_exceptions=True)
        refusals = [error for error in found if isinstance(error, AccountRefused)]
        assert refusals
        assert refusals[0].verdict.code == code
        assert "sandbox-password" not in repr(refusals[0])
        # Whoever goes on does so with the credentials: the balance call decides about the account.
        assert keeper.ready
        assert keeper.use() is None

    assert keep(lambda _: line(f"ERR: {code}, text"), test) == ["login"]


@pytest.mark.parametrize("answer", [line("ERR: 999, no sessions today"), page(500), page(404), line("OK:")])
def test_a_gateway_that_opens_no_session_gets_the_credentials_instead(answer: Answer) -> None:
    async def test(keeper: SessionKeeper) -> None:
        await keeper.open()
        assert keeper.ready
        assert keeper.use() is None

    assert keep(lambda _: answer, test) == ["login"]


def test_a_session_in_use_is_never_pinged() -> None:
    async def test(keeper: SessionKeeper) -> None:
        await keeper.open()
        for _ in range(10):
            await asyncio.sleep(PING_AFTER_S - 1)
            assert keeper.ready
            keeper.use()

    assert keep(opens, test) == ["login"]


def test_a_session_idle_for_ten_minutes_is_pinged_and_kept() -> None:
    async def test(keeper: SessionKeeper) -> None:
        await keeper.open()
        await asyncio.sleep(PING_AFTER_S + 1)
        assert not keeper.ready
        await asyncio.gather(*(keeper.open() for _ in range(50)))
        assert keeper.use() == "s0"

    assert keep(opens, test) == ["login", "ping"]


@pytest.mark.parametrize("answer", [line("ERR: 003, Session ID expired"), page(200)])
def test_a_session_that_does_not_survive_the_ping_is_opened_anew(answer: Answer) -> None:
    def script(call: Call) -> Answer:
        return answer if call.verb == "ping" else opens(call)

    async def test(keeper: SessionKeeper) -> None:
        await keeper.open()
        await asyncio.sleep(1000)
        await keeper.open()
        assert keeper.ready
        assert keeper.use() == "s1000"

    assert keep(script, test) == ["login", "ping", "login"]
