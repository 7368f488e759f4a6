"""Shared parts of the dashboards: frame, variables, selectors, queries, colors."""

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

DATASOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")

HOST = 'job=~"$job",instance=~"$instance"'
CONTAINER = f'{HOST},name=~"$name"'
FIRING = f'alertname=~"Pstree.+",alertstate="firing",{HOST}'

# Colors have a meaning: red requires action, orange requires attention, blue and grey are neutral.
RED, ORANGE, GREEN, BLUE, GREY, TEXT = "red", "orange", "green", "blue", "#8e8e8e", "text"

TITLES = {
    "pstree-fleet": "Fleet",
    "pstree-container": "Container",
    "pstree-exporter": "Exporter",
}


def series(expr: str, legend: str, ref: str = "A"):
    """A range query: values over the time range, one line per series."""
    return prometheus.Dataquery().datasource(DATASOURCE).expr(expr).legend_format(legend).ref_id(ref).range()


def latest(expr: str, legend: str = "", ref: str = "A"):
    """An instant query: values at the end of the time range."""
    return prometheus.Dataquery().datasource(DATASOURCE).expr(expr).legend_format(legend).ref_id(ref).instant()


def rows(ref: str, expr: str):
    """An instant query as a table: one column per label, and one named `Value #ref`."""
    return latest(expr, ref=ref).format(PromQueryFormat.TABLE)


def transform(id_: str, options: dict, only_refs: str | None = None):
    """`only_refs`: a refId or /regex/ that selects the frames; other frames are not changed."""
    matcher = models.MatcherConfig(id_val="byRefId", options=only_refs) if only_refs else None
    return models.DataTransformerConfig(id_val=id_, options=options, filter_val=matcher)


def steps(base: str, *steps: tuple[float, str]):
    """Thresholds: a color below the first step, and one from each step on."""
    limits = [models.Threshold(value=None, color=base)]
    limits += [models.Threshold(value=float(value), color=color) for value, color in steps]
    return builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(limits)


def color(mode: models.FieldColorModeId, fixed: str | None = None):
    scheme = builders.FieldColor().mode(mode)
    return scheme.fixed_color(fixed) if fixed else scheme


def values(**texts: tuple[str, str]):
    """Value mappings: v1=("warning", ORANGE) shows 1 as that text in that color."""
    options = {
        key.removeprefix("v"): models.ValueMappingResult(text=text, color=shade, index=index)
        for index, (key, (text, shade)) in enumerate(texts.items())
    }
    return models.ValueMap(options=options)


def prop(id_: str, value):
    return models.DynamicConfigValue(id_val=id_, value=value)


def link_to_container(instance: str, name: str, job: str, title: str) -> dict:
    """A data link. The arguments are Grafana expressions for the clicked row or line."""
    url = (
        "/d/pstree-container/pstree-container?${__url_time_range}&var-datasource=${datasource}"
        f"&var-job={job}&var-instance={instance}&var-name={name}"
    )
    return {"title": title, "url": url}


def link_to_exporter(instance: str, job: str) -> dict:
    url = (
        "/d/pstree-exporter/pstree-exporter?${__url_time_range}&var-datasource=${datasource}"
        f"&var-job={job}&var-instance={instance}"
    )
    return {"title": f"Exporter of {instance}", "url": url}


def variable(name: str, label: str, query: str, description: str = "", all_value: str = ".+"):
    return (
        builders.QueryVariable(name)
        .label(label)
        .description(description)
        .datasource(DATASOURCE)
        .query({"query": query, "refId": name})
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(all_value)
        .current(models.VariableOption(selected=True, text="All", value="$__all"))
    )


def annotation(name: str, expr: str, shade: str):
    """finish.py sets the remaining options."""
    return builders.AnnotationQuery().name(name).datasource(DATASOURCE).expr(expr).icon_color(shade).enable(True)


def frame(uid: str, description: str):
    """A dashboard without its own variables, annotations and panels."""
    title = TITLES[uid]
    dashboard = (
        builders.Dashboard(f"pstree: {title.lower()}")
        .uid(uid)
        .description(description)
        .tags(["pstree"])
        .readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .time("now-1h", "now")
        .timezone("browser")
        .refresh("30s")
        .annotations([])
    )
    for other, name in TITLES.items():
        if other != uid:
            dashboard.link(
                builders.DashboardLink(name)
                .type(models.DashboardLinkType.LINK)
                .url(f"/d/{other}")
                .icon("dashboard")
                .keep_time(True)
                .include_vars(True)
            )
    dashboard.with_variable(builders.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    dashboard.with_variable(variable("job", "Job", "label_values(pstree_build_info, job)"))
    dashboard.with_variable(
        variable("instance", "Host", 'label_values(pstree_build_info{job=~"$job"}, instance)')
    )
    return dashboard


def severities(labels: str, selector: str = FIRING) -> str:
    """2 for a firing critical alert, 1 for any other firing alert; one series per combination of the labels."""
    return f'max by ({labels}) (2 * ALERTS{{{selector},severity="critical"}} or ALERTS{{{selector}}})'
