// Alerts about hosts and about the exporter itself.
function(config)
  local lib = (import '../lib/promql.libsonnet')(config);
  local m = lib.metric;
  local limits = (import 'limits.libsonnet')(config);
  local up = m('up', config.jobSelector);
  local where = '{{ $labels.instance }}';

  [
    lib.fastGroup('pstree-host-alerts', [limits.host]),
    {
      name: 'pstree-exporter-alerts',
      rules: [
        lib.alert(
          'PstreeExporterDown',
          'warning',
          up + ' == 0',
          'Prometheus cannot scrape an exporter.',
          'Prometheus cannot scrape %s; its containers are not monitored.' % where,
          { 'for': '3m' },
        ),
        lib.alert(
          'PstreeExportersDown',
          'critical',
          'count by (job) (%(up)s == 0) / count by (job) (%(up)s) > %(share)g and count by (job) (%(up)s == 0) >= 2' %
          { up: up, share: config.exportersDown },
          'Prometheus cannot scrape many exporters.',
          'Prometheus cannot scrape {{ $value | humanizePercentage }} of the exporters of the job {{ $labels.job }}.',
          { 'for': '3m' },
        ),
        lib.alert(
          'PstreeExporterAbsent',
          'critical',
          'absent(%s)' % up,
          'Prometheus has no exporter to scrape.',
          'Prometheus has no target with %s. No container is monitored.' % config.jobSelector,
          { 'for': '5m' },
        ),
        // Rules for shorter intervals see too few samples.
        lib.alert(
          'PstreeScrapedTooSeldom',
          'warning',
          'count_over_time(%(up)s[15m]) < %(least)d and %(up)s offset 15m' %
          { up: up, least: 900 / (1.25 * config.scrapeInterval) },
          'An exporter is scraped too seldom for these rules.',
          '%s was scraped {{ $value }} times in 15 minutes; these rules require a scrape every %d s.' %
          [where, config.scrapeInterval],
          { 'for': '15m' },
        ),
        // Compares the exporter with itself, because clocks of hosts differ. Not after a pause of Prometheus, which leaves one
        // sample.
        lib.alert(
          'PstreeExporterStale',
          'critical',
          |||
            changes(%(collections)s[5m]) == 0
              and
            count_over_time(%(collections)s[5m]) >= 3
              and
            %(interval)s < 100
          ||| % {
            collections: m('pstree_collections_total'),
            interval: m('pstree_collection_interval_seconds'),
          },
          'An exporter serves an outdated snapshot.',
          'The snapshot that %s serves has not changed for five minutes.' % where,
          { 'for': '1m' },
        ),
        // PstreeDockerAway covers the collector "docker".
        lib.alert(
          'PstreeCollectorFailing',
          'warning',
          m('pstree_collector_success', 'collector!="docker"') + ' == 0',
          'A collector of an exporter fails.',
          'The collector {{ $labels.collector }} of %s fails.' % where,
          { 'for': '3m' },
        ),
        lib.alert(
          'PstreeDockerAway',
          'warning',
          m('pstree_docker_up') + ' == 0',
          'The Docker API does not respond to an exporter.',
          'The Docker API at {{ $labels.endpoint }} on %s does not respond. New containers are shown without their names; all other values are correct.' % where,
          { 'for': '5m' },
        ),
        lib.alert(
          'PstreeEventsLost',
          'warning',
          'increase(%s[10m]) > 0' % m('pstree_events_lost_total'),
          'BPF event counters lost forks, execs or exits.',
          '%s lost {{ $value | humanize }} events in the last ten minutes; its fork, exec and exit rates are too low.' % where,
        ),
        lib.alert(
          'PstreeExporterBlind',
          'warning',
          m('pstree_source_partial') + ' == 1',
          'An exporter sees only some of the processes.',
          '%s sees only some of the processes on its host ({{ $labels.reason }}).' % where,
          { 'for': '5m' },
        ),
        lib.alert(
          'PstreeWebConfigStale',
          'warning',
          m('pstree_web_config_last_reload_successful') + ' == 0',
          'An exporter cannot reload its web configuration.',
          '%s is running with an outdated web configuration; the last reload failed. A renewed certificate is not in use.' % where,
          { 'for': '5m' },
        ),
      ],
    },
  ]
