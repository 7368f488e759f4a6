// Limits on pids: of a container, its pod, a slice above it, and the host.
function(config)
  local lib = (import '../lib/promql.libsonnet')(config);
  local m = lib.metric;
  local window = std.max(60, 3 * config.scrapeInterval);
  local first = lib.seconds(window);
  local container = m('pstree_container_pids_limit_hits_total');
  local pod = m('pstree_pod_pids_limit_hits_total');
  local init = m('pstree_container_oldest_root_start_time_seconds', 'kind="init"');
  local podLabels = 'namespace, pod, container, pod_uid';

  // New rejected forks, or some before the first scrape of a new container or pod. The kernel counts each once: at the
  // pod whose limit rejected it (Linux 6.11 or later, with cgroup v2), or at the container.
  local refused(counter, start, on) =
    |||
      increase(%(counter)s[%(first)s]) > 0
        or
      (
          %(counter)s > 0
        unless
          %(counter)s offset %(first)s
        and on (%(on)s)
          time() - %(start)s < 180
      )
    ||| % { counter: counter, first: first, start: start, on: on };
  // In each of three windows.
  local keeps(counter) =
    std.join('\n  and\n', [
      'increase(%s[%s]%s) > 0' % [counter, first, offset]
      for offset in ['', ' offset ' + first, ' offset ' + lib.seconds(2 * window)]
    ]) + '\n';
  local podStart =
    |||
      min by (job, instance, pod_uid) (
        %s * on (job, instance, id) group_left (pod_uid) %s
      )
    ||| % [init, m('pstree_container_info', 'pod_uid!=""')];

  local both(ofContainer, ofPod) =
    lib.unlessMuted(lib.withPod(ofContainer, podLabels), 'PstreeForksRefused') + 'or\n(\n' +
    lib.indent(lib.unlessPodMuted(ofPod, 'PstreeForksRefused')) + ')\n';
  local who =
    '{{ if $labels.name }}{{ $labels.name }}{{ else }}pod {{ or $labels.pod $labels.pod_uid }}{{ end }} on {{ $labels.instance }}';
  local alert(severity, expression, description) =
    lib.alert(
      'PstreeForksRefused',
      severity,
      expression,
      'A container or a pod reached its pids limit; forks fail.',
      description,
      { keep_firing_for: '2m' },
    );

  {
    groups: [
      lib.fastGroup('pstree-limit-alerts', [
        alert(
          'warning',
          both(refused(container, init, 'job, instance, id'), refused(pod, lib.indent(podStart), 'job, instance, pod_uid')),
          'The pids limit of %s rejected {{ $value | humanize }} new processes or threads in the last minutes.%s' % [who, lib.growingCommand],
        ),
        alert(
          'critical',
          both(keeps(container), keeps(pod)),
          'The pids limit of %s has rejected new processes or threads for minutes, {{ $value | humanize }} just now.%s' % [who, lib.growingCommand],
        ),
        // Headroom and used share are those of the limit that is reached first: of the container or of a cgroup above it,
        // whose other containers also use it.
        lib.containerAlert(
          'PstreePidsNearLimit',
          'warning',
          '%s\n  and\n%s > %g\n' %
          [m('pstree_container_pids_headroom'), m('pstree_container_pids_limit_used_ratio'), config.pids.nearLimit],
          'A container is close to a pids limit.',
          '%s can start {{ $value }} more processes or threads. More than %d %% of its pids limit, or of the limit of its pod or another cgroup above it, is in use.%s' %
          [lib.who, config.pids.nearLimit * 100, lib.growingCommand],
          { 'for': '2m' },
          podLabels,
        ),
      ]),
      lib.slowGroup('pstree-limit-slow-alerts', [
        lib.containerAlert(
          'PstreePidsLimitPredicted',
          'warning',
          |||
            %(used)s > %(from)g
              and
            predict_linear(%(headroom)s[30m], 3600) < 0
              and
            predict_linear(%(headroom)s[10m], 3600) < 0
          ||| % {
            used: m('pstree_container_pids_limit_used_ratio'),
            headroom: m('pstree_container_pids_headroom'),
            from: config.pids.predictFrom,
          },
          'A container will reach a pids limit within an hour.',
          '{{ $value | humanizePercentage }} of the pids limit of %s, or of its pod or another cgroup above it, is in use. At the current growth rate it will be reached within an hour.' % lib.who,
          { 'for': '10m' },
          podLabels,
        ),
      ]),
    ],
    host: lib.alert(
      'PstreeHostPidsExhausted',
      'critical',
      |||
        instance:pstree_tasks:sum / instance:pstree_tasks:limit > %g
          or
        (
            instance:pstree_tasks:sum / instance:pstree_tasks:limit > %g
          and
            predict_linear(instance:pstree_tasks:sum[10m], 1800) > instance:pstree_tasks:limit
          and
            instance:pstree_tasks:sum >= max_over_time(instance:pstree_tasks:sum[10m])
        )
      ||| % [config.pids.hostExhausted, config.pids.hostPredictFrom],
      'A host is running out of pids.',
      '{{ $labels.instance }} uses {{ $value | humanizePercentage }} of its pids. At 100 % it cannot start any process, including shells.',
      { 'for': '30s', keep_firing_for: '2m' },
    ),
  }
