//! Checks the dashboards with the rules of grafana/dashboard-linter and with requirements of provisioning and large
//! fleets. `make incidents` and `dashboards/tests` test what the panels show.

use std::collections::BTreeSet;

use crate::support::dashboard::{self, Dashboard, dashboards, selectors};
use pstree_exporter::export::catalog::{CATALOG, Kind};
use serde_json::Value;

/// The data source of every panel, variable and annotation.
const DATASOURCE: &str = "${datasource}";

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

#[test]
fn three_dashboards_with_unique_uids() {
    let dashboards = dashboards();
    let uids: BTreeSet<&str> = dashboards.iter().map(|it| text(&it.json, "uid")).collect();
    assert_eq!(uids, BTreeSet::from(["pstree-container", "pstree-exporter", "pstree-fleet"]));
    assert_eq!(dashboards.len(), uids.len());
}

#[test]
fn dashboards_can_be_provisioned() {
    for Dashboard { file, json, .. } in dashboards() {
        assert!(json["schemaVersion"].as_u64() >= Some(36), "{file}: Grafana 10 takes it");
        assert!(json.get("__inputs").is_none(), "{file}: inputs resolve only in the import page");
        assert!(json["id"].is_null(), "{file}: an id belongs to one Grafana");
        // Rule uneditable-dashboard: changes made in the browser would be lost with the next provisioning.
        assert_eq!(json["editable"], false, "{file}");
        assert_eq!(json["graphTooltip"], 1, "{file}: shared crosshair");
        for link in json["links"].as_array().expect("links") {
            assert_eq!((&link["keepTime"], &link["includeVars"]), (&true.into(), &true.into()), "{file}");
        }
    }
}

/// Rules template-datasource, template-job, template-instance, template-on-time-change-reload.
#[test]
fn variables_lead_from_the_data_source_to_the_container() {
    for dashboard in dashboards() {
        let file = &dashboard.file;
        let names: Vec<&str> = dashboard.variables().map(|it| text(it, "name")).collect();
        assert_eq!(names[..3], ["datasource", "job", "instance"], "{file}");
        for variable in dashboard.variables() {
            let name = text(variable, "name");
            if name == "datasource" {
                assert_eq!((text(variable, "type"), text(variable, "query")), ("datasource", "prometheus"));
                continue;
            }
            assert_eq!(variable["datasource"]["uid"], DATASOURCE, "{file}: {name}");
            assert_eq!(variable["refresh"], 2, "{file}: {name} follows the time range");
            assert_eq!(variable["multi"], true, "{file}: {name}");
            // Exception: containers without Compose or without Kubernetes do not have these labels.
            let all = if ["project", "service", "namespace", "pod"].contains(&name) { ".*" } else { ".+" };
            assert_eq!(variable["allValue"], all, "{file}: {name}");
        }
    }
}

/// Rules panel-title-description, panel-units, panel-datasource, panel-no-targets.
#[test]
fn panels_say_what_they_show_and_what_to_do() {
    for dashboard in dashboards() {
        let mut ids = BTreeSet::new();
        for panel in dashboard.panels() {
            let title = text(panel, "title");
            let place = format!("{}: {title:?}", dashboard.file);
            assert!(!title.is_empty(), "{place}");
            assert!(ids.insert(panel["id"].as_u64()), "{place}: id twice");
            if text(panel, "type") == "row" {
                continue;
            }
            let description = text(panel, "description");
            assert!(
                description.len() > 40 && description.ends_with('.'),
                "{place} says what a bad value means"
            );
            assert_eq!(panel["datasource"]["uid"], DATASOURCE, "{place}");
            let targets = panel["targets"].as_array().expect("targets");
            assert!(!targets.is_empty(), "{place} asks nothing");
            for target in targets {
                assert_eq!(target["datasource"]["uid"], DATASOURCE, "{place}");
            }
            // Exception: node graphs ignore units, and the state timeline shows names of states.
            if !["nodeGraph", "state-timeline"].contains(&text(panel, "type")) {
                let unit = text(&panel["fieldConfig"]["defaults"], "unit");
                let column_units = panel["fieldConfig"]["overrides"].to_string().contains("\"unit\"");
                assert!(!unit.is_empty() || column_units, "{place} has no unit");
            }
        }
    }
}

#[test]
fn panels_do_not_overlap() {
    for dashboard in dashboards() {
        let mut cells = BTreeSet::new();
        for panel in dashboard.panels() {
            let at = |key: &str| panel["gridPos"][key].as_u64().expect("a place");
            assert!(at("x") + at("w") <= 24, "{}: {}", dashboard.file, text(panel, "title"));
            for cell in
                (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y)))
            {
                assert!(cells.insert(cell), "{}: {} covers another", dashboard.file, text(panel, "title"));
            }
        }
    }
}

/// Rules target-promql, target-rate-interval, target-counter-agg.
#[test]
fn rates_use_the_rate_interval_and_counters_are_rated() {
    for dashboard in dashboards() {
        for (place, expression) in dashboard.expressions() {
            let compact: String = expression.split_whitespace().collect();
            for function in ["rate(", "irate("] {
                for part in compact.split(function).skip(1) {
                    let window = part.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
                    assert_eq!(window.expect("a window").0, "$__rate_interval", "{place}: {expression}");
                }
            }
            for family in CATALOG.iter().filter(|family| family.kind == Kind::Counter) {
                for part in compact.split(family.name).skip(1) {
                    let window = part.split_once('}').is_some_and(|(_, rest)| rest.starts_with('['));
                    assert!(window, "{place}: the counter {} is shown bare", family.name);
                }
            }
        }
    }
}

/// Rules target-job, target-instance.
#[test]
fn every_selector_names_job_and_instance() {
    for dashboard in dashboards() {
        for (place, expression) in dashboard.expressions() {
            let selectors = selectors(&expression);
            assert!(!selectors.is_empty(), "{place}: no metric in {expression}");
            for (metric, matchers) in selectors {
                for label in ["job", "instance"] {
                    let matcher = format!("{label}=~\"${label}\"");
                    assert!(matchers.contains(&matcher), "{place}: {metric} without {matcher}");
                }
            }
        }
    }
}

#[test]
fn every_metric_exists() {
    let recorded = dashboard::recorded();
    for dashboard in dashboards() {
        for (place, expression) in dashboard.expressions() {
            for (metric, _) in selectors(&expression) {
                let is_known = CATALOG.iter().any(|family| family.has_sample(&metric))
                    || recorded.contains(&metric)
                    || ["ALERTS", "up"].contains(&metric.as_str());
                assert!(is_known, "{place}: {metric}");
            }
        }
    }
}

/// A thousand hosts with a hundred containers each have millions of series. The fleet dashboard queries only series
/// that are recorded per host, and series that each host has once.
#[test]
fn the_fleet_asks_for_no_series_per_container() {
    let fleet = dashboards().into_iter().find(|it| it.file == "fleet.json").expect("a fleet dashboard");
    let queries = fleet.expressions().chain(fleet.variable_queries());
    for (place, expression) in queries {
        for (metric, _) in selectors(&expression) {
            let is_per_container =
                metric.starts_with("pstree_container_") || metric == "container:pstree_starts:rate";
            assert!(!is_per_container && !metric.starts_with("name:"), "{place}: {metric}");
        }
    }
}

#[test]
fn a_row_of_the_fleet_leads_to_its_container() {
    let fleet = dashboards().into_iter().find(|it| it.file == "fleet.json").expect("a fleet dashboard");
    let tables: Vec<&Value> = fleet.panels().filter(|panel| text(panel, "type") == "table").collect();
    assert!(tables.len() >= 2);
    for table in tables {
        let links = table["fieldConfig"].to_string();
        for part in
            ["/d/pstree-container", "${__url_time_range}", "var-datasource=", "var-instance=", "var-job="]
        {
            assert!(links.contains(part), "{}: no {part}", text(table, "title"));
        }
    }
}
