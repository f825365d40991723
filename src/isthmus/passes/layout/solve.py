"""The solver of a layout problem: a minimum cut, so that the bytes transposed are the fewest possible."""

from __future__ import annotations

from collections import deque

from isthmus.passes.layout.problem import LAST, SOURCE, Problem

_ENDLESS = 1 << 62


def solve(problem: Problem) -> list[bool]:
    """For each choice, whether it is channels last. Of equal solutions the one with the fewest such choices.

    A link costs once if its maker has one layout and any of its users the other, however many they are: two
    vertices a link express that, one for each direction.
    """
    net = _Net(problem.choices + 2 * len(problem.links))
    spare = problem.choices
    for link in problem.links:
        to_source, to_last = spare, spare + 1
        spare += 2
        net.edge(link.maker, to_source, link.cost)
        net.edge(to_last, link.maker, link.cost)
        for user in link.users:
            net.edge(to_source, user, _ENDLESS)
            net.edge(user, to_last, _ENDLESS)
    net.saturate(LAST, SOURCE)
    reached = net.levels(LAST)
    return [level >= 0 for level in reached[: problem.choices]]


class _Net:
    """A flow network with Dinic's algorithm, without recursion."""

    def __init__(self, vertices: int) -> None:
        self._out: list[list[int]] = [[] for _ in range(vertices)]
        self._head: list[int] = []
        self._room: list[int] = []

    def edge(self, tail: int, head: int, room: int) -> None:
        for vertex, other, capacity in ((tail, head, room), (head, tail, 0)):
            self._out[vertex].append(len(self._head))
            self._head.append(other)
            self._room.append(capacity)

    def levels(self, source: int) -> list[int]:
        """Distance from ``source`` along edges with room; -1 where there is no way."""
        level = [-1] * len(self._out)
        level[source] = 0
        queue = deque([source])
        while queue:
            vertex = queue.popleft()
            for edge in self._out[vertex]:
                head = self._head[edge]
                if self._room[edge] and level[head] < 0:
                    level[head] = level[vertex] + 1
                    queue.append(head)
        return level

    def saturate(self, source: int, sink: int) -> None:
        """Send as much flow as there can be."""
        while (level := self.levels(source))[sink] >= 0:
            untried = [0] * len(self._out)
            path: list[int] = []
            vertex = source
            while True:
                if vertex == sink:
                    vertex = self._augment(path, source)
                elif (edge := self._onward(vertex, level, untried)) is not None:
                    path.append(edge)
                    vertex = self._head[edge]
                elif vertex == source:
                    break
                else:
                    vertex = self._head[path.pop() ^ 1]
                    untried[vertex] += 1

    def _onward(self, vertex: int, level: list[int], untried: list[int]) -> int | None:
        """The first edge with room to the next level, those known to lead nowhere skipped for good."""
        edges = self._out[vertex]
        while untried[vertex] < len(edges):
            edge = edges[untried[vertex]]
            if self._room[edge] and level[self._head[edge]] == level[vertex] + 1:
                return edge
            untried[vertex] += 1
        return None

    def _augment(self, path: list[int], source: int) -> int:
        """Fill a path to the sink; cut it back to before its first full edge and return where it then ends."""
        flow = min(self._room[edge] for edge in path)
        for edge in path:
            self._room[edge] -= flow
            self._room[edge ^ 1] += flow
        del path[next(i for i, edge in enumerate(path) if not self._room[edge]) :]
        return self._head[path[-1]] if path else source
