"""What Faust's group leader says when workers come and go: our sharing in place of Faust's own.

Faust's leaves every second partition of a lost worker to one that has no copy of it, where three or more are left
or were there (measured over 20,000 groups drawn), and gives a third worker nothing of four partitions.
"""

from __future__ import annotations

from aiokafka.cluster import ClusterMetadata
from faust.assignor import PartitionAssignor
from faust.assignor.client_assignment import ClientAssignment
from faust.assignor.partition_assignor import MemberAssignmentMapping, MemberMetadataMapping
from faust.types.app import AppT

from pipeline.sharing import Share, is_even, shared


class Assignor(PartitionAssignor):
    """Faust's assignor, which speaks with the group as before, and shares as pipeline.sharing says.

    Attributes:
        partitions: of the topics that were looked at when the worker started, how many each has. A broker that has just
            come back knows of no topic for a moment; told by it, a leader shared out nothing, and asked again after
            five minutes (seen after one restart in thirty).
    """

    def __init__(self, app: AppT, replicas: int = 0) -> None:
        super().__init__(app, replicas)
        self.partitions: dict[str, int] = {}

    @property
    def left_uneven(self) -> bool:
        """Tell whether this worker leads the group, and what it shared out last is not even, for want of warm copies.

        Kafka gives a worker with WORKER_INSTANCE_ID that restarts what it was told last, and asks nobody to share. So
        the leader says it with the shares, and knows it after a restart too.
        """
        return self._mark in self._topic_groups

    @property
    def _mark(self) -> str:
        # Goes where Faust keeps a number by topic, and asks for those of its topics only: no topic is named so, and
        # a worker that does not know it passes it over. Whose it is, for all are told the same.
        return f"left uneven by {self._url}"

    def _perform_assignment(
        self, cluster: ClusterMetadata, member_metadata: MemberMetadataMapping
    ) -> MemberAssignmentMapping:
        told = {member: self._get_client_metadata(metadata) for member, metadata in member_metadata.items()}
        self._update_member_urls(told)
        topics = sorted({topic for metadata in member_metadata.values() for topic in metadata.subscription})
        given = {member: ClientAssignment(actives={}, standbys={}) for member in told}
        groups = dict.fromkeys(topics, 0)
        for topic in topics:
            before = {
                member: Share(set(said.assignment.actives.get(topic, ())), set(said.assignment.standbys.get(topic, ())))
                for member, said in told.items()
            }
            partitions = len(cluster.partitions_for_topic(topic) or ()) or self.partitions.get(topic, 0)
            after = shared(before, partitions, self.replicas)
            if not is_even(after):
                groups[self._mark] = 1
            for member, share in after.items():
                given[member].actives[topic] = sorted(share.counts)
                given[member].standbys[topic] = sorted(share.copies)
        return self._protocol_assignments(given, {}, {}, groups)
