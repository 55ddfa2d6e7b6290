"""Makes the data of this project: `python prepare.py`, sized by prepare.toml."""

import tomllib
from pathlib import Path

from generate import generate
from phases import write_phases

HERE = Path(__file__).resolve().parent


def main() -> None:
    asked = tomllib.loads((HERE / "prepare.toml").read_text(encoding="utf-8"))
    if (HERE / "data").exists():
        raise SystemExit(f"{HERE / 'data'} exists already; remove it to make it again")
    write_phases(generate(days=asked["days"], seed=asked["seed"]), asked["stream_weeks"], HERE / "data")


if __name__ == "__main__":
    main()
