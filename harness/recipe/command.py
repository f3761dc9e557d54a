"""A recipe's command line as it will be run: rendered, split, bound to loopback, its program and model found on this
machine. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from harness.engines import embedded, flags
from harness.errors import RecipeError, UsageError
from harness.recipe import render
from harness.recipe.document import Document, Where
from harness.schema.machine import Machine
from harness.schema.recipe import Recipe

LOOPBACK = "127.0.0.1"
CLOSED = (LOOPBACK, "localhost", "::1")
"""Addresses that only this machine can ask; any other is kept off, unless the user asks for it."""
EVERYWHERE = ("0.0.0.0", "::", "*")  # noqa: S104

OUR_OWN = ("embedded", "paced")
"""Engines that are modules of ours: the recipe's program word stands for `python -m harness.engines.NAME`."""

PROGRAMS = {"vllm": ("vllm", "vllm."), "sglang": ("sglang", "sglang."), "llamacpp": ("llama-server", "llama_cpp.")}
"""An engine's program, and the beginning of its Python modules' names."""

NO_PROGRAM = "serve"
"""Some leave out the program before it, as it is the entry point of their image."""
SAY_THE_PROGRAM = "write it whole: vllm serve …"

DEFAULT_PORTS = {"vllm": 8000, "sglang": 30000, "llamacpp": 8080, "embedded": embedded.PORT, "paced": 8000}
NAME_FLAGS = {"vllm": "--served-model-name", "sglang": "--served-model-name", "llamacpp": "--alias", "embedded": "--alias"}


class Command(msgspec.Struct, frozen=True, kw_only=True):
    argv: tuple[str, ...]
    served_model: str
    host: str
    port: int
    words: tuple[str, ...]
    """`argv`, or what the shell will run, word by word: to read flags from."""
    own_program: bool
    """It starts the engine's own program, and not some script."""
    notes: tuple[str, ...]


def build(recipe: Recipe, machine: Machine, engine: str, *, docker: bool, overridden: Collection[str]) -> Command:
    """Raises `RecipeError` where the command cannot be made whole, `UsageError` for a --set value that cannot be."""
    line = _Line(recipe, engine, overridden)
    host, port, served = line.host(), line.port(), line.served()
    argv = line.argv
    if line.own and not docker:
        if local := _local_model(recipe.model, machine):
            served = served or line.name_it(recipe.model)
            argv = _with_model(argv, recipe.model, local)
            line.notes.append(f"{recipe.model} is {local} here.")
        elif not set("/~") & set(recipe.model):
            line.notes.append(f"{recipe.model} is not among this machine's models, so the engine will look for it itself.")
        argv = _program(argv, engine, machine)
    return Command(
        argv=tuple(argv),
        words=tuple(line.words),
        served_model=served or recipe.model,
        host=host,
        port=port,
        own_program=line.own,
        notes=tuple(line.notes),
    )


class _Line:
    """A command line while it is being put right; only the engine's own line is changed, never somebody's script."""

    def __init__(self, recipe: Recipe, engine: str, overridden: Collection[str]) -> None:
        self.recipe, self.engine, self.overridden = recipe, engine, overridden
        self.notes: list[str] = []
        self.values = render.namespace(recipe)
        self.used = render.used(recipe)
        if "host" in self.used - set(overridden) and str(self.values.get("host", LOOPBACK)) not in CLOSED:
            self._bind(str(self.values["host"]))
            self.values["host"] = LOOPBACK
        text = render.command(recipe, self.values)
        words = render.words(text)
        if words and words[0] == NO_PROGRAM:
            raise self._error(("command",), f"the command begins with '{NO_PROGRAM}', which is no program", SAY_THE_PROGRAM)
        self.own = words is not None and starts(words, engine)
        if words is not None:
            self.argv = self.words = words
            return
        self.notes.append("The command needs a shell, so it runs as bash -c.")
        self.argv, split = ["bash", "-c", text], render.shell_words(text)
        if split is None:
            raise self._error(("command",), "a quote in the command is never closed", "close it, or put a backslash before it")
        self.words = split

    def host(self) -> str:
        """The address the server binds to."""
        given, literal = self.values.get("host"), flags.value(self.words, "--host")
        if "host" in self.overridden:
            if "host" not in self.used:
                self._put("--host", str(given), "host")
        elif literal in CLOSED or (literal is None and not self._open_untold()):
            pass
        elif not self.own:
            self.notes.append(f"The command binds {literal or EVERYWHERE[0]}: other machines can reach the server.")
        else:
            self._put("--host", LOOPBACK, "host")
            self._bind(literal or EVERYWHERE[0])
        return flags.value(self.words, "--host") or str(given or LOOPBACK)

    def _open_untold(self) -> bool:
        """Whether a server that is told no address binds to all: vLLM does, and llama.cpp's server images set LLAMA_ARG_HOST so."""
        in_image = self.recipe.container is not None or "LLAMA_ARG_HOST" in self.recipe.env
        return self.engine == "vllm" or (self.engine == "llamacpp" and in_image)

    def port(self) -> int:
        given, literal = self.values.get("port"), flags.value(self.words, "--port")
        if given is None and literal is None and self.engine == "paced":
            given = DEFAULT_PORTS["paced"]  # it would take any
        if given is not None:
            given = self._number(given, ("defaults", "port"))
            if "port" not in self.used and ("port" in self.overridden or (literal is None and self.own)):
                self._put("--port", str(given), "port")
        return self._number(flags.value(self.words, "--port") or given or DEFAULT_PORTS.get(self.engine, 8000), ("command",))

    def served(self) -> str | None:
        """The name in the line; a default that the line does not use is added to it, as sparkrun adds it."""
        given, literal = self.values.get("served_model_name"), flags.value(self.words, "--served-model-name", "--alias", "-a")
        asked = "served_model_name" in self.overridden
        if given is None or "served_model_name" in self.used or (not asked and (literal or not self.own)):
            return literal
        return self.name_it(str(given))

    def name_it(self, name: str) -> str:
        if self.engine != "paced":  # it answers to any name
            self._put(NAME_FLAGS.get(self.engine, "--served-model-name"), name, "served_model_name")
        return name

    def _put(self, flag: str, value: str, key: str) -> None:
        """Sets a flag in place, or adds it."""
        if not self.own:
            message = (
                f"the command is not {self.engine}'s own and does not use {{{key}}}, so {key} {value} would change nothing"
            )
            raise self._error(("command",), message, f"put {{{key}}} into the command")
        told = False
        for at, word in enumerate(self.argv):  # all of them, since the last one counts
            if word == flag and at + 1 < len(self.argv):
                self.argv[at + 1], told = value, True
            elif word.startswith(f"{flag}="):
                self.argv[at], told = f"{flag}={value}", True
        if not told:
            self.argv += [flag, value]

    def _number(self, value: object, where: Where) -> int:
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536:
            return value
        if where == ("command",):
            raise self._error(where, f"--port {value} is not a port", "write a number, or {port} with defaults: {port: 8000}")
        hint = "write a number from 1 to 65535"
        if "port" in self.overridden:
            raise UsageError(f"--set port={value}: not a port", hint)
        raise self._error(where, f"port {value} is not a port", hint)

    def _error(self, where: Where, message: str, hint: str) -> RecipeError:
        return Document(self.recipe.text, self.recipe.path).error(where, message, hint)

    def _bind(self, instead_of: str) -> None:
        opened = f"--set host={instead_of} opens it"
        self.notes.append(f"It binds {LOOPBACK} instead of {instead_of}: only this machine can ask it; {opened}.")


def starts(argv: Sequence[str], engine: str) -> bool:
    """Whether the command line starts this engine's own program (`vllm …`, `python3 -m vllm.…`)."""
    if not argv:
        return False
    name = argv[0].rpartition("/")[2]
    if engine in OUR_OWN:
        return name in (engine, "llama-server")
    program, module = PROGRAMS.get(engine, (engine, f"{engine}."))
    return name == program or (name.startswith("python") and len(argv) > 2 and argv[1] == "-m" and argv[2].startswith(module))


def _local_model(model: str, machine: Machine) -> str | None:
    """The path of a model that `make engines` or a wheel brought; names do not differ by case alone."""
    return next((path for name, path in machine.models.items() if name.casefold() == model.casefold()), None)


def _with_model(argv: Sequence[str], model: str, path: str) -> list[str]:
    """The model's id becomes its path, except where it is the name to serve it under."""
    done = []
    for before, word in zip(("", *argv), argv, strict=False):
        flag, equals, value = word.rpartition("=") if word.startswith("--") else ("", "", word)
        ours = (value == model or value.startswith(f"{model}/")) and (flag or before) not in NAME_FLAGS.values()
        done.append(flag + equals + path + value[len(model) :] if ours else word)
    return done


def _program(argv: list[str], engine: str, machine: Machine) -> list[str]:
    """Our own engines run on our own Python; others from the folder where they were found."""
    if engine in OUR_OWN:
        return [machine.python or "python3", "-m", f"harness.engines.{engine}", *argv[1:]]
    folder = machine.engines.get(engine)
    return [f"{folder}/{argv[0]}", *argv[1:]] if folder and "/" not in argv[0] else argv
