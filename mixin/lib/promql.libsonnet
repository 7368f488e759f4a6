// Parts of expressions.
//
// The rules compare samples a few scrapes apart. A piece is the distance between compared samples, a multiple of the scrape
// interval, so that the same shapes hold at every scrape interval.
function(config)
  assert config.scrapeInterval >= 10 && config.scrapeInterval <= 60 : 'scrapeInterval must be from 10 to 60 seconds';
  {
    local lib = self,

    // seconds(90) is '90s'.
    seconds(n):: '%ds' % n,

    // A selector of a metric, with more matchers: metric('pstree_container_root_processes', 'kind="exec"').
    metric(name, matchers='')::
      local all = std.join(',', std.filter(function(it) it != '', [config.selector, matchers]));
      if all == '' then name else '%s{%s}' % [name, all],

    // The distance of compared samples: at least `shortest` seconds, and a multiple of the scrape interval.
    piece(shortest):: config.scrapeInterval * std.ceil(shortest / config.scrapeInterval),

    // Adds ' offset Ns' to a selector or to a function of one that takes the offset inside: x is a function of an offset.
    at(name, matchers=''):: function(offset)
      lib.metric(name, matchers) + (if offset == 0 then '' else ' offset ' + lib.seconds(offset)),

    // The same of a range.
    range(name, seconds):: function(offset)
      '%s[%s]' % [lib.metric(name), lib.seconds(seconds)] + (if offset == 0 then '' else ' offset ' + lib.seconds(offset)),

    // What is usual, also in the minute after an exporter was restarted, before it is recorded again.
    usual(name):: 'last_over_time(container:%s:usual[10m])' % name,

    // Whether x rose in each third of a window, by at least a seventh of the whole, so that a step, and a ramp that ended, do
    // not match.
    risingSteadily(x, piece)::
      std.join('\n  and\n', [
        '%s <= 0.85 * %s + 0.15 * %s' % [x(piece), x(0), x(3 * piece)],
        '%s >= 0.15 * %s + 0.85 * %s' % [x(2 * piece), x(0), x(3 * piece)],
        '%s - %s >= 0.15 * (%s - %s)' % [x(piece), x(2 * piece), x(0), x(3 * piece)],
      ]),

    // Whether x grew steadily by at least `rise` within three pieces, and exceeds by `above` what is usual: the recorded
    // `usual`, or before there is one the maximum of the ten minutes before the window. `also` is one more condition. Returns
    // the excess.
    growth(x, before, usual, piece, above, rise, also='')::
      |||
        (
          %(x)s - (%(usual)s or %(before)s) >= %(above)d
            and
          %(x)s - %(start)s >= %(rise)d
            and
          %(rising)s%(also)s
        )
      ||| % {
        x: x(0),
        usual: usual,
        before: before(3 * piece),
        above: above,
        start: x(3 * piece),
        rise: rise,
        rising: lib.risingSteadily(x, piece),
        also: if also == '' then '' else '\n  and\n' + also,
      },

    // growth() over several windows, with a rise of at least two thirds of `above`. `above` and `also` are functions of the length.
    // The longest window comes first: its excess is the largest.
    growthOverAny(x, before, usual, pieces, above, also=function(window) '')::
      std.join('or\n', [
        lib.growth(x, before, usual, piece, above(3 * piece), std.floor(above(3 * piece) * 2 / 3), also(3 * piece))
        for piece in std.reverse(pieces)
      ]),

    // Adds the labels of a pod, so that Alertmanager can route by namespace. They are empty outside Kubernetes. Containers
    // without pstree_container_info, which some installations drop, keep their alerts.
    // With `gone`, a duration, also those that ended within it.
    withPod(expression, labels='namespace, pod, container', gone='')::
      local lasting(x) = if gone == '' then x else 'topk by (job, instance, id) (1, last_over_time(%s[%s]))' % [x, gone];
      |||
        (
        %s)
        * on (job, instance, id) group_left (%s) (
          %s or on (job, instance, id) %s * 0 + 1
        )
      ||| % [
        lib.indent(expression),
        labels,
        lasting(lib.metric('pstree_container_info')),
        lasting(lib.metric('pstree_container_processes')),
      ],

    // Excludes containers for which the alert is switched off, by a label of the container or by a recorded series.
    unlessMuted(expression, alert, gone='')::
      local lasting(x) = if gone == '' then x else 'last_over_time(%s[%s])' % [x, gone];
      local names = lib.mutes(alert);
      |||
        %sunless on (job, instance, id) (
          %s or %s
        )
      ||| % [
        expression,
        lasting(lib.metric('pstree_container_info', '%s=~"%s"' % [config.muteLabel, names])),
        lasting(lib.metric('container:pstree_alert:muted', 'alertname=~"all|%s"' % alert)),
      ],

    // The same for a pod: by the label of the pod, which its containers have, or by a recorded series.
    unlessPodMuted(expression, alert)::
      |||
        (
        %s)
        unless on (job, instance, pod_uid) (
          %s or %s
        )
      ||| % [
        lib.indent(expression),
        lib.metric('pstree_container_info', '%s=~"%s",pod_uid!=""' % [config.muteLabel, lib.mutes(alert)]),
        lib.metric('container:pstree_alert:muted', 'alertname=~"all|%s",pod_uid!=""' % alert),
      ],

    // Labels in Kubernetes cannot contain commas.
    mutes(alert):: '(.*[,._])?(all|%s)([,._].*)?' % alert,

    // An alert on containers.
    containerAlert(name, severity, expression, summary, description, extra={}, labels='namespace, pod, container', gone='')::
      lib.alert(
        name,
        severity,
        lib.unlessMuted(lib.withPod(expression, labels, gone), name, gone),
        summary,
        description,
        extra,
      ),

    alert(name, severity, expression, summary, description, extra={}):: {
      alert: name,
      expr: expression,
      labels: { severity: std.get(config.severities, '%s/%s' % [name, severity], severity) },
      annotations: {
        summary: summary,
        description: description,
        runbook_url: '%s/%s.md' % [config.runbookBase, name],
      },
    } + extra,

    // A group that is evaluated at the scrape interval, and one that is evaluated each minute, for what takes longer.
    fastGroup(name, rules):: { name: name, interval: lib.seconds(config.scrapeInterval), rules: rules },
    slowGroup(name, rules):: { name: name, interval: lib.seconds(config.slowInterval), rules: rules },

    record(name, expression):: { record: name, expr: expression },

    indent(text):: std.join('\n', [
      if line == '' then '' else '  ' + line
      for line in std.split(text, '\n')
    ]),

    // The container in the texts of an alert.
    who:: '{{ $labels.name }} on {{ $labels.instance }}',

    local query(text, more='') =
      '{{ with printf "%s" $labels.job $labels.instance $labels.id | query }}' %
      std.strReplace(text, '$own', "job='%[1]s',instance='%[2]s',id='%[3]s'" + more),

    // A value of the container, in the texts of an alert.
    current(series):: query(series + '{$own}') + '{{ . | first | value | humanize }}{{ end }}',

    // What it was before, in the texts of an alert: when is 'Ten minutes ago', for instance.
    past(metric, offset, when)::
      query('%s{$own} offset %s' % [metric, offset]) + ' ' + when + ' it had {{ . | first | value | humanize }}.{{ end }}',

    // How long ago the oldest began, in the texts of an alert. The metric has Unix times.
    oldest(metric, matchers='')::
      query('time() - %s{$own}' % metric, matchers) + ' The oldest is {{ . | first | value | humanizeDuration }} old.{{ end }}',

    // How many of the processes that were started by exec are shells of people.
    terminals::
      query('pstree_container_terminal_sessions{$own} > 0') +
      ' With a terminal, as docker exec -it starts shells: {{ . | first | value }}.{{ end }}',

    // The commands of root processes: that of the container itself, and those that were started by exec.
    rootCommands::
      query('pstree_container_tree_node_processes{$own}', ",depth='1'") +
      ' The root processes of the container are {{ range $index, $root := sortByLabel "comm" . }}{{ if $index }}, {{ end }}{{ $root | label "comm" }}{{ end }}.{{ end }}',

    oldestZombie:: lib.oldest('pstree_container_oldest_zombie_timestamp_seconds'),

    // The command whose count grew most in ten minutes.
    growingCommand::
      query('topk(1, sum by (comm) (delta(pstree_container_tree_node_processes{$own}[10m])) > 0)') +
      ' The command that grew most is {{ . | first | label "comm" }}.{{ end }}',

    local recently = lib.seconds(std.max(120, 3 * config.scrapeInterval)),

    // With kernel counters: which command starts processes, which program they execute, how long they live.
    startingCommands::
      query('topk(1, sum by (command) (rate(pstree_container_command_forks_total{$own}[%s])) > 0)' % recently) +
      ' The command that starts most of them is {{ . | first | label "command" }}.{{ end }}' +
      query('topk(1, sum by (command) (rate(pstree_container_command_execs_total{$own}[%s])) > 0)' % recently) +
      ' The program executed most is {{ . | first | label "command" }},' +
      ' {{ . | first | value | humanize }} times per second.{{ end }}' +
      query(
        'rate(pstree_container_process_lifetime_seconds_sum{$own}[%(window)s])' % { window: recently } +
        ' / rate(pstree_container_process_lifetime_seconds_count{$own}[%(window)s]) > 0' % { window: recently }
      ) +
      ' A process lives {{ . | first | value | humanizeDuration }} on average.{{ end }}',

    // The command that started most processes in ten minutes: the parent of those that end.
    forkingCommand::
      query('topk(1, sum by (command) (increase(pstree_container_command_forks_total{$own}[10m])) > 0)', ",command!='other'") +
      ' The command that starts most processes is {{ . | first | label "command" }}.{{ end }}',

    // The command that ended most often with one of these outcomes in ten minutes.
    endingCommand(outcomes)::
      query(
        'topk(1, sum by (command, outcome) (increase(pstree_container_command_exits_total{$own}[10m])) > 0)',
        ",outcome=~'%s'" % outcomes,
      ) + ' The command is {{ . | first | label "command" }}, the outcome {{ . | first | label "outcome" }}.{{ end }}',

    // The label that stays the same when a container or a pod is recreated: the name. In the name of a pod, it has no
    // generated suffixes: that of the pod (five characters), and before it the hash of a Deployment or the time of a CronJob.
    workload(expression)::
      |||
        label_replace(
          label_replace(
        %s,
            "workload", "$1", "name", "(.*)"
          ),
          "workload", "$1$2", "name",
          "([^/]+/[^/]+?)(?:-(?:[bcdfghjklmnpqrstvwxz2456789]{7,10}|[0-9]{8}))?-[bcdfghjklmnpqrstvwxz2456789]{5}(/[^/]+)"
        )
      ||| % lib.indent(lib.indent(std.rstripChars(expression, '\n'))),
  }
