"""Films for users of MovieLens, from its ratings, titles, genres and tags.

    curl -LO https://files.grouplens.org/datasets/movielens/ml-latest-small.zip && unzip ml-latest-small.zip
    python examples/recommend_movies.py ml-latest-small
    react-ray recommend evaluate out/films
    react-ray recommend serve out/films

Writes the items to out/films-items.csv and the recommender to out/films. Ratings of four stars and more count
as liked; answers can be filtered by year.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from react_ray.cli import main as react_ray

OUTPUT = Path("out")


def items_of(folder: Path) -> pd.DataFrame:
    """The films with the columns movieId, text and year; the text has title, genres and tags."""
    films = pd.read_csv(folder / "movies.csv")
    texts = films["title"] + " | " + films["genres"].str.replace("|", ", ")
    if (folder / "tags.csv").is_file():
        tags = pd.read_csv(folder / "tags.csv", dtype={"tag": str}).dropna()
        tags = tags.groupby("movieId")["tag"].apply(lambda some: ", ".join(dict.fromkeys(some)))
        known = films["movieId"].map(tags)
        texts = texts.where(known.isna(), texts + " | " + known.fillna(""))
    years = films["title"].str.extract(r"\((\d{4})\)\s*$")[0]
    return pd.DataFrame({"movieId": films["movieId"], "text": texts, "year": years})


def main(folder: Path) -> int:
    """Build the recommender from the files of MovieLens."""
    OUTPUT.mkdir(exist_ok=True)
    items_of(folder).to_csv(OUTPUT / "films-items.csv", index=False)
    files = ["--items", str(OUTPUT / "films-items.csv"), "--interactions", str(folder / "ratings.csv")]
    names = ["user=userId", "item=movieId", "time=timestamp"]
    columns = [word for name in names for word in ("--column", name)]
    settings = ["min_rating=4", "filters=[year]", "features=[year]"]
    return react_ray(["recommend", "build", *files, *columns, *settings, "--output", str(OUTPUT / "films")])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1])))
