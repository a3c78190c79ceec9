"""What is settled, kept in a store of JSON values where there is no report."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.scripted import campaign_of, esendex, hex_id, http_api, rest
from support.state_store import MemoryStore

from airflow_provider_smscancel.campaigns import checkpoint as checkpoint_module
from airflow_provider_smscancel.campaigns import folders
from airflow_provider_smscancel.campaigns.checkpoint import AFTER_REFUSAL_S, INDEX_KEY, Checkpoint
from airflow_provider_smscancel.campaigns.earlier import CarriedOver
from airflow_provider_smscancel.campaigns.messages import Campaign
from airflow_provider_smscancel.campaigns.outcome import CARRIED_OVER, Outcome
from airflow_provider_smscancel.gateways.base import Gateway, IdType

HOST = "https://api.clickatell.com"
CANCELLED = CarriedOver(Outcome.CANCELLED, "006")
TOO_LATE = CarriedOver(Outcome.TOO_LATE, "004")
Noted = dict[int, CarriedOver]


def campaign(ids: Iterable[str], gateway: Gateway | None = None) -> Campaign:
    made = Campaign(gateway or rest())
    for message_id in ids:
        made.add(message_id, None, "item")
    return made


def ten() -> Campaign:
    return campaign_of(rest(), 10)


def opened(store: Any, messages: Campaign | None = None, *, host: str = HOST, **options: Any) -> Checkpoint:
    checkpoint = Checkpoint(store, host=host, **options)
    checkpoint.carried_over(messages if messages is not None else ten())
    return checkpoint


def note(checkpoint: Checkpoint, noted: Noted) -> None:
    for index, found in noted.items():
        checkpoint.note(index, found.outcome, found.gateway_status)


def one_try(store: Any, noted: Noted, messages: Campaign | None = None, **options: Any) -> Noted:
    """Take over, settle some, and save. Returns what was taken over."""
    checkpoint = Checkpoint(store, host=options.pop("host", HOST), **options)
    carried = checkpoint.carried_over(messages if messages is not None else ten())
    note(checkpoint, noted)
    checkpoint.save(within_s=60)
    return carried


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "READ_AGAIN_AFTER_S", (0.01, 0.01))


@pytest.fixture
def small_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_module, "IDS_PER_KEY", 3)


# -- what is carried over -----------------------------------------------------------------------------------------------


def test_what_one_try_has_settled_the_next_ones_know() -> None:
    store = MemoryStore()
    assert one_try(store, {0: CANCELLED, 3: TOO_LATE}) == {}
    assert one_try(store, {9: CarriedOver(Outcome.WILL_NOT_SEND, None)}) == {0: CANCELLED, 3: TOO_LATE}
    third = one_try(store, {})
    assert third == {0: CANCELLED, 3: TOO_LATE, 9: CarriedOver(Outcome.WILL_NOT_SEND, None)}


@pytest.mark.parametrize("outcome", Outcome)
def test_only_what_can_not_change_any_more_is_kept(outcome: Outcome) -> None:
    store = MemoryStore()
    one_try(store, {1: CarriedOver(outcome, "x")})
    assert bool(store.values) is (outcome in CARRIED_OVER)
    expected = {1: CarriedOver(outcome, "x")} if outcome in CARRIED_OVER else {}
    assert one_try(store, {}) == expected


def test_neither_order_nor_spelling_nor_duplicates_of_the_ids_matter(small_keys: None) -> None:
    store, ids = MemoryStore(), [f"1627AEA5-8e0a-4371-9022-{number:012x}" for number in range(20)]
    settled = set(ids[3:11])
    first = campaign(ids, esendex())
    one_try(store, {index: CANCELLED for index in range(20) if ids[index] in settled}, first)
    again = campaign([each.upper() for each in (*reversed(ids), ids[0])], esendex())
    carried = one_try(store, {}, again)
    assert {again.ids[index].lower() for index in carried} == {each.lower() for each in settled}


def test_client_ids_that_differ_by_case_only_are_two() -> None:
    messages = Campaign(http_api(), IdType.CLIENT_MESSAGE_ID)
    for message_id in ("abc", "ABC"):
        messages.add(message_id, None, "item")
    store = MemoryStore()
    one_try(store, {1: CANCELLED}, messages)
    assert one_try(store, {}, messages) == {1: CANCELLED}


ids_lists = st.lists(st.integers(1, 2**128 - 1).map(hex_id), min_size=1, max_size=40, unique=True)
statuses = st.none() | st.sampled_from(["006", "true", "4"]) | st.text(max_size=40)
outcomes = st.builds(CarriedOver, st.sampled_from(sorted(CARRIED_OVER)), statuses)


@given(ids=ids_lists, data=st.data())
def test_every_id_gets_its_own_outcome_back_whatever_the_order(ids: list[str], data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint_module, "IDS_PER_KEY", data.draw(st.integers(1, 12)))
        noted = data.draw(st.dictionaries(st.integers(0, len(ids) - 1), outcomes))
        store = MemoryStore()
        one_try(store, noted, campaign(ids))
        shuffled = data.draw(st.permutations(ids))
        carried = one_try(store, {}, campaign(shuffled))
        by_id = {shuffled[index]: found for index, found in carried.items()}
        assert {key: found.outcome for key, found in by_id.items()} == {
            ids[index]: found.outcome for index, found in noted.items()
        }
        for index, found in noted.items():
            # A status may be dropped where there are too many or it is an odd one, but is never another's.
            assert by_id[ids[index]].gateway_status in (None, found.gateway_status)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["AAAA", "EREREQ=="]),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(st.sampled_from(["outcomes", "codes", "check", "x"]), children, max_size=4)
    ),
    max_leaves=8,
)


def tamper(store: MemoryStore, data: st.DataObject) -> None:
    """Let a value be cut, changed, exchanged for another, or replaced by something else."""
    key = data.draw(st.sampled_from(sorted(store.values)))
    value = json.loads(store.values[key])
    kind = data.draw(st.sampled_from(["junk", "swap", "text"]))
    if kind == "swap":
        value = json.loads(store.values[data.draw(st.sampled_from(sorted(store.values)))])
    elif kind == "junk" or not isinstance(value, dict) or not value:
        value = data.draw(json_values)
    else:
        name = data.draw(st.sampled_from(sorted(value)))
        text = value[name] if isinstance(value[name], str) else ""
        cut = data.draw(st.integers(0, len(text)))
        value[name] = text[:cut] + data.draw(st.text("Aa0=", max_size=2)) + text[cut + 1 :]
    store.values[key] = json.dumps(value)


@given(ids=ids_lists, data=st.data())
def test_nothing_that_a_store_holds_makes_an_id_settled_that_is_not(
    ids: list[str], data: st.DataObject
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint_module, "IDS_PER_KEY", data.draw(st.integers(1, 12)))
        noted = data.draw(st.dictionaries(st.integers(0, len(ids) - 1), outcomes, min_size=1))
        store = MemoryStore()
        one_try(store, noted, campaign(ids))
        for _ in range(data.draw(st.integers(1, 3))):
            tamper(store, data)
        for index, found in one_try(store, {}, campaign(ids)).items():
            assert found.outcome == noted[index].outcome


@pytest.mark.parametrize(
    ("messages", "host"),
    [
        pytest.param(ten(), "https://elsewhere", id="another host"),
        pytest.param(
            campaign_of(http_api(), 10, id_type=IdType.CLIENT_MESSAGE_ID), HOST, id="another id_type"
        ),
        pytest.param(campaign_of(rest(), 11), HOST, id="one id more"),
        pytest.param(campaign_of(rest(), 9), HOST, id="one id less"),
        pytest.param(campaign([hex_id(number) for number in range(2, 12)]), HOST, id="another id"),
    ],
)
def test_what_is_about_something_else_carries_nothing_over_and_is_left_alone(
    messages: Campaign, host: str
) -> None:
    store = MemoryStore()
    one_try(store, {0: CANCELLED, 5: TOO_LATE})
    assert one_try(store, {1: CANCELLED}, messages, host=host) == {}
    assert one_try(store, {}, messages, host=host) == {1: CANCELLED}
    assert one_try(store, {}) == {0: CANCELLED, 5: TOO_LATE}


def test_a_value_that_stands_under_another_campaigns_key_is_passed_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, other = MemoryStore(), MemoryStore()
    one_try(store, {0: CANCELLED})
    one_try(other, {1: CANCELLED}, host="https://elsewhere")
    (mine,), (theirs,) = ([key for key in each.values if key != INDEX_KEY] for each in (store, other))
    store.values[mine] = other.values[theirs]
    assert one_try(store, {}) == {}
    assert "passed over" in caplog.text


def test_two_lists_that_share_a_fingerprint_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Campaign, "fingerprint", lambda *_: "0" * 32)
    store = MemoryStore()
    one_try(store, {0: CANCELLED})
    assert one_try(store, {}, campaign([hex_id(number) for number in range(2, 12)])) == {}


@pytest.mark.parametrize("index", [None, 7, "x", ["a"], {"x": 1}, {"0" * 32: "many"}, {"0" * 32: 10**12}])
def test_an_index_that_is_not_ours_is_replaced(index: Any) -> None:
    store = MemoryStore()
    store.values[INDEX_KEY] = json.dumps(index)
    assert one_try(store, {0: CANCELLED}) == {}
    assert one_try(store, {}) == {0: CANCELLED}


def test_more_statuses_than_there_are_numbers_cost_the_status_but_not_the_outcome() -> None:
    store = MemoryStore()
    messages = campaign_of(rest(), 40)
    noted = {index: CarriedOver(Outcome.TOO_LATE, f"{index:03}") for index in range(40)}
    one_try(store, noted, messages)
    carried = one_try(store, {}, messages)
    assert {found.outcome for found in carried.values()} == {Outcome.TOO_LATE}
    assert len(carried) == 40
    assert [carried[index] for index in range(11)] == [noted[index] for index in range(11)]
    assert {carried[index].gateway_status for index in range(11, 40)} == {None}


# -- how it is written --------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class SlowStore(MemoryStore):
    """Takes its time for each value."""

    def __init__(self, clock: Clock, takes_s: float) -> None:
        super().__init__()
        self.clock = clock
        self.takes_s = takes_s

    def set(self, key: str, value: Any) -> None:
        super().set(key, value)
        self.clock.now += self.takes_s


def waited(checkpoint: Checkpoint, clock: Clock, seconds: float) -> None:
    """Have the checkpoint asked every 10 ms for so long."""
    until = clock.now + seconds
    while clock.now < until:
        clock.now += 0.01
        checkpoint.save_now_and_then()


def test_a_tenth_of_a_million_messages_fits_into_two_values_of_less_than_60_kb() -> None:
    messages = campaign_of(rest(), 100_000)
    store = MemoryStore()
    one_try(store, {index: CANCELLED if index % 3 else TOO_LATE for index in range(100_000)}, messages)
    assert len(store.values) == 1 + 2
    assert max(map(len, store.values.values())) < 60_000
    assert len(one_try(store, {}, messages)) == 100_000


def test_it_is_written_at_most_once_a_second() -> None:
    clock = Clock()
    store = SlowStore(clock, 0.01)
    checkpoint = opened(store, clock=clock)
    checkpoint.save_now_and_then()
    assert store.made("set") == 0
    for index in range(10):
        checkpoint.note(index, Outcome.CANCELLED, "006")
        waited(checkpoint, clock, 0.5)
    assert 4 <= store.made("set") - 1 <= 5


def test_writing_takes_no_more_than_a_twentieth_of_the_time(small_keys: None) -> None:
    clock = Clock()
    store = SlowStore(clock, 0.2)
    messages = campaign_of(rest(), 30)
    checkpoint = opened(store, messages, clock=clock)
    for _ in range(800):
        note(checkpoint, dict.fromkeys(range(30), CANCELLED))  # all values are new again
        waited(checkpoint, clock, 0.5)
    share = store.made("set") * 0.2 / (clock.now - 1000.0)
    assert 0.04 < share < 0.055  # the index comes on top, and the last time is not over


def test_only_what_has_changed_is_written_again(small_keys: None) -> None:
    store, messages = MemoryStore(), campaign_of(rest(), 60)
    one_try(store, dict.fromkeys(range(59), CANCELLED), messages)
    before = store.made("set")
    checkpoint = opened(store, messages)
    checkpoint.save(within_s=60)
    assert store.made("set") == before
    checkpoint.note(59, Outcome.CANCELLED, "006")
    checkpoint.save(within_s=60)
    assert store.made("set") == before + 1
    assert len(one_try(store, {}, messages)) == 60


def test_no_value_is_begun_when_the_time_is_over(small_keys: None) -> None:
    clock = Clock()
    store = SlowStore(clock, 1.0)
    messages = campaign_of(rest(), 300)
    checkpoint = opened(store, messages, clock=clock)
    note(checkpoint, dict.fromkeys(range(300), CANCELLED))
    checkpoint.save(within_s=5.0)
    assert store.made("set") == 5


def test_nothing_is_lost_that_is_noted_while_it_is_written() -> None:
    messages = campaign_of(rest(), 2000)
    store = MemoryStore()
    checkpoint = opened(store, messages)

    def settle() -> None:
        for index in range(2000):
            checkpoint.note(index, Outcome.CANCELLED, f"{index % 20}")

    engine = threading.Thread(target=settle)
    engine.start()
    while engine.is_alive():
        checkpoint.save(within_s=60)
        carried = Checkpoint(store, host=HOST).carried_over(messages)  # whole at every moment
        assert {found.outcome for found in carried.values()} <= {Outcome.CANCELLED}
    checkpoint.save(within_s=60)
    assert len(one_try(store, {}, messages)) == 2000


def test_what_is_noted_right_after_the_copy_that_is_written_is_written_the_next_time() -> None:
    store = MemoryStore()
    checkpoint = opened(store)

    class NotedMeanwhile(bytearray):
        def __bytes__(self) -> bytes:
            copy = bytes(memoryview(self))
            checkpoint.note(1, Outcome.TOO_LATE, "004")
            return copy

    checkpoint._codes[0] = NotedMeanwhile(checkpoint._codes[0])
    checkpoint.note(0, Outcome.CANCELLED, "006")
    checkpoint.save(within_s=60)
    assert Checkpoint(store, host=HOST).carried_over(ten()) == {0: CANCELLED}
    checkpoint.save(within_s=60)
    assert one_try(store, {}) == {0: CANCELLED, 1: TOO_LATE}


# -- forgetting ---------------------------------------------------------------------------------------------------------


def test_clearing_leaves_nothing_of_ours_and_all_that_is_not(small_keys: None) -> None:
    store = MemoryStore()
    store.values["job_id"] = '"of somebody else"'
    one_try(store, {0: CANCELLED}, campaign_of(rest(), 30))  # an earlier try had another list
    checkpoint = opened(store)
    checkpoint.note(1, Outcome.CANCELLED, "006")
    checkpoint.save(within_s=60)
    assert len(store.values) > 2
    checkpoint.clear()
    assert store.values == {"job_id": '"of somebody else"'}


def test_clearing_what_was_never_written_makes_no_call() -> None:
    store = MemoryStore()
    opened(store).clear()
    assert store.made("delete") == 0


# -- a store that refuses -----------------------------------------------------------------------------------------------


def warnings(caplog: pytest.LogCaptureFixture) -> Sequence[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("kind", ["get", "set"])
def test_a_store_that_refuses_is_told_once_without_its_words(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    checkpoint = opened(MemoryStore(lambda each: each == kind), clock=clock)
    for index in range(10):
        checkpoint.note(index, Outcome.CANCELLED, "006")
        waited(checkpoint, clock, 20.0)
    checkpoint.save(within_s=60)
    (told,) = warnings(caplog)
    assert "RuntimeError" in told
    assert "secret" not in told


def test_a_store_that_refuses_for_a_while_gets_everything_later() -> None:
    clock, refuses = Clock(), True
    store = MemoryStore(lambda kind: refuses and kind == "set")
    checkpoint = opened(store, clock=clock)
    note(checkpoint, {0: CANCELLED, 1: TOO_LATE})
    waited(checkpoint, clock, AFTER_REFUSAL_S * 3)
    assert 2 <= store.made("set") <= 4  # it is not pestered
    refuses = False
    waited(checkpoint, clock, AFTER_REFUSAL_S * 2)
    assert one_try(store, {}) == {0: CANCELLED, 1: TOO_LATE}


def test_a_store_that_refuses_once_to_be_read_does_not_cost_what_it_holds() -> None:
    store = MemoryStore()
    one_try(store, {0: CANCELLED})
    store.fails = lambda kind: kind == "get" and store.made("get") in (3, 5)
    assert one_try(store, {}) == {0: CANCELLED}


@pytest.mark.parametrize("refused", range(1, 5))
def test_what_could_not_be_read_when_a_try_began_is_not_written_over(refused: int, small_keys: None) -> None:
    store = MemoryStore()
    one_try(store, dict.fromkeys(range(9), TOO_LATE))
    before = store.made("get")
    first = Checkpoint(store, host=HOST)
    store.fails = lambda kind: kind == "get" and store.made("get") >= before + refused
    first.carried_over(ten())
    store.fails = lambda _: False
    first.note(9, Outcome.CANCELLED, "006")
    first.note(3, Outcome.CANCELLED, "006")
    first.save(within_s=60)
    last = one_try(store, {})
    assert {index: found.outcome for index, found in last.items()} == {
        **dict.fromkeys(range(9), Outcome.TOO_LATE),
        3: Outcome.CANCELLED,
        9: Outcome.CANCELLED,
    }


def test_what_could_not_be_read_when_a_try_began_is_cleared_all_the_same() -> None:
    store = MemoryStore()
    one_try(store, {0: CANCELLED})
    store.fails = lambda kind: kind == "get"
    checkpoint = opened(store)
    store.fails = lambda _: False
    checkpoint.clear()
    assert store.values == {}


def test_a_time_limit_that_strikes_in_a_write_costs_nothing_that_is_written_at_the_end() -> None:
    class TimeLimit(BaseException):
        pass

    class Struck(MemoryStore):
        def set(self, key: str, value: Any) -> None:
            if key != INDEX_KEY and not self.made("set") > 1:
                self.calls.append(("set", key))
                raise TimeLimit
            super().set(key, value)

    store = Struck()
    checkpoint = opened(store)
    checkpoint.note(0, Outcome.CANCELLED, "006")
    with pytest.raises(TimeLimit):
        checkpoint.save(within_s=60)
    checkpoint.save(within_s=60)
    assert one_try(store, {}) == {0: CANCELLED}


def test_a_store_that_does_not_forget_is_told(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore(lambda kind: kind == "delete")
    checkpoint = opened(store)
    checkpoint.note(0, Outcome.CANCELLED, "006")
    checkpoint.save(within_s=60)
    checkpoint.clear()
    (told,) = warnings(caplog)
    assert "cleared by hand" in told
