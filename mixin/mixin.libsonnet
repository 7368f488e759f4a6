// The monitoring mixin: alerts, recording rules and dashboards, with everything that can be changed in `_config`.
(import 'config.libsonnet') + {
  local config = $._config,
  local recording = (import 'recording.libsonnet')(config),
  local alerts = {
    forks: (import 'alerts/forks.libsonnet')(config),
    growth: (import 'alerts/growth.libsonnet')(config),
    limits: (import 'alerts/limits.libsonnet')(config).groups,
    containers: (import 'alerts/containers.libsonnet')(config),
    machine: (import 'alerts/machine.libsonnet')(config),
  },

  prometheusRules+:: { groups+: recording },
  prometheusAlerts+:: { groups+: std.flattenArrays(std.objectValues(alerts)) },
  grafanaDashboards+:: {
    'pstree-fleet.json': import '../dashboards/fleet.json',
    'pstree-container.json': import '../dashboards/container.json',
    'pstree-exporter.json': import '../dashboards/exporter.json',
  },

  // The rule files as they are shipped.
  ruleFiles:: { 'recording.yaml': recording } + { [name + '.yaml']: alerts[name] for name in std.objectFields(alerts) },
}
