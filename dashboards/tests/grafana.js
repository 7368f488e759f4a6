// The dashboards as they are shipped, frames as Grafana's Prometheus data source gives them, and Grafana's own
// transformations.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { lastValueFrom } from 'rxjs';

// When it is loaded, Grafana's library listens for a window's events; what it brings along would take a window for a
// whole browser, and so is loaded before.
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
 * What an instant query with the format "table" gives: one frame, with a column for the time and for each label. Its
 * number is in `Value` where the panel has that query alone, else in `Value #ref`.
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

/** What a query without result gives. */
export const nothing = (refId) => ({ refId, fields: [], length: 0 });

/** What a range query gives: a frame for each series, named by its legend. */
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
    // An unknown transformation is skipped in silence.
    grafana.standardTransformersRegistry.get(config.id);
  }
  return lastValueFrom(grafana.transformDataFrame(configs, frames, { interpolate: (text) => text }));
}

/** A frame's rows by the fields' own names, as node graphs and data links read them. */
export function rows(frame) {
  return Array.from({ length: frame.length }, (_, i) =>
    Object.fromEntries(frame.fields.map((it) => [it.name, it.values[i] ?? null]))
  );
}

export const names = (frames) => frames.flatMap((frame) =>
  frame.fields.filter((it) => it.type !== 'time').map((it) => grafana.getFieldDisplayName(it, frame, frames)));
