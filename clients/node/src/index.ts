// What the package modq offers.
export { Claim } from './claim.js';
export { type Codec, json, raw, utf8 } from './codec.js';
export type { Client } from './driver.js';
export * from './errors.js';
export { type PayloadOf, Queue } from './queue.js';
export * from './types.js';
export { GIVE_BACK, type Handler, type Verdict, Worker, type WorkerEvents, type WorkerOptions } from './worker.js';
export type { WorkOptions } from './works.js';
