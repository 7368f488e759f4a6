"""The panel types of all dashboards. Sizes are in grid cells, 24 per row."""

from grafana_foundation_sdk.builders import common, dashboard, heatmap, nodegraph, stat, statetimeline, table
from grafana_foundation_sdk.builders import timeseries
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models.dashboard import FieldColorModeId
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from .common import DATASOURCE, ORANGE, RED, TEXT, color, prop, steps, transform, values


def place(panel, title: str, description: str, width: int, height: int, queries: list):
    panel.title(title).description(description).datasource(DATASOURCE).span(width).height(height)
    return panel.targets(queries)


def row(title: str):
    return dashboard.Row(title)


def number(title: str, description: str, unit: str, query, limits=None, none: str = "0", width=3, height=3):
    """A single number. `limits` colors it above thresholds."""
    panel = place(stat.Panel(), title, description, width, height, [query]).unit(unit).no_value(none)
    panel.thresholds(limits or steps(TEXT)).color_scheme(color(FieldColorModeId.THRESHOLDS))
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel.color_mode(options.BigValueColorMode.VALUE).graph_mode(options.BigValueGraphMode.NONE)
    return panel


def lines(title: str, description: str, unit: str, queries: list, none="no data", width=8, height=7, limits=None):
    """Lines over time, starting at 0. Colors only distinguish lines, unless `paint` sets one. `limits` draws threshold
    lines."""
    panel = place(timeseries.Panel(), title, description, width, height, queries).unit(unit).no_value(none)
    panel.min(0).line_width(1).fill_opacity(0).show_points(options.VisibilityMode.NEVER)
    panel.color_scheme(color(FieldColorModeId.PALETTE_CLASSIC))
    panel.tooltip(common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI).sort(options.SortOrder.DESCENDING))
    legend = common.VizLegendOptions().show_legend(True).display_mode(options.LegendDisplayMode.LIST)
    panel.legend(legend.placement(options.LegendPlacement.BOTTOM).calcs([]))
    if limits:
        panel.thresholds(limits)
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(options.GraphTresholdsStyleMode.DASHED))
    return panel


def stacked(panel):
    return panel.fill_opacity(45).line_width(0).stacking(common.StackingConfig().mode(options.StackingMode.NORMAL))


def legend_table(panel):
    """A legend on the right, the highest value first: for panels with many lines."""
    legend = common.VizLegendOptions().show_legend(True).display_mode(options.LegendDisplayMode.TABLE)
    legend.placement(options.LegendPlacement.RIGHT).calcs(["max"]).sort_by("Max").sort_desc(True)
    return panel.legend(legend)


def paint(panel, regexp: str, shade: str, *more):
    """Sets the color, and more properties, of lines whose name matches."""
    shown = prop("color", {"mode": "fixed", "fixedColor": shade})
    return panel.override_by_regexp(regexp, [shown, *more])


def cells(title: str, description: str, queries: list, transformations: list, columns: dict, none: str, width: int,
          height: int):
    """A table. `columns` maps field names to column properties."""
    panel = place(table.Panel(), title, description, width, height, queries).unit("short").no_value(none)
    panel.transformations(transformations).cell_height(options.TableCellHeight.SM)
    panel.thresholds(steps(TEXT)).color_scheme(color(FieldColorModeId.THRESHOLDS))
    # Otherwise every empty cell would show the text for an empty table.
    panel.override_by_regexp("/.*/", [prop("noValue", "–")])
    for name, properties in columns.items():
        panel.override_by_name(name, properties)
    return panel


def column(unit: str | None = None, width: int | None = None, limits=None, links: list | None = None, **more) -> list:
    """Properties of a column. `limits` colors its cells above thresholds."""
    properties = [prop(id_.replace("__", "."), value) for id_, value in more.items()]
    if unit:
        properties.append(prop("unit", unit))
    if width:
        properties.append(prop("custom.width", width))
    if limits:
        properties.append(prop("thresholds", limits.build()))
        properties.append(prop("custom.cellOptions", {"type": "color-text"}))
    if links:
        properties.append(prop("links", links))
    return properties


def paged(panel):
    """A table with pagination that shows the number of rows."""
    return panel.footer(common.TableFooterOptions().enable_pagination(True))


HIDDEN = [prop("custom.hidden", True)]


def alerts_over_time(title: str, description: str, query, none: str, width=24, height=5):
    """A state timeline of the values 1 and 2, as returned by `severities` in common.py."""
    panel = place(statetimeline.Panel(), title, description, width, height, [query]).no_value(none).unit("none")
    panel.mappings([values(v1=("warning", ORANGE), v2=("critical", RED))])
    panel.color_scheme(color(FieldColorModeId.FIXED, TEXT))
    panel.merge_values(True).show_value(options.VisibilityMode.NEVER).row_height(0.8).fill_opacity(85).line_width(0)
    legend = common.VizLegendOptions().show_legend(False).display_mode(options.LegendDisplayMode.LIST)
    return panel.legend(legend.placement(options.LegendPlacement.BOTTOM).calcs([]))


def shape(title: str, description: str, query, none: str, width=12, height=12):
    """A heatmap: one row per series, the number as color. The color of the smallest number is clearly visible; an opacity
    scale would hide one process next to hundreds, whatever its exponent."""
    panel = place(heatmap.Panel(), title, description, width, height, [query]).no_value(none).unit("short")
    cell = heatmap.RowsHeatmapOptions().layout(options.HeatmapCellLayout.AUTO).value("Processes")
    scheme = heatmap.HeatmapColorOptions().mode("scheme").scheme("Cool")
    panel.calculate(False).rows_frame(cell).color(scheme.steps(64).min(0))
    panel.y_axis(heatmap.YAxisConfig().reverse(True).axis_placement(options.AxisPlacement.LEFT).axis_label("depth"))
    return panel.show_legend().cell_gap(1).max_data_points(80).filter_values(heatmap.FilterValueRange().le(1e-9))


def buckets(title: str, description: str, query, none: str, width=12, height=8):
    """A heatmap of the buckets of a histogram in seconds, the shortest at the bottom."""
    panel = place(heatmap.Panel(), title, description, width, height, [query.format(PromQueryFormat.HEATMAP)])
    scheme = heatmap.HeatmapColorOptions().mode("scheme").scheme("Cool")
    panel.no_value(none).unit("short").calculate(False).color(scheme.steps(64).min(0))
    panel.y_axis(heatmap.YAxisConfig().axis_placement(options.AxisPlacement.LEFT).unit("s"))
    return panel.show_legend().cell_gap(1).max_data_points(80).filter_values(heatmap.FilterValueRange().le(1e-9))


def graph(title: str, description: str, queries: list, transformations: list, none: str, arcs: dict, width=12,
          height=12):
    """A node graph. `arcs` maps field names (`arc__` and the text of the legend) to colors; the arcs of a node sum to
    1."""
    panel = place(nodegraph.Panel(), title, description, width, height, queries).no_value(none).unit("none")
    colored = [nodegraph.ArcOption().field(field).color(shade) for field, shade in arcs.items()]
    panel.nodes(nodegraph.NodeOptions().arcs(colored)).edges(nodegraph.EdgeOptions())
    # The panel finds arcs by the real field name; the legend shows the display name. This changes only the latter.
    names = {field: field.removeprefix("arc__") for field in arcs}
    return panel.transformations([*transformations, transform("organize", {"renameByName": names})])
