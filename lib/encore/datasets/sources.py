"""Makes the files of a data set local and verified.

A file is looked up in `$ENCORE_DATA/<id>/`, in `shared/data/<id>/` beside the checkout, and in the user's cache (`$ENCORE_CACHE`, else the
platform's place); then it is fetched from its source into the cache. Its sha256 is checked on every use, for a file of more than 50 MB
once per (path, size, modification time). While the press runs a page (`ENCORE_QUIET` is set) nothing is fetched.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path

from encore import offline, paths
from encore.datasets.catalogue import DatasetError, Entry, File, Wheel

BIG = 50_000_000  # bytes; above it a verification is remembered


def local(entry: Entry) -> dict[str, Path]:
    """Name -> verified path for every file of a data set. Raises DatasetError for a wrong hash or a file that cannot be had."""
    return {file.name: _find(entry, file) or _obtain(entry, file) for file in entry.files}


def cache_folder() -> Path:
    """Where fetched files are kept: `$ENCORE_CACHE`, else the platform's cache folder for "encore"."""
    if folder := os.environ.get("ENCORE_CACHE"):
        return Path(folder)
    import pooch

    return Path(pooch.os_cache("encore"))


def _places() -> list[Path]:
    given = os.environ.get("ENCORE_DATA")
    return [*([Path(given)] if given else []), paths.root().parent / "shared" / "data", cache_folder()]


def _find(entry: Entry, file: File) -> Path | None:
    for place in _places():
        path = place / entry.id / file.name
        if path.is_file():
            actual = _sha256(path)
            if actual != file.sha256:
                raise DatasetError(
                    f"{path} is not the {file.name} of data set {entry.id!r}: sha256 {actual}, expected {file.sha256}. "
                    f"Delete it; it will be fetched again from {file.source.origin}"
                )
            return path
    return None


def _obtain(entry: Entry, file: File) -> Path:
    if file.source.kind == "package":
        return _installed(entry, file)
    if os.environ.get("ENCORE_QUIET"):
        raise DatasetError(
            f"{entry.id}: {file.name} is not on this machine, and a running page fetches nothing; run `press fetch {entry.id}` first"
        )
    url = _bundle_url(entry, file) if file.source.kind == "bundle" else getattr(file.source, "url", None)
    print(f"Fetching {entry.id}/{file.name} ({file.bytes / 1e6:.1f} MB) from {url or file.source.origin}", file=sys.stderr)
    with offline.allowed():
        return _from_address(entry, file, url) if url else _from_wheel(entry, file)


def _by_hand(entry: Entry, file: File) -> str:
    return f"or put the file (sha256 {file.sha256}) at $ENCORE_DATA/{entry.id}/{file.name}"


def _installed(entry: Entry, file: File) -> Path:
    package = file.source.package
    try:
        path = Path(metadata.distribution(package).locate_file(file.source.member))
    except metadata.PackageNotFoundError:
        raise DatasetError(f"{entry.id}: {file.name} belongs to the package {package}, which is not installed; run `make setup`") from None
    if not path.is_file() or (actual := _sha256(path)) != file.sha256:
        found = f"has sha256 {actual}, expected {file.sha256}" if path.is_file() else "is missing"
        raise DatasetError(
            f"{entry.id}: {path} {found}; {package} {metadata.version(package)} is installed: install the version of requirements.lock "
            f"(`make setup`), {_by_hand(entry, file)}"
        )
    return path


def _from_wheel(entry: Entry, file: File) -> Path:
    """Download the wheel once and keep all the files that this data set takes from it."""
    wheel: Wheel = file.source
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
        if wheel.platform:
            command += ["--platform", wheel.platform, "--python-version", "3.11", "--implementation", "cp"]
        done = subprocess.run([*command, "--dest", folder, wheel.requirement], capture_output=True, text=True)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            reason = (done.stderr.strip().splitlines() or ["no wheel came back"])[-1]
            raise DatasetError(
                f"{entry.id}: {file.name} could not be fetched: `pip download --no-deps {wheel.requirement}` failed ({reason}). "
                f"Check the connection and pip's index, {_by_hand(entry, file)}"
            )
        if (actual := _sha256(wheels[0])) != wheel.wheel_sha256:
            raise DatasetError(
                f"{entry.id}: the wheel {wheels[0].name} has sha256 {actual}, expected {wheel.wheel_sha256}; nothing was kept. "
                f"Check pip's index, {_by_hand(entry, file)}"
            )
        with zipfile.ZipFile(wheels[0]) as archive:
            for f in entry.files:
                if f.source.kind == "wheel" and f.source.requirement == wheel.requirement:
                    try:
                        content = archive.read(f.source.member)
                    except KeyError:
                        missing = f"{wheels[0].name} has no member {f.source.member}"
                        raise DatasetError(f"{entry.id}: {missing}; correct data/datasets.yml") from None
                    _keep(entry, f, content)
    return cache_folder() / entry.id / file.name


def _bundle_url(entry: Entry, file: File) -> str:
    base = os.environ.get("ENCORE_DATA_URL")
    if not base:
        raise DatasetError(
            f"{entry.id}: {file.name} is a derived file of the data bundle, made from {file.source.made_from} ({file.source.made}). "
            f"Set ENCORE_DATA_URL to the bundle's address, {_by_hand(entry, file)}"
        )
    return f"{base.rstrip('/')}/{entry.id}--{file.name}"


def _from_address(entry: Entry, file: File, url: str) -> Path:
    import pooch

    pooch.get_logger().setLevel("ERROR")
    with tempfile.TemporaryDirectory() as folder:
        try:
            got = pooch.retrieve(url, known_hash=None, fname=file.name, path=folder, downloader=pooch.HTTPDownloader(timeout=60))
        except (OSError, ValueError) as e:
            raise DatasetError(
                f"{entry.id}: {file.name} could not be fetched from {url} ({type(e).__name__}). "
                f"Check the connection, {_by_hand(entry, file)}"
            ) from e
        return _keep(entry, file, Path(got).read_bytes())


def _keep(entry: Entry, file: File, content: bytes) -> Path:
    """Verify and write atomically into the cache."""
    actual = hashlib.sha256(content).hexdigest()
    if actual != file.sha256:
        raise DatasetError(
            f"{entry.id}: {file.name} from {file.source.origin} has sha256 {actual}, expected {file.sha256}; nothing was kept. "
            f"Try again; if it happens twice, the source has changed or a proxy answers for it, {_by_hand(entry, file)}"
        )
    target = cache_folder() / entry.id / file.name
    try:
        _write(target, content)
    except OSError as e:
        raise DatasetError(f"cannot write {target} ({e.strerror}); set ENCORE_CACHE to a folder that can be written") from e
    return target


def _write(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=target.name + ".")
    try:
        with os.fdopen(handle, "wb") as f:
            f.write(content)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise


def _sha256(path: Path) -> str:
    """Hex digest of a file; that of a big file is remembered in the cache folder."""
    state = path.stat()
    if state.st_size <= BIG:
        return _digest(path)
    memory = cache_folder() / "verified.json"
    key, seen = str(path.resolve()), [state.st_size, state.st_mtime_ns]
    try:
        known = json.loads(memory.read_text())
    except (OSError, ValueError):
        known = {}
    if known.get(key, [])[:2] != seen:
        known[key] = [*seen, _digest(path)]
        try:
            _write(memory, json.dumps(known, indent=0).encode())
        except OSError:
            pass  # a cache that cannot be written only costs the time to hash again
    return known[key][2]


def _digest(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
