// The shipped dashboards, frames as Grafana's Prometheus data source returns them, and Grafana's own transformations.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { lastValueFrom } from 'rxjs';

// Grafana's library requires a window when it is loaded. Its dependency react-use would mistake that window for a
// complete browser, so it is loaded first.
const require = createRequire(import.meta.url);
createRequire(require.resolve('@grafana/data'))('react-use');
globalThis.window ??= { addEventListener() {} };
const grafana = require('@grafana/data');

grafana.standardTransformersRegistry.setInit(() =>
  [...new Set(Object.values(grafana.standardTransformers))].map((transformation) => ({
    id: transformation.id,
    name: transformation.name,
    aliasIds: transformation.aliasIds,
    transformation,
  }))
);

export function dashboard(file) {
  return JSON.parse(readFileSync(new URL(`../${file}`, import.meta.url), 'utf8'));
}

export function panel(file, title) {
  const found = dashboard(file).panels.filter((it) => it.title === title && it.type !== 'row');
  if (found.length !== 1) {
    throw new Error(`${file} has ${found.length} panels called ${title}`);
  }
  return found[0];
}

const time = Date.UTC(2024, 0, 1);
const field = (name, type, values, more) => ({ name, type, values, config: {}, ...more });

/**
 * The result of an instant query with the format "table": one frame, with a column for the time and one per label. The
 * value is in `Value` if the panel has a single query, otherwise in `Value #ref`.
 * samples: [{ labels: { name: text }, value }]
 */
export function table(panel, refId, samples) {
  const target = panel.targets.find((it) => it.refId === refId);
  if (!target || target.format !== 'table' || !target.instant) {
    throw new Error(`${panel.title} has no instant table query ${refId}`);
  }
  const value = panel.targets.length > 1 ? `Value #${refId}` : 'Value';
  const labels = [...new Set(samples.flatMap((it) => Object.keys(it.labels)))].sort();
  const fields = [
    field('Time', 'time', samples.map(() => time)),
    ...labels.map((label) => field(label, 'string', samples.map((it) => it.labels[label] ?? ''))),
    field(value, 'number', samples.map((it) => it.value)),
  ];
  return { refId, fields, length: samples.length };
}

/** The result of a query without samples. */
export const nothing = (refId) => ({ refId, fields: [], length: 0 });

/** The result of a range query: one frame per series, named by its legend. */
export function series(refId, legend, labels, values) {
  const fields = [
    field('Time', 'time', values.map((_, i) => time + i * 15_000)),
    field('Value', 'number', values, { labels, config: { displayNameFromDS: legend } }),
  ];
  return { refId, name: legend, fields, length: values.length };
}

export async function transformed(panel, frames) {
  const configs = structuredClone(panel.transformations);
  for (const config of configs) {
    // Grafana silently ignores an unknown transformation; this throws.
    grafana.standardTransformersRegistry.get(config.id);
  }
  return lastValueFrom(grafana.transformDataFrame(configs, frames, { interpolate: (text) => text }));
}

/** The rows of a frame by real field names, as node graphs and data links read them. */
export function rows(frame) {
  return Array.from({ length: frame.length }, (_, i) =>
    Object.fromEntries(frame.fields.map((it) => [it.name, it.values[i] ?? null]))
  );
}

export const names = (frames) => frames.flatMap((frame) =>
  frame.fields.filter((it) => it.type !== 'time').map((it) => grafana.getFieldDisplayName(it, frame, frames)));
