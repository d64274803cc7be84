"""The worker: one thread that takes jobs out of the queue and runs them, one at a time."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from ...errors import GlidewireError
from ...graph_runtime.context import CancelToken
from ...graph_runtime.graph import Graph
from ..session import Session
from . import submission
from .frames import Message, Outgoing
from .job_store import JobStore
from .jobs import Job
from .narration import Narration
from .submission import Submission

_LOG = logging.getLogger(__name__)
_CHECKED_KEPT: Final = 64
_RETRY_SECONDS: Final = 1.0


class Worker:
    """Runs the jobs of a store in a thread of its own.

    Args:
        session: What they run with.
        store: The jobs.
        post: Sends messages to the clients; called in this thread.
    """

    def __init__(self, session: Session, store: JobStore, post: Callable[[Iterable[Outgoing]], None]) -> None:
        self._session, self._store, self._post = session, store, post
        self._more = threading.Event()
        self._closing = threading.Event()
        self._checked: OrderedDict[str, Submission] = OrderedDict()
        self._lock = threading.Lock()
        self._running: tuple[Job, CancelToken, Narration | None] | None = None
        self._thread = threading.Thread(target=self._work, name="glidewire worker", daemon=True)

    def start(self) -> None:
        """Begin with the jobs that are there."""
        self._thread.start()

    def wake(self, id_: str, checked: Submission) -> None:
        """There is a new job, just read and checked."""
        with self._lock:
            self._checked[id_] = checked
            if len(self._checked) > _CHECKED_KEPT:
                self._checked.popitem(last=False)
        self._more.set()

    @property
    def running(self) -> Job | None:
        """The job that runs."""
        with self._lock:
            return self._running[0] if self._running else None

    def replay(self, client: str) -> list[Outgoing]:
        """What a client that comes in the middle of its own job is told."""
        with self._lock:
            job, _, narration = self._running or (None, None, None)
        return narration.replay() if narration is not None and job is not None and job.client == client else []

    def cancel(self, id_: str | None = None) -> bool:
        """Stop the running job (only if it is `id_`, where that is given) at its next step."""
        with self._lock:
            if self._running is None or (id_ is not None and self._running[0].id != id_):
                return False
            self._running[1].cancel()
            return True

    def close(self, seconds: float = 10) -> None:
        """Stop the running job, which goes back into the queue, and end."""
        self._closing.set()
        self.cancel()
        self._more.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def status(self, sid: str | None = None) -> Message:
        """How long the queue is; with the client's id, if it is to learn it."""
        remaining = self._store.count(("pending", "in_progress"))
        data = {"status": {"exec_info": {"queue_remaining": remaining}}}
        return Message("status", {**data, "sid": sid} if sid else data, sid, None if sid else "status")

    def _work(self) -> None:
        while not self._closing.is_set():
            self._more.clear()
            try:
                job = self._store.take()
                if job is None:
                    self._more.wait()
                else:
                    self._run(job)
            except Exception:  # a full disk, say: the server lives, and tries again when something happens
                _LOG.exception("a job could not be run")
                self._more.wait(1)

    def _run(self, job: Job) -> None:
        token = CancelToken()
        self._set((job, token, None))
        self._post([self.status()])
        last: list[Outgoing] = []
        try:
            last = self._narrated(job, token)
        finally:
            self._set(None)
            self._post([*last, self.status(), Message("executing", {"node": None, "prompt_id": job.id}, job.client)])

    def _narrated(self, job: Job, token: CancelToken) -> list[Outgoing]:
        """Run a job and keep what comes of it; returns the messages that tell its end."""
        try:
            with self._lock:
                asked = self._checked.pop(job.id, None)
            asked = asked or submission.read(self._store.request(job.id), self._session)
        except GlidewireError as problem:  # it was in order when it was queued: a file went, perhaps
            narration = Narration(job, Graph([]))
            said = [*narration.begin(), *narration.refused(problem)]
            return [*said, *self._keep(job, narration)]
        narration = Narration(job, asked.graph)
        self._set((job, token, narration))
        self._post(narration.begin())
        try:
            self._session.run(
                asked.graph,
                asked.targets,
                on_event=lambda event: self._post(narration.hear(event)),
                cancel=token,
                previews=job.client is not None,
                frames=job.client is not None,
            )
        except Exception as problem:
            if not isinstance(problem, GlidewireError):
                _LOG.exception("the run of job %s failed", job.id)
            self._post(narration.refused(problem))
        return self._keep(job, narration)

    def _keep(self, job: Job, narration: Narration) -> list[Outgoing]:
        status, outcome, last = narration.end()
        if status == "cancelled" and self._closing.is_set():
            self._store.put_back(job)
            return last
        while not self._closing.is_set():
            try:
                self._store.finish(job, status, outcome)
                break
            except sqlite3.Error as problem:  # a full disk takes no new jobs either: wait for room, lose nothing
                _LOG.error("what came of job %s cannot be kept yet: %s", job.id, problem)
                self._closing.wait(_RETRY_SECONDS)
        return last

    def _set(self, running: tuple[Job, CancelToken, Narration | None] | None) -> None:
        with self._lock:
            self._running = running
