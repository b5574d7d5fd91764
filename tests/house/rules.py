"""The house rules that a machine can see: each takes sources and returns complaints, one line each."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator, Mapping

FILE_LINES = 300
FUNCTION_LINES = 40
SAYING_NOTHING = {"util", "utils", "helper", "helpers", "common", "manager", "misc", "base", "stuff", "tools"}

# What each room may import of the others: whole modules, or a package and all in it (ending with a dot).
MAY_IMPORT = {
    "ingest": ("ingest.",),
    "pipeline": ("pipeline.", "ingest.wire", "ingest.beacon", "ingest.tracing", "ingest.logs"),
    "deploy": ("deploy.", "ingest.", "pipeline."),
}
ROOMS = (*MAY_IMPORT, "tests")

# Files that decide: no I/O, no clock, no chance, no environment; what they need comes in as values.
PURE = (
    "deploy/grafana/panels.py",
    "deploy/players/requests.py",
    "deploy/players/tally.py",
    "deploy/players/viewer.py",
    "ingest/address.py",
    "ingest/answers.py",
    "ingest/beacon.py",
    "ingest/circuit.py",
    "ingest/frames.py",
    "ingest/packer.py",
    "ingest/wire.py",
    "pipeline/batch.py",
    "pipeline/catalog.py",
    "pipeline/commands/clickhouse.py",
    "pipeline/commands/known.py",
    "pipeline/commands/letters.py",
    "pipeline/commands/notes.py",
    "pipeline/commands/warehouse.py",
    "pipeline/deadletter.py",
    "pipeline/dimensions.py",
    "pipeline/enrich/agent.py",
    "pipeline/enrich/beacons_own.py",
    "pipeline/enrich/ks.py",
    "pipeline/enrich/referrer.py",
    "pipeline/enrich/users.py",
    "pipeline/amounts.py",
    "pipeline/event.py",
    "pipeline/forms.py",
    "pipeline/firsts.py",
    "pipeline/identity.py",
    "pipeline/kinds.py",
    "pipeline/looks.py",
    "pipeline/original_sets.py",
    "pipeline/parameters.py",
    "pipeline/report/accept.py",
    "pipeline/report/answer.py",
    "pipeline/report/auth.py",
    "pipeline/report/behind.py",
    "pipeline/report/cell.py",
    "pipeline/report/counted.py",
    "pipeline/report/cover.py",
    "pipeline/report/distinct.py",
    "pipeline/report/docs.py",
    "pipeline/report/headers.py",
    "pipeline/report/hourly.py",
    "pipeline/report/limits.py",
    "pipeline/report/moment.py",
    "pipeline/report/offer.py",
    "pipeline/report/openapi.py",
    "pipeline/report/original.py",
    "pipeline/report/original_window.py",
    "pipeline/report/original_words.py",
    "pipeline/report/pieces.py",
    "pipeline/report/problem.py",
    "pipeline/report/query.py",
    "pipeline/report/querystring.py",
    "pipeline/report/record.py",
    "pipeline/report/revisions.py",
    "pipeline/report/schema.py",
    "pipeline/report/session.py",
    "pipeline/report/shapes.py",
    "pipeline/report/slots.py",
    "pipeline/report/sql.py",
    "pipeline/report/words.py",
    "pipeline/report/writer.py",
    "pipeline/sessions.py",
    "pipeline/sharing.py",
    "pipeline/sketch.py",
    "pipeline/tail.py",
    "pipeline/viewers.py",
    "pipeline/windows.py",
)
ACTS = {
    "aiohttp",
    "aiokafka",
    "asyncio",
    "confluent_kafka",
    "faust",
    "fcntl",
    "http",
    "io",
    "kafka",
    "logging",
    "mmap",
    "mode",
    "multiprocessing",
    "os",
    "pathlib",
    "prometheus_client",
    "pydantic_settings",
    "queue",
    "random",
    "rocksdict",
    "secrets",
    "select",
    "shutil",
    "signal",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "sys",
    "tempfile",
    "threading",
    "time",
    "urllib.request",
    "uuid",
    "uvloop",
    "warnings",
}
ACTING_CALLS = {"open", "print", "input", "now", "utcnow", "today", "getenv"}
LEFT_OPEN = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b|mark\.(skip|skipif|xfail)\b|pytest\.(skip|xfail)\(")
SLEEPS = re.compile(r"\btime\.sleep\(")
# Before Python 3.12 it can swallow the cancellation of who waits; asyncio.timeout does not.
SWALLOWS_THE_END = re.compile(r"\basyncio\.wait_for\b|\bfrom asyncio import .*\bwait_for\b")
HOMES = re.compile(r"(?<![\w.-])/(home|root|Users)/\w")
TEST_NAMED = re.compile(r"(tests/[\w/.-]+?\.py)(?:::(\w+))?")

Sources = Mapping[str, str]


@functools.cache
def parsed(source: str) -> ast.Module:
    """Return a file's syntax tree; every rule asks for the same ones."""
    return ast.parse(source)


def imports(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and full name of everything that a file imports, inside functions too."""
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def upstream_only(sources: Sources) -> list[str]:
    """Rooms import only what lies upstream of them."""
    complaints = []
    for path, source in sources.items():
        room = path.partition("/")[0]
        for line, name in imports(source):
            if name.startswith("."):
                complaints.append(f"{path}:{line} imports {name}: write the full name")
            elif name.partition(".")[0] in ROOMS and room in MAY_IMPORT and not _allowed(room, name):
                complaints.append(f"{path}:{line} imports {name}: {room} may not")
    return complaints


def _allowed(room: str, name: str) -> bool:
    """Tell whether a room may import this; `ingest.wire` allows `ingest.wire.decode` too."""
    return any((name + ".").startswith(allowed.rstrip(".") + ".") for allowed in MAY_IMPORT[room])


def pure_files_do_not_act(sources: Sources) -> list[str]:
    """Pure files import nothing that acts, import only pure files of ours, and call no clock and no file."""
    complaints = [f"{path} is listed as pure and does not exist" for path in PURE if path not in sources]
    modules = {path.removesuffix(".py").replace("/", ".") for path in PURE}
    for path in PURE:
        tree = parsed(sources.get(path, ""))
        for line, name in imports(sources.get(path, "")):
            if any((name + ".").startswith(acting + ".") for acting in ACTS):
                complaints.append(f"{path}:{line} imports {name}, which acts")
            elif name.partition(".")[0] in ROOMS and not {name, name.rpartition(".")[0]} & modules:
                complaints.append(f"{path}:{line} imports {name}, which is not pure")
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        complaints += [
            f"{path}:{call.lineno} calls {_called(call)}()" for call in calls if _called(call) in ACTING_CALLS
        ]
    return complaints


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def short_files(sources: Sources) -> list[str]:
    """Files fit on a few screens."""
    return [
        f"{path} has {lines} lines, {FILE_LINES} at most"
        for path, source in sources.items()
        if (lines := len(source.splitlines())) > FILE_LINES
    ]


def short_functions(sources: Sources) -> list[str]:
    """Functions of the code fit on one screen, their docstring not counted."""
    complaints = []
    for path, source in sources.items():
        if path.startswith("tests/"):
            continue
        for node in ast.walk(parsed(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                said = node.body[0].end_lineno if ast.get_docstring(node) else node.lineno
                lines = (node.end_lineno or 0) - (said or 0)
                if lines > FUNCTION_LINES:
                    complaints.append(f"{path}:{node.lineno} {node.name} has {lines} lines, {FUNCTION_LINES} at most")
    return complaints


def telling_names(sources: Sources) -> list[str]:
    """A file's name says what lives there."""
    return [
        f"{path}: the name {part} says nothing"
        for path in sources
        for part in path.removesuffix(".py").split("/")
        if SAYING_NOTHING & set(part.split("_"))
    ]


def first_sentence(sources: Sources) -> list[str]:
    """Each file begins with the one sentence that says what it is."""
    complaints = []
    for path, source in sources.items():
        said = ast.get_docstring(parsed(source)) or ""
        if source.strip() and not (source.startswith('"""') or source.startswith('r"""')):
            complaints.append(f"{path} does not begin with its sentence")
        elif source.strip() and not said.partition("\n\n")[0].rstrip().endswith((".", ":", "?")):
            complaints.append(f"{path}: its first sentence has no end")
    return complaints


def nothing_left_open(sources: Sources) -> list[str]:
    """No unfinished work, no test passed over, no home directory; no waiting by the clock, no lost cancellation."""
    complaints = []
    for path, source in sources.items():
        if path.startswith("tests/house/"):
            continue
        waits = [SLEEPS] * (not path.startswith("tests/load/")) if path.startswith("tests/") else [SWALLOWS_THE_END]
        patterns = (LEFT_OPEN, HOMES, *waits)
        for number, line in enumerate(source.splitlines(), 1):
            complaints += [f"{path}:{number} {found.group()}" for one in patterns if (found := one.search(line))]
    return complaints


def nothing_swallowed(sources: Sources) -> list[str]:
    """Who catches everything does something about it."""
    complaints = []
    for path, source in sources.items():
        for node in ast.walk(parsed(source)):
            if not isinstance(node, ast.ExceptHandler):
                continue
            acts = any(isinstance(inner, ast.Raise | ast.Call) for part in node.body for inner in ast.walk(part))
            if _catches_everything(node.type) and not acts:
                complaints.append(f"{path}:{node.lineno} swallows every exception")
    return complaints


def _catches_everything(caught: ast.expr | None) -> bool:
    return caught is None or (isinstance(caught, ast.Name) and caught.id in ("Exception", "BaseException"))


def guarantees_are_proven(readme: str, sources: Sources) -> list[str]:
    """Each line of README's guarantees names a test that exists; so does every other test it names."""
    complaints = []
    for path, test in TEST_NAMED.findall(readme):
        if path not in sources:
            complaints.append(f"README names {path}, which does not exist")
        elif test and f"def {test}(" not in sources[path]:
            complaints.append(f"README names {path}::{test}, which does not exist")
    promises = list(_promises(readme))
    if not promises:
        complaints.append("README guarantees nothing")
    return complaints + [f"no test proves: {line}" for line in promises if not TEST_NAMED.search(line)]


def _promises(readme: str) -> Iterator[str]:
    """Yield the bullets and table rows of the section whose heading speaks of guarantees."""
    inside = False
    for line in readme.splitlines():
        if line.startswith("#"):
            inside = "guarante" in line.lower()
        elif inside and line.startswith(("|", "- ")) and not re.match(r"\|[\s:|-]+\|$", line):
            yield line
