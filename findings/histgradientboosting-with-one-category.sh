#!/usr/bin/env bash
# HistGradientBoostingRegressor splits a categorical feature of one category and missing values in one way when it
# fits, and in another when it predicts.
#
# The feature is a tick box: the category 0 in each third row, else missing. The target follows it. As a number the
# same column is learned exactly; declared as categorical, the predictions for the training rows themselves are worse
# than their mean.
#
# Seen with scikit-learn 1.9.1, Python 3.11, as the score (r2) of 3,000 training rows:
#   number 1.000
#   categorical -0.319
#
# Ends 0 while this is so, and 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq --disable-pip-version-check scikit-learn==1.9.1
seen=$("$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

ticked = np.arange(3000) % 3 == 0
rows = np.column_stack([np.where(ticked, 0.0, np.nan), np.random.default_rng(0).normal(size=3000)])
target = 5.0 * ticked + rows[:, 1]
for name, categories in (("number", None), ("categorical", [0])):
    model = HistGradientBoostingRegressor(categorical_features=categories, random_state=0).fit(rows, target)
    print(name, "follows" if model.score(rows, target) > 0.9 else "does not follow", f"{model.score(rows, target):.3f}")
PYTHON
)
echo "$seen"
[ "$(echo "$seen" | cut -d' ' -f1-2)" = "$(printf 'number follows\ncategorical does')" ]
