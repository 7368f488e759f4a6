"""What the library for Grafana 10.1 has no option for, set on the finished JSON. Older Grafanas ignore what they
do not know."""

# The one place for the schema that the files claim; 39 is Grafana 10.4's, and earlier ones read it as well.
SCHEMA_VERSION = 39

# Draws a tree from top to bottom. Since Grafana 11.
NODE_GRAPH_LAYOUT = {"layoutAlgorithm": "layered"}

# Narrow columns of numbers beside names.
TABLE_COLUMNS = {"minWidth": 60}

# What a query for annotations has beyond its expression.
ANNOTATIONS = {
    "Restarts": {
        # The value is the time of the event, in milliseconds.
        "useValueForTime": True,
        "step": "15s",
        "titleFormat": "Started: {{name}}",
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
