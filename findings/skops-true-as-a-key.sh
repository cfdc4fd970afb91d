#!/usr/bin/env bash
# skops saves a dict whose keys are True and False, and loads it with one key: True, with the value that came last.
#
# scikit-learn takes such a dict as class_weight where the labels are true and false. skops calls the type of each key
# on the key's JSON text, and bool("false") is True. The loaded model predicts as before, since its coefficients are
# arrays. Fitted again, as a cross-validation or a later training does, one class has lost its weight, without an error.
#
# Seen with skops 0.16.0, scikit-learn 1.9.1, Python 3.11, as class_weight and the coefficient after a second fit:
#   saved {False: 20, True: 1} 0.622
#   loaded {True: 1} 0.465
#
# Ends 0 while this is so, and 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq --disable-pip-version-check skops==0.16.0 scikit-learn==1.9.1
cat > "$folder/save.py" <<'PYTHON'
import sys

import numpy as np
from skops.io import dumps, loads
from sklearn.linear_model import LogisticRegression

rows = np.arange(20.0).reshape(-1, 1) / 10
labels = np.arange(20) % 5 > 1
saved = LogisticRegression(class_weight={False: 20, True: 1}).fit(rows, labels)
loaded = loads(dumps(saved))
same_predictions = bool((saved.predict_proba(rows) == loaded.predict_proba(rows)).all())
for name, model in (("saved", saved), ("loaded", loaded)):
    print(name, model.class_weight, f"{model.fit(rows, labels).coef_.item():.3f}")
sys.exit(not same_predictions or loaded.class_weight != {True: 1} or bool(np.isclose(saved.coef_, loaded.coef_)))
PYTHON
"$folder/venv/bin/python" "$folder/save.py"
