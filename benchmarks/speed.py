"""How fast: against the bare aiohttp loop and what else a team would use, and when the gateway's latency is the limit."""

from __future__ import annotations

from benchmarks.harness import BareServer, Row, Series, doubts, flattered, in_turns, ratio, say, server_said

CONCURRENCY = 64
LATENCY_S = 0.05
WARM_UP = 1000


def engine(scale: float = 1.0) -> list[Row]:
    """Compare the engine, and what is built around it, with the bare loop and with `requests` in a thread pool."""
    counts = {"engine": 10_000, "aiohttp": 10_000, "hook": 10_000, "job": 10_000, "requests": 3_000}
    with BareServer() as server:
        found = _in_turns(counts, server, 7, scale)
    own, bare, hook, job, pool = (found[name] for name in counts)
    against_bare, against_pool = ratio(own, bare), ratio(hook, pool)
    return [
        Row(
            "bulk engine, against a bare aiohttp loop: messages per second",
            "≥ 0.80",
            f"{against_bare}; {own.per_second:,.0f} against {bare.per_second:,.0f}; {server_said(own, bare)}",
            against_bare.middle >= 0.80,
            doubts(against_bare, own, bare),
        ),
        Row(
            "`hook.cancel_messages` (ids checked, a thread of its own, results), against the bare loop",
            "none",
            f"{ratio(hook, bare)}; {hook.per_second:,.0f} against {bare.per_second:,.0f}",
        ),
        Row(
            "the operator's job (the same, with counts and the report written), against the bare loop",
            "none",
            f"{ratio(job, bare)}; {job.per_second:,.0f} against {bare.per_second:,.0f}",
        ),
        Row(
            "`hook.cancel_messages`, against `requests` in a thread pool: messages per second",
            "≥ 3",
            f"{against_pool}; {hook.per_second:,.0f} against {pool.per_second:,.0f}; {server_said(hook, pool)}",
            against_pool.middle >= 3,
            doubts(against_pool, hook, pool),
        ),
    ]


def library(scale: float = 1.0) -> list[Row]:
    """Compare the engine with the client library of the package index."""
    counts = {"hook": 10_000, "clickatell": 2_000}
    with BareServer() as server:
        found = _in_turns(counts, server, 2, scale)
    own, peer = found["hook"], found["clickatell"]
    return [
        Row(
            "`hook.cancel_messages`, against the `clickatell` library in a thread pool: messages per second",
            "none",
            f"{ratio(own, peer)}; {own.per_second:,.0f} against {peer.per_second:,.0f}; {server_said(own, peer)}",
        )
    ]


def uvloop(scale: float = 1.0) -> list[Row]:
    """Compare event loops."""
    counts = {"engine-uvloop": 15_000, "engine": 15_000}
    with BareServer() as server:
        found = _in_turns(counts, server, 3, scale)
    other, own = found["engine-uvloop"], found["engine"]
    return [
        Row(
            "engine on uvloop's event loop, against asyncio's own",
            "none",
            f"{ratio(other, own)}; {other.per_second:,.0f} against {own.per_second:,.0f}",
        )
    ]


def latency(scale: float = 1.0) -> list[Row]:
    """Let the gateway's latency be the limit."""
    counts = {"engine": 5_120, "aiohttp": 5_120}
    limit = CONCURRENCY / LATENCY_S
    with BareServer("--latency", str(LATENCY_S)) as server:
        found = _in_turns(counts, server, 3, scale)
    own, bare = found["engine"], found["aiohttp"]
    share, bare_share = own.per_second / limit, bare.per_second / limit
    return [
        Row(
            f"gateway-bound ({LATENCY_S * 1000:.0f} ms, concurrency {CONCURRENCY}): share of concurrency ÷ latency",
            "≥ 0.90, or what the bare loop reaches",
            f"**{share:.3f}** ({own.per_second:,.0f} of {limit:,.0f} a second); bare loop {bare_share:.3f}; "
            f"{server_said(own, bare)}",
            share >= min(0.90, bare_share),
            flattered(own, bare),
        )
    ]


def _in_turns(counts: dict[str, int], server: BareServer, rounds: int, scale: float) -> dict[str, Series]:
    scaled = {name: max(1, int(count * scale)) for name, count in counts.items()}
    rounds = rounds if scale == 1 else 1
    say(f"   {', '.join(f'{count:,} messages by {name}' for name, count in scaled.items())}; {rounds} rounds")
    return in_turns(scaled, server, rounds, concurrency=CONCURRENCY, warm_up=int(WARM_UP * scale))
