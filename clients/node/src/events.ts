// The events of queues as they stand in the audit stream, and what folding them tells of items.
import { pairs, text } from './reply.js';
import type { Quorum, State } from './types.js';

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
  votes?: unknown[];
  contested?: number;
  deciders?: string[];
  by?: string;
  reason?: string;
  /** Fields that this version does not know. */
  [more: string]: unknown;
}

const NUMBERS = new Set(['rev', 'priority', 'boost', 'reports', 'deliveries', 'expiries', 'token', 'contested']);
const TIMES = new Set(['at', 'submitted', 'due', 'deadline']);
const LISTS = new Set(['tags', 'excluded', 'quorum', 'votes', 'deciders']);

/** An entry of the stream. Bytes that are no text come out as the encoding says. */
export function readEvent(id: unknown, entry: unknown, encoding: BufferEncoding): QueueEvent {
  const event: Record<string, unknown> = { id: text(id) };
  for (const [name, value] of pairs(entry)) {
    const plain = text(value, encoding);
    if (NUMBERS.has(name)) event[name] = Number(plain);
    else if (TIMES.has(name)) event[name] = new Date(Number(plain));
    else if (LISTS.has(name)) event[name] = JSON.parse(plain);
    else event[name] = plain;
  }
  return event as QueueEvent;
}

/** What is known of an item by the events so far. */
export type Known = Partial<QueueEvent>;

export interface Folded {
  items: Map<string, Known>;
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
  split: ['votes', 'splits'],
};
const GONE = new Set(['resolve', 'cancel', 'move_out']);
/** Events of records, not of items in the queue. */
const RECORDS = new Set(['report', 'forget']);
const LOCK = ['moderator', 'token', 'deadline'] as const;
/** Fields of an event that are not the item's from then on. */
const PASSING = new Set(['id', 'ev', 'key', 'item', 'at', 'decision', 'verdict', 'via', 'by', 'reason']);

/**
 * The state of all items of all queues that write to a stream. Folding from the first entry gives exactly what the queues hold;
 * of items whose beginning was trimmed only what came later is known.
 */
export class Fold {
  readonly queues = new Map<string, Folded>();
  /** The id of the last entry folded. */
  last = '0-0';

  /** Takes in the next event. */
  apply(event: QueueEvent): void {
    this.last = event.id;
    const queue = this.#queue(event.key);
    for (const name of COUNTS[event.ev] ?? []) queue.totals.set(name, (queue.totals.get(name) ?? 0) + 1);
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
    queue = { items: new Map(), totals: new Map() };
    this.queues.set(key, queue);
    return queue;
  }

  /** All of it as JSON can say it; `Fold.from` reads it again. Save it together with `last`, which is in it. */
  toJSON(): object {
    const queues = [...this.queues].map(([key, { items, totals }]) => ({ key, items: [...items], totals: [...totals] }));
    return { last: this.last, queues };
  }

  static from(saved: unknown): Fold {
    const { last, queues } = saved as { last: string; queues: { key: string; items: [string, Known][]; totals: [string, number][] }[] };
    const fold = new Fold();
    fold.last = last;
    for (const { key, items, totals } of queues) {
      for (const [, known] of items) {
        const times = known as Record<string, unknown>;
        for (const name of TIMES) if (typeof times[name] === 'string') times[name] = new Date(times[name] as string);
      }
      fold.queues.set(key, { items: new Map(items), totals: new Map(totals) });
    }
    return fold;
  }
}

function merge(known: Known, event: QueueEvent): void {
  const before = known.excluded;
  for (const [name, value] of Object.entries(event)) if (!PASSING.has(name)) known[name] = value;
  // A release names only who skipped; everything else the whole list.
  if (event.ev === 'release' && before) known.excluded = [...new Set([...before, ...(event.excluded ?? [])])];
  if (event.ev === 'vote' || event.ev === 'split') {
    known.votes = [...(known.votes ?? []), [event.moderator, event.verdict ?? '', event.at.getTime()]];
    known.expiries = 0;
  }
  if (event.ev === 'split') known.contested = 1;
  if (known.state !== 'locked') for (const name of LOCK) delete known[name];
}
