"""The serving program of AWS's own examples, reduced to what CSV and JSON need: flask and pandas."""

from __future__ import annotations

import io
import os
from typing import Any

import flask
import joblib
import numpy as np
import pandas as pd

MODEL: Any = joblib.load(os.environ["MODEL"])


def ping() -> Any:
    """Respond that the model is loaded."""
    return flask.Response("\n", status=200 if MODEL is not None else 404, mimetype="application/json")


def invocations() -> Any:
    """Predict rows of CSV or JSON."""
    if flask.request.content_type == "text/csv":
        data = pd.read_csv(io.StringIO(flask.request.data.decode("utf-8")), header=None)
        written = io.StringIO()
        pd.DataFrame({"results": MODEL.predict(data.to_numpy())}).to_csv(written, header=False, index=False)
        return flask.Response(written.getvalue(), status=200, mimetype="text/csv")
    if flask.request.content_type == "application/json":
        rows = np.array(flask.request.get_json()["instances"])
        return flask.jsonify({"predictions": MODEL.predict(rows).tolist()})
    return flask.Response("This predictor only supports CSV and JSON", status=415, mimetype="text/plain")


app = flask.Flask(__name__)
app.add_url_rule("/ping", view_func=ping, methods=["GET"])
app.add_url_rule("/invocations", view_func=invocations, methods=["POST"])
