"""Threads joined by bounded queues, in which the first failure ends everything.

A :class:`Relay` is a ``with`` block. Inside, :meth:`Relay.source` starts threads that make or transform
items, the block's own thread works on them, and :meth:`Relay.sink` starts a thread that takes the results.
Queues hold a few items and a bounded number of bytes, so memory does not grow with the length of the work.
When any thread raises, when ``check`` raises, or when the block is left by an exception, all stages stop,
their iterators are closed in their own threads, and the first exception comes out of the block.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")

_BEHIND = 5  # of niceness; still a third of the share that others on the machine get
_BLINK_S = 0.1  # how long the main thread sleeps before it looks at ``check`` again
_GRACE_S = 2.0  # how long a failing relay waits for a stage that is in the middle of something


class _Halted(Exception):
    """Raised in a stage that waits for its neighbours when the relay has stopped."""


class _Busy:
    """How long a thread has been at work, its waiting left out."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._waited = 0.0
        self._since: float | None = None

    def wait(self, waits: bool) -> None:
        """From now on the thread waits, or works again."""
        now = time.perf_counter()
        if self._since is not None:
            self._waited += now - self._since
        self._since = now if waits else None

    @property
    def seconds(self) -> float:
        since = self._since
        return (time.perf_counter() if since is None else since) - self._began - self._waited


def _stand_back() -> None:
    """Let this thread, and those that it starts, have a core after the main thread, which computes.

    On a CPU a net has every core; one thread of it that is kept waiting keeps the others waiting. Only Linux
    knows priorities of threads.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            behind = os.getpriority(os.PRIO_PROCESS, 0) + _BEHIND
            os.setpriority(os.PRIO_PROCESS, 0, min(19, behind))


class _Stage(threading.Thread):
    """A thread that knows how long it had to wait for others."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        # A daemon: a stage stuck in a library call must not keep the program alive after the failure.
        super().__init__(name=f"gantool-{name}", daemon=True)
        self.stage = name
        self.clock = _Busy()
        self._work = work

    def run(self) -> None:
        _stand_back()
        self._work()


class Relay:
    """One run of stages; see the module.

    Args:
        check: called a few times a second by the main thread while it waits, and once per item; raises to
            stop everything.
        items: how many items a queue holds.
        max_bytes: how many bytes a queue holds, whatever ``items`` says; one item always fits.
    """

    def __init__(
        self, check: Callable[[], None] | None = None, *, items: int = 8, max_bytes: int = 256 << 20
    ) -> None:
        self.seconds: dict[str, float] = {}
        self._check = check or (lambda: None)
        self._items, self._max_bytes = items, max_bytes
        # One lock for all queues: frames pass a few hundred times a second at most.
        self._moved = threading.Condition()
        self._error: BaseException | None = None
        self._stopped = False
        self._main = threading.current_thread()
        self._main_clock = _Busy()
        self._threads: list[_Stage] = []
        self._sinks: list[tuple[_Queue, _Stage]] = []

    def source(
        self, name: str, make: Callable[[], Iterable[T]], size: Callable[[T], int] = lambda _: 0
    ) -> Iterator[T]:
        """Run ``make()`` in a thread and return its items, in order. ``size``: bytes of an item."""
        queue: _Queue[T] = _Queue(self)

        def work() -> None:
            items = iter(make())
            try:
                for item in items:
                    queue.put(item, size(item))
            finally:
                if isinstance(items, Generator):
                    items.close()
            queue.end()

        self._start(name, work)
        return queue.drain()

    def sink(
        self, name: str, consume: Callable[[Iterator[T]], None], size: Callable[[T], int] = lambda _: 0
    ) -> Callable[[T], None]:
        """Run ``consume(items)`` in a thread; returns the function that hands it an item.

        ``consume`` sees the end of its iterator when the block ends well, and an exception when it does not.
        """
        queue: _Queue[T] = _Queue(self)
        self._sinks.append((queue, self._start(name, lambda: consume(queue.drain()))))
        return lambda item: queue.put(item, size(item))

    def _start(self, name: str, work: Callable[[], None]) -> _Stage:
        def guarded() -> None:
            thread.clock = _Busy()
            try:
                work()
            except _Halted:
                pass
            except BaseException as error:
                self._fail(error)
            finally:
                thread.clock.wait(True)  # for ever
                self.seconds[name] = self.seconds.get(name, 0.0) + thread.clock.seconds

        thread = _Stage(name, guarded)
        self._threads.append(thread)
        thread.start()
        return thread

    def slowest(self, own: str) -> str:
        """The stage that has been at work for longest so far; ``own`` names the main thread's."""
        busy = {own: self._main_clock.seconds}
        for thread in self._threads:
            busy[thread.stage] = max(thread.clock.seconds, busy.get(thread.stage, 0.0))
        return max(busy, key=lambda stage: busy[stage])

    def _fail(self, error: BaseException) -> None:
        with self._moved:
            if self._error is None:
                self._error = error
            self._stopped = True
            self._moved.notify_all()

    def wait_for(self, ready: Callable[[], bool]) -> None:
        """Block until ``ready()``; the caller holds the relay's lock. Raises when the relay has stopped."""
        thread = threading.current_thread()
        main = thread is self._main
        clock = self._main_clock if main else thread.clock if isinstance(thread, _Stage) else _Busy()
        if main:
            self._check()
        clock.wait(True)
        while not self._stopped and not ready():
            self._moved.wait(_BLINK_S if main else None)
            if main:
                self._check()
        clock.wait(False)
        if self._stopped:
            raise (self._error if main and self._error is not None else _Halted())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            try:
                self._finish()
            except BaseException as late:
                error = late
        if error is None:
            return
        self._fail(error)
        deadline = time.monotonic() + _GRACE_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        first = self._error
        if first is not None and first is not error:
            raise first
        if kind is None:  # it came up only while the last stages were finishing
            raise error

    def _finish(self) -> None:
        """End the sinks, wait until they are through, and let go of sources that nobody reads any more."""
        for queue, _ in self._sinks:
            queue.end()
        self._wait([thread for _, thread in self._sinks])
        with self._moved:
            self._stopped = True
            self._moved.notify_all()
        self._wait(self._threads)

    def _wait(self, threads: list[_Stage]) -> None:
        for thread in threads:
            while thread.is_alive():
                thread.join(_BLINK_S)
                self._check()
            if self._error is not None:
                raise self._error


class _Queue(Generic[T]):
    """A bounded queue between two threads of one relay."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._waiting: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._ended = False

    def put(self, item: T, size: int) -> None:
        relay = self._relay

        def fits() -> bool:
            if not self._waiting:
                return True
            return len(self._waiting) < relay._items and self._bytes + size <= relay._max_bytes

        with relay._moved:
            relay.wait_for(fits)
            self._waiting.append((item, size))
            self._bytes += size
            relay._moved.notify_all()

    def end(self) -> None:
        """No more items will come."""
        with self._relay._moved:
            self._ended = True
            self._relay._moved.notify_all()

    def drain(self) -> Iterator[T]:
        relay = self._relay
        while True:
            with relay._moved:
                relay.wait_for(lambda: bool(self._waiting) or self._ended)
                if not self._waiting:
                    return
                item, size = self._waiting.popleft()
                self._bytes -= size
                relay._moved.notify_all()
            yield item
            del item  # a stage that waits for its next item must not keep the last one alive
