"""Makes a peer's own environment: `python bench/peers/make.py feast [--into FOLDER]`; prints the path of its Python.

What each peer needs stands in `PEER.txt` beside this script. An environment that has it already is left as it is, so
the command may be run every time. Python's own library only: it runs before anything is installed.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
import time
from pathlib import Path

_HERE = Path(__file__).parent
CACHE = _HERE.parent.parent / ".peers"
"""Where environments are kept unless another folder is named."""
_STAMP = "made-of"


class NotMade(Exception):
    """A peer's environment is absent or could not be made; the message says why and what to do."""


def peers() -> list[str]:
    """Return the names of all peers."""
    return sorted(path.stem for path in _HERE.glob("*.txt"))


def python_of(peer: str, folder: Path = CACHE) -> Path:
    """Return the Python of a peer's environment that is ready.

    Args:
        peer: The peer's name.
        folder: Where the environments are kept.

    Raises:
        NotMade: It is absent, or was made of other requirements.
    """
    place = folder / peer
    stamp = place / _STAMP
    if not stamp.is_file() or stamp.read_text() != _wanted(peer):
        raise NotMade(f"no environment for {peer} in {folder}; make it with: python bench/peers/make.py {peer}")
    return place / "bin" / "python"


def make(peer: str, folder: Path = CACHE) -> Path:
    """Make a peer's environment where it is not there yet, and return its Python.

    Args:
        peer: The peer's name.
        folder: Where the environments are kept.

    Raises:
        NotMade: Its packages could not be installed.
    """
    try:
        return python_of(peer, folder)
    except NotMade:
        pass
    place = folder / peer
    shutil.rmtree(place, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    print(f"peers: making {place} (a minute or two)", file=sys.stderr, flush=True)
    _run(
        [sys.executable, "-m", "venv", str(place)], f"{sys.executable} cannot make an environment; install python3-venv"
    )
    python = place / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "-q", "--no-input", "-r", str(_HERE / f"{peer}.txt")]
    _run(
        install,
        f"the packages of {peer} could not be installed. Is there a network, and does pip reach a package index? "
        "Everything but this peer works without it",
    )
    (place / _STAMP).write_text(_wanted(peer))
    print(f"peers: ready in {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    return python


def _run(words: list[str], otherwise: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise NotMade(f"{said}\npeers: {otherwise}")


def _wanted(peer: str) -> str:
    requirements = _HERE / f"{peer}.txt"
    if not requirements.is_file():
        raise NotMade(f"no peer is called {peer!r}; there are {', '.join(peers())}")
    version = ".".join(map(str, sys.version_info[:2]))
    return f"{hashlib.sha256(requirements.read_bytes()).hexdigest()} Python {version}\n"


def main() -> None:
    """Make the environments that were named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", nargs="+", choices=peers(), help="which peers")
    parser.add_argument("--into", type=Path, default=CACHE, help="folder for the environments (default .peers)")
    options = parser.parse_args()
    for peer in options.peer:
        try:
            print(make(peer, options.into.resolve()))
        except NotMade as error:
            raise SystemExit(f"peers: {error}") from None


if __name__ == "__main__":
    main()
