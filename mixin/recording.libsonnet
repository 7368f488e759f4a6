// Recording rules: for the alerts and for the fleet dashboard. Names have the form level:metric:operation. The level
// "container" keeps all labels of the container's series, "workload" has one series for the containers that replace each
// other, and "instance" aggregates over containers. All rules keep external labels such as cluster or region.
function(config)
  local lib = (import 'lib/promql.libsonnet')(config);
  local m = lib.metric;
  local record = lib.record;
  // A window that contains at least two scrapes, also if one is late or lost.
  local window = lib.seconds(std.max(60, 3 * config.scrapeInterval));

  // Starts of processes: exact with kernel counters, otherwise a lower bound, based on what collections saw.
  local starts(window) =
    'rate(%s[%s])\n  or\nrate(%s[%s])\n' %
    [m('pstree_container_forks_total'), window, m('pstree_container_observed_starts_total'), window];
  local exits(outcome) = 'increase(%s[10m])' % m('pstree_container_exits_total', 'outcome="%s"' % outcome);

  // What is usual for a workload: the expression in five minutes, on level container.
  local usuals = {
    pstree_processes: 'max_over_time(%s[5m])' % m('pstree_container_processes'),
    pstree_threads: 'max_over_time(%s[5m])' % m('pstree_container_threads'),
    pstree_zombies: 'max_over_time(%s[5m])' % m('pstree_container_zombie_processes'),
    // Only those that stayed: a health check runs for a moment.
    pstree_execs: 'min_over_time(%s[15m])' % m('pstree_container_root_processes', 'kind="exec"'),
    pstree_starts: starts('5m'),
    pstree_failures: exits('failure'),
    pstree_signals: exits('signal'),
  };
  // A container that is new within a workload is compared with its predecessors. `ignoring` keeps external labels.
  local ofContainer(family) =
    'max without (workload) (\n%s  * 0 + ignoring (id, name) group_left ()\n  workload:%s:usual\n)\n' %
    [lib.indent(lib.workload(m('pstree_container_processes'))), family];

  // Until a day ago, so that an incident does not become usual within a day. For a workload that is younger than a day and a
  // half: until `hours` ago, so that a slow leak does not become usual while it grows. Requires twelve hours before that.
  local established(family, hours) =
    local until(end) =
      |||
        (
          max_over_time(workload:%(family)s:max5m[7d] offset %(end)dh)
            and
          present_over_time(workload:%(family)s:max5m[7d] offset %(old)dh)
        )
      ||| % { family: family, end: end, old: end + 12 };
    until(24) + 'or\n' + until(hours);

  local withoutUnits(expression) =
    |||
      sum without (id, name) (
        %s unless on (job, instance, id) %s
      )
    ||| % [expression, m('pstree_container_info', 'runtime="systemd"')];

  [
    {
      name: 'pstree-containers',
      interval: lib.seconds(config.scrapeInterval),
      rules: [
        record('container:pstree_starts:rate', starts(window)),
        // The number of processes while the container starts almost none.
        record(
          'container:pstree_processes:calm',
          'min_over_time(%s[%s]) and container:pstree_starts:rate < 5' % [m('pstree_container_processes'), window],
        ),
        // The start of the container that has this name now. A change of less than five seconds is that of the wall clock,
        // and is no start.
        record(
          'name:pstree_start_time:max',
          |||
            (
              last_over_time(%(name)s[15m])
                and
              abs(max without (id) (%(start)s) - last_over_time(%(name)s[15m])) < 5
            )
            or
            max without (id) (%(start)s)
          ||| % {
            name: m('name:pstree_start_time:max'),
            start: m('pstree_container_oldest_root_start_time_seconds', 'kind="init"'),
          },
        ),
      ],
    },
    {
      // What is usual is the maximum of one week. If several containers of a workload run
      // on a host, the largest counts.
      name: 'pstree-baselines',
      interval: '5m',
      rules: std.flattenArrays([
        [
          record(
            'workload:%s:max5m' % family,
            'max without (id, name, kind, outcome) (\n%s)\n' % lib.indent(lib.workload(usuals[family])),
          ),
          record(
            'workload:%s:usual' % family,
            established(family, if family == 'pstree_execs' then 13 else 5),
          ),
        ]
        for family in std.objectFields(usuals)
      ]),
    },
    {
      name: 'pstree-container-baselines',
      interval: '1m',
      rules: [record('container:%s:usual' % family, ofContainer(family)) for family in std.objectFields(usuals)],
    },
    {
      // The fleet dashboard queries a few series per host, never the series of each container. The units of systemd
      // (--forests.units) are in the numbers of the host.
      name: 'pstree-instances',
      interval: lib.seconds(config.scrapeInterval),
      rules: [
        record('instance:pstree_containers:sum', 'sum without (runtime) (%s)' % m('pstree_containers', 'runtime!="systemd"')),
        record('instance:pstree_processes:sum', withoutUnits(m('pstree_container_processes'))),
        record('instance:pstree_zombies:sum', withoutUnits(m('pstree_container_zombie_processes'))),
        record('instance:pstree_starts:sum_rate', withoutUnits('container:pstree_starts:rate')),
        // Everything that uses a pid: threads of live processes, and zombies, inside and outside of containers.
        record(
          'instance:pstree_tasks:sum',
          |||
            sum without (id, name) (
              (%(threads)s + %(zombies)s)
                unless on (job, instance, id) %(units)s
            )
              + %(host_threads)s + %(host_zombies)s
              or
            %(host_threads)s + %(host_zombies)s
          ||| % {
            threads: m('pstree_container_threads'),
            zombies: m('pstree_container_zombie_processes'),
            units: m('pstree_container_info', 'runtime="systemd"'),
            host_threads: m('pstree_host_threads'),
            host_zombies: m('pstree_host_zombie_processes'),
          },
        ),
        record(
          'instance:pstree_tasks:limit',
          '%(pid)s < %(threads)s\n  or\n%(threads)s\n' %
          { pid: m('pstree_host_pid_max'), threads: m('pstree_host_threads_max') },
        ),
      ],
    },
    {
      // The three worst containers of each host, for each table on the fleet dashboard.
      name: 'pstree-worst',
      rules: [
        record('container:%s:worst3' % it[0], 'topk without (id, name) (3, %s)' % it[1])
        for it in [
          ['pstree_pids_usage', m('pstree_container_pids_limit_used_ratio')],
          ['pstree_starts', 'container:pstree_starts:rate'],
          ['pstree_zombies', m('pstree_container_zombie_processes') + ' > 0'],
          [
            'pstree_execs',
            'sum without (kind) (min_over_time(%s[%s])) > 0' % [m('pstree_container_root_processes', 'kind="exec"'), window],
          ],
          [
            'pstree_growth10m',
            '(%(processes)s - min_over_time(%(processes)s[10m])) > 0' % { processes: m('pstree_container_processes') },
          ],
        ]
      ] + [
        // With kernel counters: which command starts most processes in those that start most.
        record(
          'container:pstree_command_starts:worst3',
          |||
            topk without (command) (1, rate(%s[%s]) > 0)
              and on (job, instance, id)
            container:pstree_starts:worst3
          ||| % [m('pstree_container_command_forks_total'), window],
        ),
      ],
    },
  ]
