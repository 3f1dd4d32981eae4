// `for await (const claim of queue.work(…))`: a worker whose handler hands the claims to a loop.
import type { Claim } from './claim.js';
import { GIVE_BACK, type Handler, type WorkerOptions } from './worker.js';

/** A worker of one queue, or of all shards of one. */
interface Workable {
  run(): Promise<void>;
  close(): Promise<void>;
  /** Stops claiming. */
  stop(): void;
  on(event: 'error', heard: (error: Error) => void): unknown;
}

export interface WorkOptions extends Omit<WorkerOptions, 'moderator'> {
  /** Ends the loop. */
  signal?: AbortSignal;
  /** Hears what the worker went on from. Default: a warning of the process. */
  onError?: (error: Error) => void;
}

/**
 * Yields claims, each kept alive until it is resolved, released or moved. With `concurrency` 1 a claim that the body left
 * undecided is given back when the loop goes on; with more, the loop goes on while fewer than that many are undecided.
 */
export async function* works<T>(
  workerOf: (handler: Handler<T>, options: WorkerOptions) => Workable,
  moderator: string,
  options: WorkOptions,
): AsyncGenerator<Claim<T>, void, undefined> {
  const { signal, onError, ...rest } = options;
  const ready: Claim<T>[] = [];
  const giveBack = new Map<Claim<T>, () => void>();
  let wake = () => {};
  const handler = async (claim: Claim<T>) => {
    const undecided = new Promise<typeof GIVE_BACK>((resolve) => giveBack.set(claim, () => resolve(GIVE_BACK)));
    ready.push(claim);
    wake();
    const how = await Promise.race([claim.whenOver(), undecided]);
    giveBack.delete(claim);
    return how;
  };
  const worker = workerOf(handler as unknown as Handler<T>, { moderator, ...rest });
  if (onError) worker.on('error', onError);
  const end = () => {
    worker.stop();
    wake();
  };
  signal?.addEventListener('abort', end, { once: true });
  if (signal?.aborted) end();
  let over = false;
  const running = worker.run().finally(() => {
    over = true;
    wake();
  });
  running.catch(() => {});
  try {
    for (;;) {
      while (ready.length === 0 && !over && !signal?.aborted) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      const claim = signal?.aborted ? undefined : ready.shift();
      if (!claim) break;
      if (claim.lost || claim.ended) continue;
      yield claim;
      if ((options.concurrency ?? 1) === 1) giveBack.get(claim)?.();
    }
  } finally {
    signal?.removeEventListener('abort', end);
    for (const back of giveBack.values()) back();
    await worker.close();
  }
  await running;
}
