// The adapter for node-redis 4, 5 and 6: single servers, clusters, and the Sentinel client of 5 and 6.
import type { Arg, Dedicated, Driver, Request, Subscriber } from '../driver.js';
import { InvalidArgument } from '../errors.js';

/** The part of node-redis that is used. Its three kinds of clients take other arguments for sendCommand. */
interface NodeRedis {
  // biome-ignore lint/suspicious/noExplicitAny: three signatures, chosen by `kind`
  sendCommand(...args: any[]): Promise<unknown>;
  duplicate?(overrides?: object): NodeRedis;
  connect(): Promise<unknown>;
  on(event: string, listener: (error: unknown) => void): unknown;
  subscribe(channel: string, listener: (message: Buffer) => void, buffers: true): Promise<unknown>;
  unsubscribe(channel: string): Promise<unknown>;
  sSubscribe(channel: string, listener: (message: Buffer) => void, buffers: true): Promise<unknown>;
  sUnsubscribe(channel: string): Promise<unknown>;
  destroy?(): unknown;
  disconnect(): unknown;
  withTypeMapping?: unknown;
  options?: { keyPrefix?: string; socket?: object; commandOptions?: object };
  _keyPrefix?: string;
  _options?: { defaults?: { socket?: object } };
  masters?: object[];
  nodeClient?(node: object): NodeRedis | Promise<NodeRedis>;
  getSentinelNode?: unknown;
  use?: unknown;
}

type Kind = 'single' | 'cluster' | 'sentinel';

// RESP types by the byte that begins them, as node-redis names them in `typeMapping`.
const [BLOB, INTEGER, MAP] = [36, 58, 37];

/** Whether this is a client of node-redis. */
export function isNodeRedis(client: object): client is NodeRedis {
  const it = client as Partial<NodeRedis>;
  return typeof it.sendCommand === 'function' && 'connect' in it;
}

function kindOf(client: NodeRedis): Kind {
  if (typeof client.nodeClient === 'function') return 'cluster';
  return 'getSentinelNode' in client ? 'sentinel' : 'single';
}

/** Buffers for strings, maps as flat arrays, and decimal strings for integers where they must be exact. */
function replyOptions(client: NodeRedis, exact: boolean): object {
  if (client.withTypeMapping === undefined) return { returnBuffers: true };
  const types: Record<number, unknown> = { [BLOB]: Buffer, [MAP]: Array };
  if (exact) types[INTEGER] = String;
  return { typeMapping: types };
}

class Sender {
  readonly kind: Kind;
  readonly #inexact: object;
  readonly #exact: object;

  constructor(
    readonly client: NodeRedis,
    more: object = {},
  ) {
    this.kind = kindOf(client);
    this.#inexact = { ...replyOptions(client, false), ...more };
    this.#exact = { ...replyOptions(client, true), ...more };
  }

  send({ args, keys, readonly = false, exact = false, signal }: Request): Promise<unknown> {
    const usual = exact ? this.#exact : this.#inexact;
    // Called `signal` by version 4 and `abortSignal` since.
    const options = signal ? { ...usual, signal, abortSignal: signal } : usual;
    if (this.kind === 'cluster') return this.client.sendCommand(keys[0], readonly, args, options);
    if (this.kind === 'sentinel') return this.client.sendCommand(readonly, args, options);
    return this.client.sendCommand(args, options);
  }
}

/** Closes at once. A client that is closed already says so by throwing. */
function destroy(client: NodeRedis): void {
  try {
    const done = client.destroy ? client.destroy() : client.disconnect();
    if (done instanceof Promise) done.catch(() => {});
  } catch {
    // closed already
  }
}

/** The options of a cluster's nodes without a time-out for idle sockets; node-redis 4 has none, and does not show its options. */
function untimed(defaults: { socket?: object } | undefined): object {
  if (defaults === undefined) return {};
  return { defaults: { ...defaults, socket: { ...defaults.socket, socketTimeout: undefined } } };
}

/** A copy of the client, with connections of its own. */
function copy(client: NodeRedis, overrides: object): NodeRedis {
  if (client.duplicate) return client.duplicate(overrides);
  throw new InvalidArgument('the Sentinel client of node-redis 5 cannot be copied: use version 6, or ioredis', 'ERR');
}

/** A copy of the client that gives up instead of connecting again, and that no time-out of the user's ends. */
function impatient(client: NodeRedis): NodeRedis {
  const kind = kindOf(client);
  if (kind === 'cluster') return copy(client, { minimizeConnections: true, ...untimed(client._options?.defaults) });
  if (kind === 'sentinel') return copy(client, { masterPoolSize: 1, replicaPoolSize: 0, reserveClient: false });
  const socket = { ...client.options?.socket, socketTimeout: undefined, reconnectStrategy: false };
  return copy(client, { socket, pingInterval: undefined });
}

async function connected(made: NodeRedis): Promise<NodeRedis> {
  made.on('error', () => {}); // what fails rejects its command; without a listener the process would end
  try {
    await made.connect();
  } catch (error) {
    destroy(made);
    throw error;
  }
  return made;
}

class NodeRedisSubscriber implements Subscriber {
  readonly #sharded: boolean;

  constructor(readonly client: NodeRedis) {
    this.#sharded = kindOf(client) === 'cluster';
  }

  async subscribe(channel: string, heard: (message: Buffer) => void): Promise<void> {
    if (this.#sharded) await this.client.sSubscribe(channel, heard, true);
    else await this.client.subscribe(channel, heard, true);
  }

  async unsubscribe(channel: string): Promise<void> {
    if (this.#sharded) await this.client.sUnsubscribe(channel);
    else await this.client.unsubscribe(channel);
  }

  close(): void {
    destroy(this.client);
  }
}

/** The driver of a node-redis client. */
export function nodeRedisDriver(client: NodeRedis): Driver {
  const sender = new Sender(client);
  return {
    cluster: sender.kind === 'cluster',
    prefix: client._keyPrefix ?? client.options?.keyPrefix ?? '',
    send: (request) => sender.send(request),
    // Commands in flight are rejected when the connection is lost, never sent again.
    resends: false,
    interruptions: () => 0,
    async dedicated(): Promise<Dedicated> {
      const made = await connected(impatient(client));
      const own = new Sender(made, { timeout: undefined });
      return { send: (request) => own.send(request), destroy: () => destroy(made) };
    },
    async subscriber(): Promise<Subscriber> {
      const overrides = sender.kind === 'cluster' ? { minimizeConnections: true } : {};
      return new NodeRedisSubscriber(await connected(copy(client, overrides)));
    },
    async everyPrimary(args: Arg[]): Promise<unknown[]> {
      if (sender.kind !== 'cluster') return [await sender.send({ args, keys: [] })];
      const nodes = (client.masters ?? []).map(async (node) => client.nodeClient?.(node) as Promise<NodeRedis>);
      return Promise.all(nodes.map(async (node) => new Sender(await node).send({ args, keys: [] })));
    },
  };
}
