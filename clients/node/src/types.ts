// What goes into the commands of queues and what comes out. Durations are numbers of milliseconds, points in time are Dates.
import type { Codec } from './codec.js';
import type { ModqError } from './errors.js';

/** The four states of an item, as the server writes them. */
export type State = 'ready' | 'locked' | 'delayed' | 'dead';
/** k equal verdicts out of at most n. */
export type Quorum = readonly [k: number, n: number];

export interface QueueOptions<T> {
  /** How payloads become bytes. Default: Buffers come out, Buffers and strings go in. */
  codec?: Codec<T>;
  /** How ids, moderators and tags become bytes: `utf8`, or `latin1` where they may be any bytes. Default `utf8`. */
  idEncoding?: 'utf8' | 'latin1';
  /** After how many ms a command of this object is given up with `TimedOut`. Default: when the client gives up. */
  timeout?: number;
}

export interface SubmitOptions {
  priority?: number;
  /** ms by which the item counts as older. */
  boost?: number;
  /** ms before it is ready. */
  delay?: number;
  /** What a moderator must offer to be given it. */
  tags?: readonly string[];
  /** Moderators who are never given it. */
  exclude?: readonly string[];
  /** What to do if the id is in the queue. Default KEEP. */
  onDup?: 'KEEP' | 'BUMP' | 'REPLACE' | 'ERROR';
  /** With onDup BUMP: each report adds this much to the priority. */
  step?: number;
  /** What to do if the id is remembered as decided. Default KEEP. */
  onDecided?: 'KEEP' | 'COUNT' | 'CHANGED' | 'AGAIN' | 'APPEAL';
  quorum?: Quorum;
  group?: string;
}
export type SubmitStatus = 'READY' | 'ASSIGNED' | 'DELAYED' | 'EXISTS' | 'BUMPED' | 'REPLACED' | 'DECIDED';

export interface UpdateOptions<T> {
  /** Only if the item is still at this revision. */
  rev?: number;
  payload?: T;
  priority?: number;
  boost?: number;
  tags?: readonly string[];
  exclude?: readonly string[];
  quorum?: Quorum;
  /** "" takes the item out of its group. */
  group?: string;
  /** How many reports count. */
  reports?: number;
  by?: string;
}

export interface ClaimOptions {
  /** How many the moderator wants in hand, held ones included. Default 1. */
  count?: number;
  /** ms of new locks. Default the queue's. */
  lock?: number;
  /** ms to wait where there is nothing; 0: for ever. On a connection of the library's own. */
  block?: number;
  tags?: readonly string[];
  /** Only newly locked items. Not safe to repeat after a lost reply. */
  onlyNew?: boolean;
  /** All new items of one group. */
  withGroup?: boolean;
  /** Ends a call that waits; it then rejects. */
  signal?: AbortSignal;
}

export interface Also {
  /** At most how many others of the group, 1 to 1000. */
  count: number;
  tags?: readonly string[];
  cursor?: string;
}
export interface ResolveOptions {
  /** Only if the content is still at this revision: else `Changed`. */
  rev?: number;
  /** The outcome that machines compare. */
  verdict?: string;
  /** Prose for the audit stream. */
  decision?: string;
  /** Decide others of the item's group with it. */
  also?: Also;
}
export type ResolveStatus = 'OK' | 'VOTED' | 'SPLIT';
export interface Resolved {
  /** OK: ended. VOTED: more votes are needed. SPLIT: they cannot agree. */
  status: ResolveStatus;
  /**
   * With `also`: how many others were decided, how many of the group are left, and where to go on ("0": nowhere). If the first reply
   * was lost, `decided` is 0 and `cursor` "0" whatever was decided with it; `left` holds.
   */
  also?: { decided: number; left: number; cursor: string };
}
/** What came of a decision that was sent again until there was an answer. */
export interface Decision extends Partial<Resolved> {
  /** False if a reply was lost and the item is gone: most likely decided by us, but nobody can say. */
  confirmed: boolean;
}

export interface ReleaseOptions {
  /** Never to this moderator again. */
  skip?: boolean;
  /** ms before it is ready. */
  delay?: number;
}
export interface MoveOptions {
  /** Needed for a locked item. */
  token?: number;
  priority?: number;
  by?: string;
}
export interface AssignOptions {
  lock?: number;
  /** The live token of a locked item, to hand it over. */
  token?: number;
  by?: string;
}

/** Settings of a queue; all of them in what `settings` answers. */
export interface Settings {
  lock: number;
  maxExpiries: number;
  maxLen: number;
  capacity: number;
  late: 'accept' | 'reject';
  aging: number;
  /** The key of the event stream, "" for none. */
  events: string;
  eventsMaxLen: number;
  quorum: Quorum;
  splitTag: string;
  retain: number;
  retainMax: number;
}

/** What MODQ.GET shows of an item. */
export interface Item<T> {
  item: string;
  state: State;
  payload: T;
  priority: number;
  boost: number;
  submitted: Date;
  /** When a delayed item is ready; null if it never was delayed. */
  due: Date | null;
  rev: number;
  reports: number;
  deliveries: number;
  expiries: number;
  moderator: string | null;
  token: number | null;
  deadline: Date | null;
  tags: string[];
  excluded: string[];
  group: string | null;
  quorum: Quorum | null;
  votes: Vote[];
  contested: boolean;
  /** Who decided what this item appeals against. */
  deciders: string[];
}
export interface Vote {
  moderator: string;
  verdict: string;
  at: Date;
}

/** What is remembered of a decided item. */
export interface DecidedRecord {
  item: string;
  verdict: string;
  decided: Date;
  expires: Date;
  token: number;
  rev: number;
  submitted: Date;
  reports: number;
  moderators: string[];
}

/** A row of LIST or GROUP. `state` only from GROUP, `deadline` only from LIST. */
export interface Row {
  item: string;
  state?: State;
  priority: number;
  submitted: Date;
  moderator: string | null;
  deadline: Date | null;
}
export interface Page<R> {
  /** "0" after the last. */
  cursor: string;
  rows: R[];
}
export interface Waiter {
  moderator: string;
  kind: 'joined' | 'blocked';
  since: Date;
  tags: string[];
}
/** How many so far took at most `ms`; Infinity for the last. */
export interface Bucket {
  ms: number;
  count: number;
}

/** MODQ.STATS: every field that is a number under its name in camelCase (`oldestReadyMs`), and these. */
export interface Stats {
  ready: number;
  locked: number;
  delayed: number;
  dead: number;
  waiting: number;
  deferred: number;
  oldestReadyMs: number;
  oldestItemMs: number;
  submitted: number;
  resolved: number;
  cancelled: number;
  released: number;
  expired: number;
  died: number;
  bytes: number;
  /** Verdicts that did not end an item, and how often votes could not agree any more. From here on undefined before module 0.2. */
  votes?: number;
  splits?: number;
  /** Items with votes that are not contested, and contested ones. */
  voting?: number;
  contested?: number;
  oldestContestedMs?: number;
  /** Records of decided items, and how many RETAINMAX dropped. */
  decided?: number;
  recordsEvicted?: number;
  /** Events that could not be written to the stream. */
  eventsMissed?: number;
  waitMsSum?: number;
  handleMsSum?: number;
  paused: 'none' | 'in' | 'out' | 'all';
  /** Ready items by tag; empty with `brief`. */
  byTag: Map<string, number>;
  /** Ready items by priority; empty with `brief`. */
  byPriority: Map<number, number>;
  waitMsHistogram: Bucket[];
  handleMsHistogram: Bucket[];
  /** waitMsP50 and so on, and what later modules add. */
  [more: string]: unknown;
}
export type Reason = 'state' | 'tags' | 'excluded' | 'capacity' | 'paused' | 'behind' | 'voted' | 'decider';
export type Batch<R> = (R | ModqError)[];
