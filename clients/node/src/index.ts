// What the package modq offers.
export * from './board.js';
export { Claim } from './claim.js';
export { type Codec, json, raw, utf8 } from './codec.js';
export type { Client } from './driver.js';
export * from './errors.js';
export { type Checkpoint, EventLog, type EventLogOptions, type GroupOptions, type ReadOptions } from './eventlog.js';
export { Fold, type Folded, type FoldOptions, type Known, type KnownRecord, type QueueEvent } from './events.js';
export { addressKey, type HttpAnswer, httpAnswer, limitHeader, policyHeader, retryAfter } from './headers.js';
export { Lease, type LeaseOptions } from './lease.js';
export {
  type Algo,
  type CheckOptions,
  type Limit,
  Limiter,
  type LimiterOptions,
  type LimitState,
  type Reservation,
  type Verdict,
} from './limiter.js';
export { type JoinOptions, Presence, Session, type SessionEvents } from './presence.js';
export { type PayloadOf, Queue } from './queue.js';
export { type ShardedOptions, ShardedQueue, ShardedWorker } from './sharded.js';
export * from './types.js';
export { MODULE_VERSIONS, VERSION } from './version.js';
export { GIVE_BACK, type Handler, type Outcome, Worker, type WorkerEvents, type WorkerOptions } from './worker.js';
export type { WorkOptions } from './works.js';
