// Sends the decisions of a worker: those that are made in the same turn and say the same go by one MRESOLVE, where the server has it.
import { InvalidArgument, isNotToBeHad, toModqError } from './errors.js';
import type { Queue } from './queue.js';
import { list } from './reply.js';
import type { ResolveOptions } from './types.js';

/** The most items that one MRESOLVE takes. */
const MOST = 1000;

interface One {
  item: string;
  token: number;
  rev: number | undefined;
  options: ResolveOptions;
  resolve: (reply: unknown) => void;
  reject: (error: unknown) => void;
}

/** Whether both can be said by one command: all with a revision or none, and the same words. */
function alike(a: One, b: One): boolean {
  return (
    a.options.verdict === b.options.verdict && a.options.decision === b.options.decision && (a.rev === undefined) === (b.rev === undefined)
  );
}

export class Decisions<T> {
  #batches = true;
  #groups: One[][] = [];

  constructor(readonly queue: Queue<T>) {}

  /** One try to decide an item; settles as RESOLVE on its own would. */
  send(item: string, token: number, options: ResolveOptions): Promise<unknown> {
    if (!this.#batches || options.also) return this.queue.sendResolve(item, token, options);
    return new Promise((resolve, reject) => this.#add({ item, token, rev: options.rev, options, resolve, reject }));
  }

  #add(one: One): void {
    const groups = this.#groups;
    const group = groups.find((group) => group.length < MOST && alike(group[0] as One, one));
    if (group) group.push(one);
    else if (groups.push([one]) === 1) process.nextTick(() => this.#flush());
  }

  #flush(): void {
    const groups = this.#groups;
    this.#groups = [];
    for (const group of groups) {
      if (group.length === 1 || !this.#batches) this.#alone(group);
      else void this.#together(group);
    }
  }

  #alone(group: readonly One[]): void {
    for (const { item, token, options, resolve, reject } of group) {
      try {
        this.queue.sendResolve(item, token, options).then(resolve, reject);
      } catch (error) {
        reject(error); // what cannot be written
      }
    }
  }

  async #together(group: readonly One[]): Promise<void> {
    let replies: unknown[];
    try {
      const first = group[0] as One;
      replies = list(await this.queue.sendResolves(group, first.rev !== undefined, first.options));
    } catch (error) {
      const known = toModqError(error);
      if (isNotToBeHad(known)) this.#batches = false;
      // One by one then, also where the words of one are refused: that is nothing to the others.
      if (!this.#batches || known instanceof InvalidArgument) this.#alone(group);
      else for (const { reject } of group) reject(error);
      return;
    }
    group.forEach(({ resolve, reject }, i) => {
      const reply = replies[i];
      if (reply instanceof Error) reject(reply);
      else resolve(reply);
    });
  }
}
