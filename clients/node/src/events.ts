// The events of queues as they stand in the audit stream, and what folding them tells of items.
import { pairs, text } from './reply.js';
import type { DecidedRecord, Quorum, State, Vote } from './types.js';

/** What an event says; every field but the first five only where the transition set it. */
export interface QueueEvent {
  /** The entry's id in the stream. */
  id: string;
  ev: string;
  key: string;
  item: string;
  rev: number;
  at: Date;
  state?: State;
  priority?: number;
  boost?: number;
  submitted?: Date;
  due?: Date;
  tags?: string[];
  excluded?: string[];
  reports?: number;
  deliveries?: number;
  expiries?: number;
  moderator?: string;
  token?: number;
  deadline?: Date;
  decision?: string;
  verdict?: string;
  /** The item that was named when this one was decided with it. */
  via?: string;
  group?: string;
  quorum?: Quorum;
  votes?: Vote[];
  contested?: boolean;
  deciders?: string[];
  by?: string;
  reason?: string;
  /** Fields that this version does not know. */
  [more: string]: unknown;
}

const NUMBERS = new Set(['rev', 'priority', 'boost', 'reports', 'deliveries', 'expiries', 'token']);
const TIMES = new Set(['at', 'submitted', 'due', 'deadline', 'decided']);
const LISTS = new Set(['tags', 'excluded', 'quorum', 'deciders']);

/** An entry of the stream. Bytes that are no text come out as the encoding says. */
export function readEvent(id: unknown, entry: unknown, encoding: BufferEncoding): QueueEvent {
  const event: Record<string, unknown> = { id: text(id) };
  for (const [name, value] of pairs(entry)) {
    const plain = text(value, encoding);
    if (NUMBERS.has(name)) event[name] = Number(plain);
    else if (TIMES.has(name)) event[name] = new Date(Number(plain));
    else if (LISTS.has(name)) event[name] = JSON.parse(plain);
    else if (name === 'votes') event.votes = (JSON.parse(plain) as [string, string, number][]).map(readVote);
    else if (name === 'contested') event.contested = plain === '1';
    else event[name] = plain;
  }
  return event as QueueEvent;
}

function readVote([moderator, verdict, at]: [string, string, number]): Vote {
  return { moderator, verdict, at: new Date(at) };
}

/** What is known of an item by the events so far. */
export type Known = Partial<QueueEvent>;
/** What is known of a decided item: as DECIDED has it, but for when it runs out. `submitted` and `reports` only if its beginning is known. */
export type KnownRecord = Omit<DecidedRecord, 'item' | 'expires' | 'submitted' | 'reports'> &
  Partial<Pick<DecidedRecord, 'submitted' | 'reports'>>;

export interface Folded {
  items: Map<string, Known>;
  /** The decided items that `retain` lets be remembered, the earliest decided first. */
  records: Map<string, KnownRecord>;
  /** As in STATS: submitted, resolved, cancelled, released, expired, died, votes, splits. */
  totals: Map<string, number>;
}

const COUNTS: Record<string, string[]> = {
  submit: ['submitted'],
  resolve: ['resolved'],
  cancel: ['cancelled'],
  release: ['released'],
  expire: ['expired'],
  dead: ['expired', 'died'],
  vote: ['votes'],
  split: ['splits'],
};
const GONE = new Set(['resolve', 'cancel', 'move_out']);
/** Events of records, not of items in the queue. */
const RECORDS = new Set(['report', 'forget']);
const LOCK = ['moderator', 'token', 'deadline'] as const;
/** Fields of an event that are not the item's from then on. */
const PASSING = new Set(['id', 'ev', 'key', 'item', 'at', 'decision', 'verdict', 'via', 'by', 'reason']);

export interface FoldOptions {
  /** For how many ms decided items are remembered, by the times of the events; the queues' RETAIN. Default 0: not at all. */
  retain?: number;
}

/**
 * The state of all items of all queues that write to a stream. Folding from the first entry gives exactly what the queues hold;
 * of items whose beginning was trimmed only what came later is known. No event tells of a record that ran out or was evicted by
 * RETAINMAX.
 */
export class Fold {
  readonly queues = new Map<string, Folded>();
  readonly retain: number;
  /** The id of the last entry folded. */
  last = '0-0';

  constructor({ retain = 0 }: FoldOptions = {}) {
    this.retain = retain;
  }

  /** Takes in the next event. */
  apply(event: QueueEvent): void {
    this.last = event.id;
    const queue = this.#queue(event.key);
    for (const name of COUNTS[event.ev] ?? []) count(queue, name);
    // A split by a verdict; without one it was UPDATE QUORUM that left too few votes.
    if (event.ev === 'split' && event.verdict !== undefined) count(queue, 'votes');
    if (this.retain > 0) remember(queue, event, this.retain);
    if (RECORDS.has(event.ev)) return;
    if (GONE.has(event.ev)) {
      queue.items.delete(event.item);
      return;
    }
    const fresh = event.ev === 'submit' || event.ev === 'move_in';
    const known: Known = (fresh ? undefined : queue.items.get(event.item)) ?? { rev: event.rev };
    queue.items.set(event.item, known);
    merge(known, event);
  }

  #queue(key: string): Folded {
    let queue = this.queues.get(key);
    if (queue) return queue;
    queue = { items: new Map(), records: new Map(), totals: new Map() };
    this.queues.set(key, queue);
    return queue;
  }

  /** All of it as JSON can say it; `Fold.from` reads it again. Save it together with `last`, which is in it. */
  toJSON(): object {
    const queues = [...this.queues].map(([key, { items, records, totals }]) => ({
      key,
      items: [...items],
      records: [...records],
      totals: [...totals],
    }));
    // JSON has no Infinity.
    return { last: this.last, retain: Math.min(this.retain, Number.MAX_SAFE_INTEGER), queues };
  }

  static from(saved: unknown): Fold {
    const { last, retain, queues } = saved as { last: string; retain?: number; queues: Saved[] };
    const fold = new Fold({ retain });
    fold.last = last;
    for (const { key, items, records, totals } of queues) {
      for (const [, known] of [...items, ...records]) readDates(known);
      for (const [, known] of items) for (const vote of known.votes ?? []) readDates(vote);
      fold.queues.set(key, { items: new Map(items), records: new Map(records), totals: new Map(totals) });
    }
    return fold;
  }
}

interface Saved {
  key: string;
  items: [string, Known][];
  records: [string, KnownRecord][];
  totals: [string, number][];
}

function readDates(saved: object): void {
  const times = saved as Record<string, unknown>;
  for (const name of TIMES) if (typeof times[name] === 'string') times[name] = new Date(times[name] as string);
}

function count(queue: Folded, name: string): void {
  queue.totals.set(name, (queue.totals.get(name) ?? 0) + 1);
}

/** What an event tells of records. */
function remember({ items, records }: Folded, event: QueueEvent, retain: number): void {
  for (const [item, { decided }] of records) {
    if (decided.getTime() + retain > event.at.getTime()) break;
    records.delete(item);
  }
  if (event.ev === 'forget') records.delete(event.item);
  const record = records.get(event.item);
  if (event.ev === 'report' && record) record.reports = event.reports;
  if (event.ev !== 'resolve') return;
  const { submitted, reports, votes = [] } = items.get(event.item) ?? {};
  const last = event.moderator ?? '';
  const others = votes.map(({ moderator }) => moderator).filter((moderator) => moderator !== last);
  records.delete(event.item); // to its end, by when it was decided
  records.set(event.item, {
    verdict: event.verdict ?? '',
    decided: event.at,
    token: event.token ?? 0,
    rev: event.rev,
    submitted,
    reports,
    moderators: [...others, last],
  });
}

function merge(known: Known, event: QueueEvent): void {
  const before = known.excluded;
  for (const [name, value] of Object.entries(event)) if (!PASSING.has(name)) known[name] = value;
  // A release names only who skipped; everything else the whole list.
  if (event.ev === 'release' && before) known.excluded = [...new Set([...before, ...(event.excluded ?? [])])];
  if ((event.ev === 'vote' || event.ev === 'split') && event.verdict !== undefined) {
    known.votes = [...(known.votes ?? []), { moderator: event.moderator ?? '', verdict: event.verdict, at: event.at }];
  }
  if (event.ev === 'split') known.contested = true;
  if (known.state !== 'locked') for (const name of LOCK) delete known[name];
}
