"""Every fault that a run draws from, by its place in the matrix."""

from __future__ import annotations

from tests.chaos.faults import broker, disk, network, processes, surroundings
from tests.chaos.faults.fault import Fault

FAULTS: tuple[type[Fault], ...] = (
    processes.IngestKilled,
    processes.IngestStopped,
    processes.IngestFrozen,
    broker.BrokerKilled,
    broker.BrokerFrozen,
    broker.BrokerRestarted,
    network.CutOff,
    network.AnswersDropped,
    network.Resets,
    network.Loss,
    network.LateTransaction,
    processes.WorkerKilled,
    processes.WorkerFrozen,
    disk.StateFlipped,
    disk.SpoolFull,
    disk.SyncFails,
    disk.SlowDisk,
    disk.KilledAtSync,
    disk.BrokerDiskFull,
    surroundings.ClockJumps,
    surroundings.MemoryLimit,
    surroundings.NoDescriptors,
    processes.RebalanceStorm,
    surroundings.Poison,
    surroundings.BrokenKeys,
    processes.ReportKilled,
)
