// Leaks: a number grows steadily beyond what is usual.
function(config)
  local lib = (import '../lib/promql.libsonnet')(config);
  local m = lib.metric;

  // The thirds of the windows. A leak is visible in a window W if it rises by 20 within W, and is in time if 0.8 W and the
  // scrape and evaluation interval pass before there are 60: so each speed has a window if the next is three times longer.
  local minutes = [lib.piece(30), lib.piece(80), 240];
  local hours = [720, 2160];

  local maximum(metric) = function(offset) 'max_over_time(%s[10m] offset %s)' % [m(metric), lib.seconds(offset)];
  local gauge(metric) = { x: lib.at(metric), before: maximum(metric) };
  local growth(it, usual, pieces, of, also=function(window) '') =
    local above(window) = if window > 5000 then of.aboveInHours else of.above;
    lib.growthOverAny(it.x, it.before, lib.usual(usual), pieces, above, also);

  local processes(pieces) =
    growth(gauge('pstree_container_processes'), 'pstree_processes', pieces, config.growth.processes);
  // More processes, which have threads, have their own alert: here at least half of the new threads are others.
  local threads(pieces) =
    local all = lib.at('pstree_container_threads');
    local first = lib.at('pstree_container_processes');
    growth(gauge('pstree_container_threads'), 'pstree_threads', pieces, config.growth.threads, function(window)
      '%s - %s >= 2 * (%s - %s)' % [all(0), all(window), first(0), first(window)]);
  local oldest = m('pstree_container_oldest_zombie_timestamp_seconds');
  // Installations may drop one of the two families.
  local zombies =
    local total = gauge('pstree_container_zombie_processes');
    local byParent = gauge('pstree_container_zombie_processes_by_parent');
    local either(one, other) = function(offset) '(%s or sum without (parent) (%s))' % [one(offset), other(offset)];
    growth({
      x: either(total.x, byParent.x),
      before: either(total.before, byParent.before),
    }, 'pstree_zombies', minutes + hours, config.growth.zombies);

  local tenMinutesAgo(metric) = lib.past(metric, '10m', 'Ten minutes ago');
  local twoHoursAgo(metric) = lib.past(metric, '2h', 'Two hours ago');
  // Keeps the alert through a pause of the growth.
  local steady = { keep_firing_for: '5m' };
  local alert(name, expression, summary, what, past) =
    lib.containerAlert(
      name,
      'warning',
      expression,
      summary,
      '%s has %s %s, {{ $value | humanize }} more than usual, and their number grows.%s%s' %
      [lib.who, lib.current('pstree_container_' + what), what, past('pstree_container_' + what), lib.growingCommand],
      steady,
    );

  [
    lib.fastGroup('pstree-growth-alerts', [
      alert(
        'PstreeProcessGrowth',
        processes(minutes),
        'The number of processes in a container grows fast.',
        'processes',
        tenMinutesAgo,
      ),
      alert(
        'PstreeThreadGrowth',
        threads(minutes) +
        |||
          or
          (
            %(threads)s - min_over_time(%(threads)s[%(window)s])
              >= %(many)d + %(processes)s - min_over_time(%(processes)s[%(window)s])
              and
            %(threads)s - (%(usual)s or %(threads)s * 0) >= %(many)d
          )
        ||| % {
          threads: m('pstree_container_threads'),
          processes: m('pstree_container_processes'),
          window: lib.seconds(2 * minutes[0]),
          many: config.threadsAtOnce,
          usual: lib.usual('pstree_threads'),
        },
        'The number of threads in a container grows fast.',
        'threads',
        tenMinutesAgo,
      ),
    ]),
    lib.slowGroup('pstree-leak-alerts', [
      alert(
        'PstreeProcessLeak',
        processes(hours),
        'The number of processes in a container has grown for a long time.',
        'processes',
        twoHoursAgo,
      ),
      alert(
        'PstreeThreadLeak',
        threads(hours),
        'The number of threads in a container has grown for a long time.',
        'threads',
        twoHoursAgo,
      ),
      lib.containerAlert(
        'PstreeZombiesGrowing',
        'warning',
        // With the label parent: of the parent whose zombies grew most. Not if the oldest was reaped meanwhile.
        |||
          %s
            and
          topk by (job, instance, id) (1, delta(%s[%s]))
            and on (job, instance, id)
          (
          %s)
            unless on (job, instance, id)
          %s != %s offset %s
        ||| % [
          m('pstree_container_zombie_processes_by_parent'),
          m('pstree_container_zombie_processes_by_parent'),
          lib.seconds(3 * minutes[2]),
          lib.indent(zombies),
          oldest,
          oldest,
          lib.seconds(3 * minutes[0]),
        ],
        'A process in a container does not reap its children.',
        '{{ $labels.parent }} in %s does not reap its children: it has {{ $value }} zombies, and their number grows.%s' % [lib.who, lib.oldestZombie],
        steady,
      ),
    ]),
  ]
