"""Threads of our own: those for work that mail must not wait for stand behind the others."""

from __future__ import annotations

import os
import threading

from jetmail.interfaces import IExecutor
from jetmail.offload import NICE, PatientExecutor, ThreadExecutor


def test_patient_threads_are_below_the_others() -> None:
    """Their first work lowers them, once, and nobody else."""
    patient = PatientExecutor(None, 1)
    found: list[int] = []
    priority = lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())  # noqa: E731
    before = priority()
    thread = threading.Thread(target=lambda: found.extend(patient._thd_run(priority) for _ in range(2)))
    thread.start()
    thread.join(10)
    assert found == [NICE, NICE]
    assert priority() == before


def test_interfaces() -> None:
    """Both are what rooms ask for."""
    executor = ThreadExecutor(None)
    assert IExecutor.providedBy(executor) and IExecutor.providedBy(executor.patient)
