"""Threads and queues: order, bounds, and how failures come out."""

from __future__ import annotations

import os
import sys
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gantool.stages import Relay


class Broken(Exception):
    pass


def gantool_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("gantool-")]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = set(gantool_threads())  # a download that was given up may still be ending
    yield
    left = set(gantool_threads()) - before
    for thread in left:
        thread.join(2)
    assert not any(thread.is_alive() for thread in left)


def count_to(n, fail_at=None, closed=None):
    try:
        for i in range(n):
            if i == fail_at:
                raise Broken("source")
            yield i
    finally:
        if closed is not None:
            closed.append(threading.current_thread().name)


@given(st.integers(0, 40), st.integers(1, 9))
@settings(max_examples=20)
def test_everything_arrives_in_order(n, items):
    out: list[int] = []
    with Relay(items=items) as relay:
        numbers = relay.source("a", lambda: count_to(n))
        doubled = relay.source("b", lambda: (2 * i for i in numbers))
        put = relay.sink("c", lambda results: out.extend(results))
        for i in doubled:
            put(i + 1)
    assert out == [2 * i + 1 for i in range(n)]
    assert set(relay.seconds) == {"a", "b", "c"}


def run_relay(fail_source=None, fail_middle=None, fail_main=None, fail_sink=None, n=50, closed=None):
    def middle(numbers):
        for i in numbers:
            if i == fail_middle:
                raise Broken("middle")
            yield i

    def consume(results):
        for i in results:
            if i == fail_sink:
                raise Broken("sink")

    with Relay(items=3) as relay:
        numbers = relay.source("a", lambda: count_to(n, fail_source, closed))
        same = relay.source("b", lambda: middle(numbers))
        put = relay.sink("c", consume)
        for i in same:
            if i == fail_main:
                raise Broken("main")
            put(i)


@pytest.mark.parametrize("where", ["source", "middle", "main", "sink"])
@pytest.mark.parametrize("at", [0, 7, 49])
def test_a_failure_anywhere_comes_out_soon(where, at):
    began, closed = time.monotonic(), []
    with pytest.raises(Broken, match=where):
        run_relay(**{f"fail_{where}": at}, closed=closed)
    assert time.monotonic() - began < 2
    assert closed == ["gantool-a"]  # in its own thread, whoever failed


def test_the_last_breath_of_a_sink_counts():
    def consume(results):
        for _ in results:
            pass
        raise Broken("on closing")

    with pytest.raises(Broken, match="on closing"), Relay() as relay:
        relay.sink("c", consume)(1)


@pytest.mark.skipif(sys.platform != "linux", reason="priorities of threads are Linux's")
def test_stages_and_what_they_start_come_behind_the_main_thread():
    found: dict[str, int] = {}

    def note(name: str) -> None:
        found[name] = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def source():
        note("source")
        started = threading.Thread(target=note, args=("started",))
        started.start()
        started.join()
        yield 1

    def consume(items) -> None:
        note("sink")
        list(items)

    note("before")
    with Relay() as relay:
        put = relay.sink("encode", consume)
        for item in relay.source("decode", source):
            put(item)
    note("main")
    behind = min(19, found["before"] + 5)
    assert found["main"] == found["before"]
    assert found["source"] == found["started"] == found["sink"] == behind


def test_a_sink_notices_that_others_failed():
    seen = []

    def consume(results):
        try:
            for _ in results:
                pass
        except Exception as error:
            seen.append(error)
            raise

    with pytest.raises(Broken, match="main"), Relay() as relay:
        relay.sink("c", consume)
        raise Broken("main")
    assert len(seen) == 1


def test_check_stops_while_the_main_thread_waits():
    gate, calls = threading.Event(), []

    def slow():
        yield 1
        gate.wait(5)

    def check():
        calls.append(1)
        if len(calls) > 4:
            gate.set()
            raise Broken("stopped")

    began = time.monotonic()
    with pytest.raises(Broken, match="stopped"), Relay(check) as relay:
        list(relay.source("a", slow))
    assert time.monotonic() - began < 2


def test_check_is_called_while_a_sink_finishes():
    gate = threading.Event()
    calls = []

    def check():
        calls.append(1)
        if len(calls) > 5:
            gate.set()

    with Relay(check) as relay:
        relay.sink("c", lambda results: gate.wait(5))
    assert gate.is_set()


def test_a_stage_that_hangs_does_not_hold_up_the_failure():
    gate = threading.Event()

    def stuck():
        yield 1
        gate.wait(20)

    began = time.monotonic()
    with pytest.raises(Broken), Relay() as relay:
        relay.source("a", stuck)
        raise Broken("main")
    assert time.monotonic() - began < 4
    gate.set()


def test_queues_are_bounded_by_count_and_by_bytes():
    made = []

    def make():
        for i in range(100):
            made.append(i)
            yield i

    with Relay(items=5) as relay:
        numbers = relay.source("a", make)
        time.sleep(0.1)
        assert len(made) <= 6
        assert list(numbers) == list(range(100))
    made.clear()
    with Relay(items=50, max_bytes=10) as relay:
        numbers = relay.source("a", make, lambda i: 4)
        time.sleep(0.1)
        assert len(made) <= 3
        assert len(list(numbers)) == 100
    made.clear()
    with Relay(max_bytes=10) as relay:  # one item always fits
        assert len(list(relay.source("a", make, lambda i: 400))) == 100


def test_a_source_that_is_not_read_to_its_end_is_closed():
    closed = []
    with Relay(items=2) as relay:
        assert next(relay.source("a", lambda: count_to(1000, closed=closed))) == 0
    assert closed == ["gantool-a"]


def test_busy_seconds_leave_waiting_out():
    def make():
        for i in range(3):
            time.sleep(0.05)
            yield i

    with Relay() as relay:
        numbers = relay.source("a", make)
        same = relay.source("b", lambda: (i for i in numbers))
        list(same)
    assert relay.seconds["a"] > 0.14
    assert relay.seconds["b"] < 0.1


@pytest.mark.parametrize("slow", ["read", "net", "write"])
def test_the_slowest_stage_is_named(slow):
    def pause(stage: str) -> None:
        if stage == slow:
            time.sleep(0.02)

    def read():
        for i in range(8):
            pause("read")
            yield i

    def write(items):
        for _ in items:
            pause("write")

    with Relay(items=2) as relay:
        put = relay.sink("write", write)
        for item in relay.source("read", read):
            pause("net")
            put(item)
        assert relay.slowest("net") == slow
