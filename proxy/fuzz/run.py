"""Open and close the parts of a search by its options."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from proxy.contract import divergences
from proxy.contract.divergences import Divergence
from proxy.contract.reading import load as load_contract
from proxy.fuzz.contract_cases import case_strategies, read_schema
from proxy.fuzz.dictionary import Dictionary
from proxy.fuzz.differential import Differential
from proxy.fuzz.options import FuzzBackend, FuzzOptions
from proxy.fuzz.plugin import Plugin, load_plugin
from proxy.fuzz.search import Finding, Search
from proxy.fuzz.sources import Sources
from proxy.recordings import model
from proxy.recordings.model import Recordings
from proxy.recordings.player import PlayerSettings


@contextlib.contextmanager
def open_search(
    legacy: FuzzBackend,
    native: FuzzBackend,
    options: FuzzOptions,
    on_execution: Callable[[Search], None],
    on_finding: Callable[[Search, Finding], None],
) -> Iterator[Search]:
    """Open a search between two running backends; the time counts from here.

    Raises `ContractError`, `DivergenceError`, `RecordingError`, `PluginError` and `SideEffectsError`.
    """
    contract_file = options.contracts / "openapi.yaml"
    contract = load_contract(contract_file)
    schema = read_schema(contract_file)
    plugin = load_plugin(options.plugin) if options.plugin else Plugin()
    sources = Sources(case_strategies(schema), Dictionary.learn(_recordings(options)), plugin)
    settings = PlayerSettings(hang_after=2 * options.hang_after, divergences=_declared(options), strict=options.strict)
    with asyncio.Runner() as runner:
        opened = Differential.between(legacy, native, settings, hang_after=options.hang_after)
        differential = runner.run(opened.__aenter__())
        try:
            runner.run(differential.run({}, []))  # checks that both databases and lists of calls are usable
            search = Search(runner, differential, contract, schema, sources, time.monotonic() + options.seconds)
            search.max_executions = options.max_sequences
            search.on_execution = lambda: on_execution(search)
            search.on_finding = lambda finding: on_finding(search, finding)
            yield search
        finally:
            runner.run(opened.__aexit__(None, None, None))


def _recordings(options: FuzzOptions) -> Recordings:
    directory = options.recordings or options.contracts / "recordings"
    return model.load(directory) if options.recordings or directory.is_dir() else Recordings()


def _declared(options: FuzzOptions) -> tuple[Divergence, ...]:
    own = options.contracts / "divergences.yaml"
    files: list[Path] = [*([own] if own.is_file() else []), *options.divergences]
    return tuple(one for file in files for one in divergences.load(file))
