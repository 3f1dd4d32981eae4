// Replies of queues as objects.
import type { Codec } from './codec.js';
import { bytes, camel, date, fields, list, num, optional, pairs, text } from './reply.js';
import type {
  Bucket,
  DecidedRecord,
  Decision,
  Item,
  Page,
  Quorum,
  Resolved,
  ResolveStatus,
  Row,
  Settings,
  State,
  Stats,
  Waiter,
} from './types.js';

const names = (value: unknown, encoding: BufferEncoding) => list(value).map((one) => text(one, encoding));

function quorum(value: unknown): Quorum {
  const [k, n] = list(value);
  return [num(k), num(n)];
}

/** A time, or null where the server writes 0 for none. */
function dateOrNull(value: unknown): Date | null {
  const ms = optional(value, num);
  return ms === null || ms === 0 ? null : new Date(ms);
}

export function readItem<T>(reply: unknown, codec: Codec<T>, encoding: BufferEncoding): Item<T> {
  const at = fields(reply);
  const id = (value: unknown) => text(value, encoding);
  const n = (name: string) => num(at.get(name) ?? 0);
  return {
    item: id(at.get('item')),
    state: text(at.get('state')) as State,
    payload: codec.decode(bytes(at.get('payload'))),
    priority: n('priority'),
    boost: n('boost'),
    submitted: date(at.get('submitted')),
    due: dateOrNull(at.get('due')),
    rev: n('rev'),
    reports: n('reports'),
    deliveries: n('deliveries'),
    expiries: n('expiries'),
    moderator: optional(at.get('moderator'), id),
    token: optional(at.get('token'), num),
    deadline: optional(at.get('deadline'), date),
    tags: names(at.get('tags'), encoding),
    excluded: names(at.get('excluded'), encoding),
    group: optional(at.get('group'), id),
    quorum: optional(at.get('quorum'), quorum),
    votes: list(at.get('votes')).map((row) => {
      const [moderator, verdict, when] = list(row);
      return { moderator: id(moderator), verdict: text(verdict), at: date(when) };
    }),
    contested: n('contested') === 1,
    deciders: names(at.get('deciders'), encoding),
  };
}

export function readSettings(reply: unknown, prefix: string): Settings {
  const at = fields(reply);
  const n = (name: string) => num(at.get(name) ?? 0);
  const events = text(at.get('events') ?? '');
  return {
    lock: n('lock'),
    maxExpiries: n('maxexpiries'),
    maxLen: n('maxlen'),
    capacity: n('capacity'),
    late: text(at.get('late')) as Settings['late'],
    aging: n('aging'),
    events: events.startsWith(prefix) ? events.slice(prefix.length) : events,
    eventsMaxLen: n('eventsmaxlen'),
    quorum: at.has('quorum') ? quorum(at.get('quorum')) : [1, 1],
    splitTag: text(at.get('splittag') ?? ''),
    retain: n('retain'),
    retainMax: n('retainmax'),
  };
}

/** Rows [upper bound, count]; the bound −1 is for all. */
function buckets(value: unknown): Bucket[] {
  return list(value).map((row) => {
    const [ms, count] = list(row).map(num);
    return { ms: ms === -1 ? Number.POSITIVE_INFINITY : (ms as number), count: count as number };
  });
}

export function readStats(reply: unknown, encoding: BufferEncoding): Stats {
  const stats: Record<string, unknown> = { waitMsHistogram: [], handleMsHistogram: [] };
  stats.byTag = new Map();
  stats.byPriority = new Map();
  for (const [name, value] of pairs(reply)) {
    if (name === 'paused') stats.paused = text(value);
    else if (name === 'by_tag') stats.byTag = new Map(tagPairs(value).map(([k, v]) => [text(k, encoding), num(v)]));
    else if (name === 'by_priority') stats.byPriority = new Map(pairs(value).map(([k, v]) => [Number(k), num(v)]));
    else stats[camel(name)] = name.endsWith('_histogram') ? buckets(value) : num(value);
  }
  return stats as Stats;
}

/** Pairs whose names are left as they came: tags may be any bytes. */
function tagPairs(value: unknown): [unknown, unknown][] {
  if (value instanceof Map) return [...value];
  if (!Array.isArray(value)) return Object.entries((value ?? {}) as object);
  const all: [unknown, unknown][] = [];
  for (let i = 0; i + 1 < value.length; i += 2) all.push([value[i], value[i + 1]]);
  return all;
}

export function readRecord(reply: unknown, encoding: BufferEncoding): DecidedRecord {
  const at = fields(reply);
  const n = (name: string) => num(at.get(name));
  return {
    item: text(at.get('item'), encoding),
    verdict: text(at.get('verdict')),
    decided: date(at.get('decided')),
    expires: date(at.get('expires')),
    token: n('token'),
    rev: n('rev'),
    submitted: date(at.get('submitted')),
    reports: n('reports'),
    moderators: names(at.get('moderators'), encoding),
  };
}

/** A page of LIST. */
export function readPage(reply: unknown, encoding: BufferEncoding): Page<Row> {
  const [cursor, rows] = list(reply);
  const row = (value: unknown): Row => {
    const [item, priority, submitted, moderator, deadline] = list(value);
    return {
      item: text(item, encoding),
      priority: num(priority),
      submitted: date(submitted),
      moderator: optional(moderator, (m) => text(m, encoding)),
      deadline: optional(deadline, date),
    };
  };
  return { cursor: text(cursor), rows: list(rows).map(row) };
}

/** A page of GROUP. */
export function readGroupPage(reply: unknown, encoding: BufferEncoding): Page<Row> {
  const [cursor, rows] = list(reply);
  const row = (value: unknown): Row => {
    const [item, state, priority, submitted, moderator] = list(value);
    return {
      item: text(item, encoding),
      state: text(state) as State,
      priority: num(priority),
      submitted: date(submitted),
      moderator: optional(moderator, (m) => text(m, encoding)),
      deadline: null,
    };
  };
  return { cursor: text(cursor), rows: list(rows).map(row) };
}

export function readWaiters(reply: unknown, encoding: BufferEncoding): Waiter[] {
  return list(reply).map((value) => {
    const [moderator, kind, since, tags] = list(value);
    return {
      moderator: text(moderator, encoding),
      kind: text(kind) as Waiter['kind'],
      since: date(since),
      tags: names(tags, encoding),
    };
  });
}

/** The reply of RESOLVE: a status, or with ALSO an array. */
export function readResolved(reply: unknown): Resolved {
  if (!Array.isArray(reply)) return { status: text(reply) as ResolveStatus };
  const [status, decided, left, cursor] = reply;
  return {
    status: text(status) as ResolveStatus,
    also: { decided: num(decided), left: num(left), cursor: text(cursor) },
  };
}

export function readDecision(reply: unknown): Decision {
  const decision = readResolved(reply) as Decision;
  decision.confirmed = true;
  return decision;
}
