"""Options that the library for Grafana 10.1 does not support, set on the finished JSON. Older versions of Grafana ignore
them."""

# The schema version of the files; 39 is the version of Grafana 10.4, and earlier versions can read it.
SCHEMA_VERSION = 39

# Draws a tree from top to bottom. Requires Grafana 11.
NODE_GRAPH_LAYOUT = {"layoutAlgorithm": "layered"}

# Allows narrow number columns next to names.
TABLE_COLUMNS = {"minWidth": 60}

# Options of annotation queries, besides the expression.
ANNOTATIONS = {
    "Restarts": {
        # The value is the time of the event in milliseconds.
        "useValueForTime": True,
        "step": "15s",
        "titleFormat": "Started: {{name}}",
        "textFormat": "{{instance}}",
    },
    "OOM kills": {
        "step": "15s",
        "titleFormat": "OOM kill: {{name}}",
        "textFormat": "{{instance}}",
    },
    "Alerts": {
        "step": "15s",
        "titleFormat": "{{alertname}}",
        "textFormat": "{{name}} on {{instance}}",
        "tagKeys": "severity",
    },
    "Exporter started": {
        "useValueForTime": True,
        "step": "15s",
        "titleFormat": "Exporter started",
        "textFormat": "{{instance}}",
    },
}


def finish(dashboard: dict) -> dict:
    dashboard["schemaVersion"] = SCHEMA_VERSION
    dashboard["id"] = None
    for number, panel in enumerate(dashboard["panels"], start=1):
        panel["id"] = number
        if panel["type"] == "nodeGraph":
            panel["options"].update(NODE_GRAPH_LAYOUT)
        if panel["type"] == "table":
            panel["fieldConfig"]["defaults"]["custom"] = dict(TABLE_COLUMNS)
    for annotation in dashboard["annotations"]["list"]:
        annotation.update(ANNOTATIONS[annotation["name"]])
    return dashboard
