// What the event stream tells of a queue beside what the server says of it, in one shape.
import { expect } from 'vitest';
import { EventLog, Fold, type Item, type Known, type Queue, type QueueEvent, type State } from '../../src/index.js';
import type { Server } from './servers.js';

/** An item as both tell it: what holds where nobody said otherwise is filled in, what is not set is left out. */
function plain(known: Known | Item<string>): object {
  const { state, priority, boost, submitted, rev, reports, deliveries, expiries } = known;
  const { moderator, token, deadline, due, group } = known;
  const maybe = Object.entries({ moderator, token, deadline, due, group }).filter(([, value]) => value);
  return {
    ...{ state, priority, boost, submitted, rev, reports, deliveries, expiries, ...Object.fromEntries(maybe) },
    tags: [...(known.tags ?? [])].sort(),
    excluded: known.excluded ?? [],
    quorum: known.quorum ?? [1, 1],
    votes: known.votes ?? [],
    contested: known.contested ?? false,
    deciders: [...(known.deciders ?? [])].sort(),
  };
}

/** Expects that folding the stream gives exactly the items and totals of the queue; answers the fold. */
export async function expectFolded(queue: Queue<string>, stream: string, fold = new Fold()): Promise<Fold> {
  await new EventLog(queue.client, stream).fold(fold);
  const told = fold.queues.get(queue.key);
  const asked = new Map<string, object>();
  for (const state of ['ready', 'locked', 'delayed', 'dead'] as State[]) {
    for await (const { item } of queue.scan(state)) asked.set(item, plain((await queue.get(item)) as Item<string>));
  }
  expect(new Map([...(told?.items ?? [])].map(([item, known]) => [item, plain(known)]))).toEqual(asked);
  const stats = await queue.stats({ brief: true });
  for (const name of ['submitted', 'resolved', 'cancelled', 'released', 'expired', 'died', 'votes', 'splits']) {
    expect([name, told?.totals.get(name) ?? 0]).toEqual([name, stats[name]]);
  }
  return fold;
}

/** All events of a stream that has some. */
export async function history(server: Server, queue: Queue<string>, stream: string): Promise<QueueEvent[]> {
  const [[last]] = (await server.ask('XREVRANGE', stream, '+', '-', 'COUNT', '1')) as [[string]];
  const events: QueueEvent[] = [];
  for await (const event of new EventLog(queue.client, stream).follow()) {
    events.push(event);
    if (event.id === last) break;
  }
  return events;
}
