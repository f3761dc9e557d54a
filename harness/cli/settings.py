"""From words on the command line, and the environment, to an order for the conductor. The only reader of the environment."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.typed import decoded

if TYPE_CHECKING:
    import datetime

    from harness.order import Order
    from harness.recipe.catalog import Shelf
    from harness.schema.bill import Rates as BillRates
    from harness.schema.machine import Machine
    from harness.schema.recipe import Recipe
    from harness.schema.workload import TraceRow

DEFAULT_RECIPE = "smollm2-135m-cpu"


def width() -> int:
    return shutil.get_terminal_size((100, 24)).columns


def results_root() -> Path:
    return Path(os.environ.get("HARNESS_RESULTS", "results"))


def engines_home() -> Path:
    """Where `make engines` puts engines and models."""
    return Path(os.environ.get("HARNESS_ENGINES", ".engines")).absolute()


def system_root() -> Path:
    """Where /proc and /sys of the machine lie that is read: elsewhere in a container that was given the host's."""
    return Path(os.environ.get("HARNESS_SYSTEM_ROOT", "/"))


def cache_folder() -> Path:
    """What can be had again, only slower: what engines said of their flags."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spark-harness"


def state_folder() -> Path:
    """What was agreed to be sent, and has not been."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "spark-harness" / "share"


def arena_token() -> Path:
    """What logs in to Spark Arena."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "spark-harness" / "spark-arena-token"


def offline() -> bool:
    from harness.offline import asked

    return asked(os.environ)


def user_recipes() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "spark-harness" / "recipes"


def registries_folder() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "spark-harness" / "registries"


def user_facts() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "spark-harness" / "facts"


def day(text: str | None) -> datetime.date:
    """That day, or today in UTC. Raises `UsageError`."""
    import datetime

    from harness import clock

    if text is None:
        return clock.utc_now().date()
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text}: not a day", "write it like 2026-11-23") from None


def recipe_folders() -> list[Path]:
    """Where recipes are looked up by name, the first hit wins: this project's, the user's, those that came with the package."""
    package = Path(__file__).parent.parent
    return [Path("recipes"), user_recipes(), package / "recipes", package.parent / "recipes"]


def shelves() -> list[Shelf]:
    from harness.library import registries

    return registries.shelves(registries_folder())


def recipe_path(name: str) -> Path:
    from harness.recipe import catalog

    return catalog.find(name, recipe_folders(), shelves())


def recipe(name: str) -> Recipe:
    from harness.recipe import load

    return load.load(recipe_path(name))


def machine() -> Machine:
    from harness.doctor import require_answer
    from harness.hosts.local import LocalHost
    from harness.probe import probe

    require_answer()
    return probe(LocalHost(system_root()), engines_home=engines_home(), env=dict(os.environ))


def order(
    name: str | Recipe | None,
    profile: str | None,
    set_: list[str] | None,
    *,
    depth: str | None = None,
    pp: str | None = None,
    tg: str | None = None,
    concurrency: str | None = None,
    rate: str | None = None,
    seconds: float | None = None,
    slo: str | None = None,
    trace: Path | None = None,
    runs: int | None = None,
    requests: int | None = None,
    seed: int = 0,
    pin: str | None = None,
    load_host: str | None = None,
    load_python: str | None = None,
    hosts: str | None = None,
    cluster: str | None = None,
    url: str | None = None,
    model: str | None = None,
    api_key_env: str | None = None,
    price: str | None = None,
    max_usd: float | None = None,
    plug: list[str] | None = None,
    plug_token_env: str | None = None,
    sense_host: list[str] | None = None,
    sense_python: str | None = None,
    memory_floor: str | None = None,
    drop_caches: bool = False,
    allow: list[str] | None = None,
    offline: bool = False,
    airtight: bool = False,
) -> Order:
    from harness import bench
    from harness import offline as without_network
    from harness.cli import machines
    from harness.order import Order
    from harness.recipe.docker import Terms
    from harness.recipe.resolve import GridOverrides
    from harness.schema.recipe import Recipe
    from harness.sense.plug import address as addresses
    from harness.sense.sources import Named

    if url is None:
        for option, given in (("--model", model), ("--api-key-env", api_key_env), ("--price", price), ("--max-usd", max_usd)):
            if given is not None:
                raise UsageError(f"{option} is for a server that already runs", "add --url http://…, or leave it out")
    elif hosts is not None or cluster is not None:
        raise UsageError("--hosts is for a server that is started, --url for one that already runs", "leave one out")
    grid = GridOverrides(
        depth=_numbers("--depth", depth),
        pp=_numbers("--pp", pp),
        tg=_numbers("--tg", tg),
        concurrency=_numbers("--concurrency", concurrency),
        rate=_rates(rate),
        seconds=seconds,
        slo=slo,
        trace=None if trace is None else _trace(trace),
        runs=runs,
        requests=requests,
    )
    for address in plug or ():
        addresses.parse(address)
    pairs = _pairs(set_ or [])
    if airtight:
        _be_alone(url=url, hosts=hosts or cluster, load_host=load_host, sense_host=sense_host or (), plug=plug or ())
    if offline := offline or airtight or without_network.asked(os.environ):
        _stay_here(url=url, load_host=load_host, sense_host=sense_host or (), plug=plug or ())
        pairs |= {} if url else {f"env.{name}": value for name, value in without_network.ENV.items()}
    if not isinstance(name, Recipe):
        name = bench.recipe_for_url(url) if url and name is None else recipe(name or DEFAULT_RECIPE)
    made = Order(
        recipe=name,
        machine=machine(),
        overrides=pairs,
        profile=profile,
        grid=grid,
        seed=seed,
        driver_cpus=_cpus(pin, here=load_host is None),
        driver_host=load_host,
        driver_python=load_python or "python3",
        nodes=machines.nodes(hosts, cluster),
        url=url,
        served_model=model,
        api_key=secret("--api-key-env", api_key_env),
        rates=_charged(price, url, model),
        cap_usd=max_usd,
        environment=dict(os.environ),
        named=Named(
            plugs=tuple(plug or ()),
            plug_token=secret("--plug-token-env", plug_token_env),
            hosts=tuple(sense_host or ()),
            python=sense_python or "python3",
        ),
        memory_floor_bytes=_floor(memory_floor),
        drop_caches=drop_caches,
        terms=Terms(allow=frozenset(key for words in allow or () for key in words.split(","))),
        system_root=system_root(),
        cache=cache_folder(),
        offline=offline,
    )
    if airtight and (launch := made.plan().launch) and launch.image is not None:
        raise UsageError(
            f"{made.recipe.name} runs in a container, and Docker gives that a network of its own: --airtight would not hold for it",
            "leave --airtight out: where the container is connected to is watched, and stored with the result",
        )
    return made


def _stay_here(*, url: str | None, load_host: str | None, sense_host: Sequence[str], plug: Sequence[str]) -> None:
    """Raises `UsageError` for what is asked for on another machine."""
    from harness.offline import is_here
    from harness.sense.plug.address import CSV, parse

    away = [f"--url {url}"] if url and not is_here(_host(url)) else []
    away += [f"--load-host {load_host}"] if load_host else []
    away += [f"--sense-host {host}" for host in sense_host]
    away += [f"--plug {address}" for address in plug if (meter := parse(address)).kind != CSV and not is_here(meter.host)]
    if away:
        raise UsageError(
            f"{away[0]}: that is another machine, and nothing leaves this one (--offline)", "leave one of the two out"
        )


def _be_alone(
    *, url: str | None, hosts: str | None, load_host: str | None, sense_host: Sequence[str], plug: Sequence[str]
) -> None:
    """Raises `UsageError` for what could not be reached without a network."""
    from harness.sense.plug.address import CSV, parse

    away = {"--url": url, "--hosts": hosts, "--load-host": load_host, "--sense-host": next(iter(sense_host), None)}
    away["--plug"] = next((address for address in plug if parse(address).kind != CSV), None)
    for option, given in away.items():
        if given:
            raise UsageError(
                f"{option} {given}: --airtight leaves the run no network but loopback of its own", "leave one of the two out"
            )


def _host(url: str) -> str | None:
    from urllib.parse import urlsplit

    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _numbers(option: str, text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{option} {text}: not a list of whole numbers", f"write it like {option} 1,4,16") from None


def _cpus(text: str | None, *, here: bool) -> tuple[int, ...] | None:
    if text is None:
        return None
    allowed = os.sched_getaffinity(0)
    cpus = () if text == "off" else _numbers("--pin", text) or ()
    if here and not set(cpus) <= allowed:
        raise UsageError(
            f"--pin {text}: this process may use cores {', '.join(map(str, sorted(allowed)))}", "choose among them, or off"
        )
    return cpus


def _rates(text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--rate {text}: not a list of numbers", "write it like --rate 0.5,1,2") from None


def _charged(price: str | None, url: str | None, model: str | None) -> BillRates | None:
    """By `--price`, else by the list price of what an https endpoint serves."""
    from harness.schema.bill import Rates
    from harness.spending import may_charge

    if price is None:
        return _listed(url, model) if url and model and may_charge(url) else None
    try:
        sent, got = (float(part) for part in price.split(","))
    except ValueError:
        sent = got = -1.0
    if not (0 <= sent < math.inf and 0 <= got < math.inf):
        raise UsageError(f"--price {price}: not two prices", "dollars per million tokens, input and output: --price 0.15,0.60")
    return Rates(usd_mtok_in=sent, usd_mtok_out=got, source="--price")


def _listed(url: str, model: str) -> BillRates | None:
    from harness import clock
    from harness.facts import prices
    from harness.schema.bill import Rates

    found = prices.most(url, model, clock.utc_now().date())
    if found is None or found.input_mtok.value is None or found.output_mtok.value is None:
        return None
    edition = prices.edition()
    return Rates(
        usd_mtok_in=found.input_mtok.value,
        usd_mtok_out=found.output_mtok.value,
        up_to_tokens=min((tier.above_tokens for tier in found.tiers.value or ()), default=None),
        source=f"the list of {found.provider} in genai-prices {edition.version} of {edition.date}",
    )


def _trace(path: Path) -> tuple[TraceRow, ...]:
    import msgspec

    from harness.schema.workload import TraceRow

    hint = 'each line must be like {"offset_s": 1.5, "prompt_tokens": 512, "output_tokens": 128}'
    rows = []
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UsageError(f"--trace {path}: {error.strerror}", "name a JSONL file of requests") from None
    for number, line in enumerate(lines, 1):
        try:
            row = decoded(line, TraceRow) if line.strip() else None
        except msgspec.MsgspecError as error:
            raise UsageError(f"{path}:{number}: {error}", hint) from None
        if row is not None and (row.offset_s < 0 or min(row.prompt_tokens, row.output_tokens) < 1):
            raise UsageError(f"{path}:{number}: a time before the start, or no tokens", hint)
        rows += [row] if row is not None else []
    if not rows:
        raise UsageError(f"--trace {path}: it has no requests", hint)
    return tuple(rows)


def _pairs(words: list[str]) -> dict[str, str]:
    pairs = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {word}: not of the form KEY=VALUE", "write it like --set max_model_len=8192")
        pairs[key] = value
    return pairs


def secret(option: str, variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable)
    if not key:
        raise UsageError(f"{option} {variable}: that variable is not set", f"export {variable}=…, then run it again")
    return key


def _floor(text: str | None) -> int | None:
    if text is None or text == "off":
        return None if text is None else 0
    try:
        floor = float(text)
    except ValueError:
        floor = -1.0
    if not 0 < floor < math.inf:
        raise UsageError(f"--memory-floor {text}: not a size in GiB", "write it like --memory-floor 8, or off")
    return round(floor * 2**30)
